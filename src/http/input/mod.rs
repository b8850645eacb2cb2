//! What comes in, read into domain values; a bad value is answered here.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`params`] | query strings and forms -> a [`Query`](crate::domain::Query) |
//! | [`json`] | the same as JSON |
//! | `values` | one value of one parameter each |
//! | [`body`] | bodies, read up to a cap and within a time |
//! | [`schema`] | the same parameters as OpenAPI describes them |

pub mod body;
pub mod json;
pub mod params;
pub mod schema;
mod values;
