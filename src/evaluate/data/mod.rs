//! What is asked and about which products: catalogs, labeled images, suites, questions, words.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`split`] | which products are kept out of training |
//! | [`attributes`] | what products carry: values of an attribute, whether a product has one |
//! | [`data_set`] | the folder that `aglet-train prepare` writes: its one definition |
//! | [`labeled_catalog`] | a catalog straight from the shop's files or from a data set |
//! | [`labeled_images`] | labeled images, in the layouts that benchmarks come in |
//! | [`prompts`] | the texts that classes of labeled images are asked with |
//! | [`questions`] | questions made from a catalog ("navy blue tshirts") |
//! | [`shopper`] | what shoppers type, with a rule for what is right |
//! | [`catalog_queries`] | the same made from a catalog: brands, titles, article numbers |
//! | [`suite`] | the suite file: retrieval cases with what they expect |
//! | [`suite_build`] | makes a suite out of a labeled catalog |

pub mod attributes;
pub mod catalog_queries;
pub mod data_set;
pub mod labeled_catalog;
pub mod labeled_images;
pub mod prompts;
pub mod questions;
pub mod shopper;
pub mod split;
pub mod suite;
pub mod suite_build;
