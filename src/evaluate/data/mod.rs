//! What is asked, and about which products.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`data_set`] | the folder that `aglet-train prepare` writes: its one definition |

pub mod data_set;
