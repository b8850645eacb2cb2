//! What goes out.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`view`] | products and pages as clients see them |
//! | [`readiness`] | the report of `/readyz` |
//! | [`error`] | what can go wrong, as problem documents |

pub mod error;
pub mod readiness;
pub mod view;
