//! Figures that decide which model ships.
//!
//! The pure part: [`metrics`] (ranking), [`classification`] (scikit-learn's report), [`scoring`] (the four scorings of
//! the retrieval suite), [`bootstrap`] (intervals, paired test), [`split`] (what is held out).

pub mod bootstrap;
pub mod classification;
pub mod metrics;
pub mod scoring;
pub mod split;
pub mod suite;
pub mod suite_build;
