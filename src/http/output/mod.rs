//! What goes out.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`view`] | products and pages as clients see them |
//! | [`error`] | what can go wrong, as problem documents |

pub mod error;
pub mod view;
