//! What comes in, read into domain values; a bad value is answered here.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`params`] | query strings and forms -> a [`Query`](crate::domain::Query) |
//! | [`json`] | the same as JSON |
//! | [`product`] | products, patches and lines of a bulk -> a [`Write`](crate::domain::Write) |
//! | [`lines`] | a body of lines, read as a stream |
//! | `values` | one value of one parameter each |
//! | `wrong` | what is wrong with JSON, in words |
//! | [`body`] | bodies, read up to a cap and within a time |
//! | [`schema`] | the same parameters as OpenAPI describes them |

pub mod body;
pub mod json;
pub mod lines;
pub mod params;
pub mod product;
pub mod schema;
mod values;
mod wrong;
