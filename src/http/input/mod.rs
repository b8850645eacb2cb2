//! What comes in, read into domain values; a bad value is answered here.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`params`] | query strings, forms and JSON -> a [`Query`](crate::domain::Query) |
//! | [`body`] | bodies, read up to a cap and within a time |
//! | [`schema`] | the same parameters as OpenAPI describes them |

pub mod body;
pub mod params;
pub mod schema;
