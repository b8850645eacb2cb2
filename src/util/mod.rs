//! The ground floor: small tools that every room may use and that know none of them.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`batcher`] | a bounded queue in front of worker threads, in batches |
//! | [`blocking`] | CPU and file work off the async threads |
//! | [`budget`] | a bound on bytes, pixels or searches at the same time |
//! | [`digest`] | sha256 of bytes and files, hexadecimal |
//! | [`nearest`] | the name that was perhaps meant |
//! | [`output`] | what a command prints |
//! | [`owner`] | files that root makes belong to the owner of their folder |
//! | [`percent`] | percent-encoding, RFC 3986 |
//! | [`process`] | what is settled before the process has a second thread |
//! | [`random`] | reproducible random numbers |
//! | [`signed`] | counts as attributes of spans |
//! | [`simd`] | loops with the widest vectors that the processor has |
//! | [`stamp`] | whether a file is still the one that was read |

pub mod batcher;
pub mod blocking;
pub mod budget;
pub mod digest;
pub mod nearest;
pub mod output;
pub mod owner;
pub mod percent;
pub mod process;
pub mod random;
pub mod signed;
pub mod simd;
#[cfg(test)]
pub mod skipped;
pub mod stamp;
