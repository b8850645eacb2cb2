//! What is measured: each benchmark asks a subject, and its result gives named figures.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`zero_shot`] | labeled images, each taken for the class whose text is nearest |
//! | [`retrieval`] | a suite's cases, scored in four ways |
//! | [`catalog`] | questions made of a catalog: precision of words and photos, recall of titles |
//! | [`shopper`] | what shoppers type: right products in the first ten, by kind |
//! | [`document`] | the results of one subject as JSON, and paired tests between two documents |
//! | [`gate`] | figures that must not be lower |
//! | [`part_names`] | the names of a document's parts |
//! | [`compare`] | many models on the same questions, and the best by a stated rule |
//!
//! A picture or a case that fails is counted and named, never dropped in silence; a model or a
//! service that does not answer at all is an error.

pub mod catalog;
pub mod compare;
pub mod document;
pub mod gate;
pub mod part_names;
pub mod retrieval;
pub mod shopper;
pub mod zero_shot;
