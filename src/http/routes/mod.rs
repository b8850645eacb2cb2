//! The handlers: a request's parts into one call of [`service`](crate::service), its result into a
//! response.
//!
//! | file | paths |
//! | --- | --- |
//! | [`search`] | `/search`, `/search/image` |
//! | [`products`] | `/products/{id}`, and what is like it |
//! | [`pictures`] | `/products/{id}/image`, `/products/{id}/pictures/{number}` |
//! | [`write`](mod@write) | `/products/{id}`, written |
//! | [`bulk`] | `/products`, `/products:bulk` |
//! | [`attributes`] | `/attributes` |
//! | [`admin`] | `/admin/keys`, `/admin/model`, `/admin/reload` |
//! | [`health`] | `/livez`, `/readyz`, `/metrics`, `/version` |
//! | [`page`] | `/`, the search page |

pub mod admin;
pub mod attributes;
pub mod bulk;
pub mod health;
pub mod page;
pub mod pictures;
pub mod products;
pub mod search;
pub mod write;
