#![no_main]

use aglet::catalog::source::Format;
use aglet_fuzz::feed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| feed(bytes, Some(Format::Kaggle), None));
