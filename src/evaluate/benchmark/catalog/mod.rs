//! The catalog benchmark: does a search find products of the kind that was asked for?
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`options`] | how much is asked, and which products may answer |
//! | [`run`] | asks the questions |
//! | [`counts`] | how many of the answering products are what was asked for |
//! | [`result`] | what came of each question, and the figures |
//!
//! Questions come from products that no model was trained on
//! ([`split`](crate::evaluate::data::split); of a data set all of the side that was read, see
//! [`LabeledCatalog::asks`](crate::evaluate::data::labeled_catalog::LabeledCatalog::asks)), in words
//! ([`questions`](crate::evaluate::data::questions)), by photo, and by title:
//!
//! | figure | definition |
//! | --- | --- |
//! | `text_category_p10` | precision@10 on the category, mean over all questions of both forms |
//! | `color_type_p10` | precision@10 on category and color, mean over the questions "color type" |
//! | `type_gender_p10` | precision@10 on category and gender, mean over the questions "type for gender" |
//! | `image_category_p10` | precision@10 on the category for a held-out product's photo, the product itself left out |
//! | `title_recall_1`, `_5`, `_10` | text-to-product: the share of titles whose own product, or another of equal title, is in the first k |
//! | `title_ndcg_10`, `title_mrr_10` | the same questions, every product of equal title relevant. MRR within the first 10 |
//! | `title_mrr`, `title_map` | the same over the whole ranking: with a model folder only |
//! | `category_p1`, `_p10` | category-to-product: the category's name alone |
//! | `color_p1`, `_p10` | color-to-product: the color's name alone |
//!
//! Attributes and titles are compared without regard to letter case. Answers come from the whole
//! catalog or from the products that the questions are made of ([`Among`]); through an API too,
//! where the others are passed over. A product without a picture does not count: no question is
//! made of it, and it is not missed among the answers.

pub mod counts;
pub mod options;
pub mod result;
pub mod run;

pub use options::{Among, CatalogOptions};
