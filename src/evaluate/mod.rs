//! Figures that decide which model ships: metrics, the retrieval suite, and the benchmarks around
//! them.
//!
//! * pure: [`metrics`] (ranking), [`classification`] (scikit-learn's report), [`scoring`] (the four
//!   scorings of the suite), [`bootstrap`] (intervals, paired test), [`split`] (what is held out),
//!   [`suite`] and [`suite_build`] (the cases), [`questions`] (made from a catalogue);
//! * what is measured: [`zero_shot`] on labeled images ([`datasets`], asked with [`prompts`]),
//!   [`retrieval`] of a suite, and the [`catalog`] benchmark;
//! * who is measured: an [`engine`], that is a model folder ([`embedder`], exact cosine) or a
//!   running service ([`api`], the public API alone);
//! * what comes out: a [`document`] (JSON, gates, paired tests), shown in the [`terminal`], as
//!   [`html`] and as [`junit`] XML; many models side by side in [`compare`].
//!
//! Needs no training code and no database. A picture or a case that fails is counted and named,
//! never dropped in silence; a model or a service that does not answer at all is an error.

pub mod api;
pub mod bootstrap;
pub mod catalog;
pub mod classification;
pub mod compare;
pub mod data;
pub mod datasets;
pub mod document;
pub mod embedder;
pub mod engine;
#[cfg(test)]
mod fixtures;
pub mod html;
pub mod junit;
pub mod metrics;
pub mod prompts;
pub mod questions;
pub mod retrieval;
pub mod scoring;
pub mod shop;
pub mod split;
pub mod suite;
pub mod suite_build;
pub mod table;
pub mod terminal;
pub mod zero_shot;
