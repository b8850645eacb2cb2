//! How results are shown: the terminal, HTML, JUnit XML, CSV and Markdown.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`table`] | a table of text, written as plain text, Markdown or CSV |
//! | [`tables`] | the tables and sentences that several reports show |
//! | [`terminal`] | what the terminal shows of a document |
//! | [`html`] | the report for people, one file |
//! | [`junit`] | JUnit XML for pipelines |
//! | [`markup`] | escaping for HTML and XML |

pub mod html;
pub mod junit;
pub mod markup;
pub mod table;
pub mod tables;
pub mod terminal;
