//! What a request passes before and after its handler.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`edge`] | request id, trace, metrics, access log, problem documents |
//! | [`limits`] | how many requests are in work, and how long |
//! | [`etag`] | conditional requests |

pub mod edge;
pub mod etag;
pub mod limits;
