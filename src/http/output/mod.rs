//! What goes out.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`view`] | products and pages as clients see them |
//! | [`picture`] | pictures: their addresses and their bytes |
//! | [`progress`] | how far a product is embedded |
//! | [`written`] | what became of products that were written |
//! | [`stream`] | an answer that is made while it is sent |
//! | [`readiness`] | the report of `/readyz` |
//! | [`error`] | what can go wrong, as problem documents |

pub mod error;
pub mod picture;
pub mod progress;
pub mod readiness;
pub mod stream;
pub mod view;
pub mod written;
