//! What a request passes before and after its handler.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`edge`] | request id, trace, metrics, access log, problem documents |
//! | [`access`] | who is let in, and how often |
//! | [`client`] | the address of a client |
//! | [`rates`] | how often somebody may ask |
//! | [`cors`] | which pages of other origins may call |
//! | [`limits`] | how many requests are in work, and how long |
//! | [`etag`] | conditional requests |

pub mod access;
pub mod client;
pub mod cors;
pub mod edge;
pub mod etag;
pub mod limits;
pub mod rates;
