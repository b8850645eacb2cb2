#![no_main]

use std::sync::LazyLock;

use aglet::catalog::source::{Format, Mapping};
use aglet_fuzz::{feed, mapping};
use libfuzzer_sys::fuzz_target;

static MAPPING: LazyLock<Mapping> = LazyLock::new(mapping);

fuzz_target!(|bytes: &[u8]| feed(bytes, Some(Format::Table), Some(&MAPPING)));
