//! Data sets on disk: made of a catalog, added to, and read for training. The folder's format is
//! defined in [`crate::evaluate::data::data_set`].
//!
//! | file | what it does |
//! | --- | --- |
//! | [`prepare`] | chooses a catalog's products, splits them, puts them into words, writes the folder |
//! | [`split`] | which side each product is on |
//! | [`templates`] | caption templates, and captions made of them |
//! | [`enrich`] | asks a vision-language model for a sentence about every photo |
//! | [`products`] | reads a side as products in memory |

pub mod enrich;
pub mod prepare;
pub mod products;
pub mod split;
pub mod templates;
