//! The handlers: a request's parts into one call of [`service`](crate::service), its result into a
//! response.
//!
//! | file | paths |
//! | --- | --- |
//! | [`search`] | `/search`, `/search/image` |
//! | [`products`] | `/products/{id}`, its picture, and what is like it |
//! | [`attributes`] | `/attributes` |
//! | [`health`] | `/livez`, `/readyz`, `/metrics` |
//! | [`page`] | `/`, the search page |

pub mod attributes;
pub mod health;
pub mod page;
pub mod products;
pub mod search;
