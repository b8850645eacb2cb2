//! WiSE-FT (arXiv 2109.01903): between a base and what fine-tuning made of it lie models that have
//! the new ability and still the old ones. `theta = (1 - alpha) base + alpha tuned`, parameter by
//! parameter; which alpha is best is seen on validation data, never on the test set.
//!
//! The tuned model may be the mean of several that began at the same base and differ in their seeds
//! (a model soup, arXiv 2203.05482): what each of them learned by chance cancels out, what all of
//! them learned stays.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`mixture`] | mixes two models, and takes the mean of several |
//! | [`sweep`] | measures each share, and chooses the best |
//! | [`measure`] | what a model is measured by |
//! | [`mix`] | all of it, from folder to folder |

pub mod measure;
pub mod mix;
pub mod mixture;
pub mod sweep;
