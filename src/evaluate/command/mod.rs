//! What a subcommand does between its arguments and its output. The programs parse the arguments,
//! make a request of them, and print what a [`Console`] is given.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`labeled`] | `aglet evaluate classify` and `zero-shot`; the labeled sets of a benchmark |
//! | [`retrieval`] | `aglet evaluate retrieval` |
//! | [`benchmark`] | `aglet evaluate benchmark` |
//! | [`shopper`] | `aglet evaluate shopper` |
//! | [`compare`] | `aglet evaluate compare` and `aglet-train compare`, with their arguments |
//! | [`suite`] | `aglet suite build` |
//! | [`choice`] | which model, service and catalog are meant |
//! | [`output`] | tables, files, baselines and gates: what every measuring command ends with |
//! | [`console`] | where a command prints |
//! | [`error`] | why a command fails |

pub mod benchmark;
pub mod choice;
pub mod compare;
pub mod console;
pub mod error;
pub mod labeled;
pub mod output;
pub mod retrieval;
pub mod shopper;
pub mod suite;

pub use console::Console;
pub use error::CommandError;
