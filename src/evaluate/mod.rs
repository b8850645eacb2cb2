//! Figures that decide which model ships: benchmarks, the retrieval suite, and the reports of them.
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`stats`] | figures out of answers: metrics, scorings, intervals, paired tests; pure |
//! | [`data`] | what is asked and about which products: catalogs, labeled images, suites |
//! | [`subject`] | what is measured: a model folder or a running service |
//! | [`benchmark`] | each benchmark, the document of their results, the comparison of models |
//! | [`report`] | how results are shown: terminal, HTML, JUnit XML |
//! | [`command`] | what a subcommand does between its arguments and its output |
//!
//! A room uses those above it in this table, and none below. Nothing here needs training code or a
//! database.

pub mod benchmark;
pub mod command;
pub mod data;
#[cfg(test)]
mod fixtures;
pub mod report;
pub mod stats;
pub mod subject;
