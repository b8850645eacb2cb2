//! What comes out: the table, files, and the exit code.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aglet::evaluate::document::{self, Document, Gate, Outcome, Part};
use aglet::evaluate::engine::Engine;
use aglet::evaluate::html::Pictures;
use aglet::evaluate::retrieval::RetrievalResult;
use aglet::evaluate::suite::Suite;
use aglet::evaluate::{html, junit, terminal};
use anyhow::ensure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Args)]
pub struct OutputArgs {
    /// Write the whole result
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write JUnit XML: every case, and every gate
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report for people, one file with all pictures in it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare with an earlier result (JSON) on the same data: paired tests
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Fail when a figure is lower: c=0.35, text.level1.c=0.5, macro_f1=0.6; repeatable
    #[arg(long = "min-share", value_name = "FIGURE=SHARE")]
    gates: Vec<Gate>,
}

/// Who can show the products of a suite's results, the suite, and the folder where its file lies.
pub type Show<'a> = (&'a mut dyn Engine, &'a Suite, &'a Path);

impl OutputArgs {
    /// The baseline, read and held against what will be measured (the prefix and the data of every
    /// part) before the hours that this takes.
    pub fn baseline(&self, data: &[(&str, &str)]) -> anyhow::Result<Option<Document>> {
        let Some(path) = &self.baseline else {
            return Ok(None);
        };
        let base = Document::load(path)?;
        let same = data
            .iter()
            .any(|(prefix, sha256)| base.part(prefix, sha256).is_some());
        ensure!(
            same,
            "{} was measured on other data: nothing can be compared",
            path.display()
        );
        Ok(Some(base))
    }

    /// Prints, writes, compares and judges. Everything is written before anything can make the
    /// command fail.
    pub fn finish(
        &self,
        document: &Document,
        baseline: Option<&Document>,
        show: Option<Show<'_>>,
    ) -> anyhow::Result<()> {
        print!("{}", terminal::document(document));
        let verdicts = document.judge(&self.gates);
        let json = serde_json::to_string_pretty(document)? + "\n";
        let written = [
            put(self.json.as_deref(), || json),
            put(self.junit.as_deref(), || {
                junit::render(document, &verdicts, SystemTime::now())
            }),
            put(self.html.as_deref(), || {
                html::render(
                    document,
                    baseline,
                    &verdicts,
                    &pictures(document, baseline, show),
                )
            }),
        ];
        let tests = baseline.map(|base| (document.against(base), document.doubt(base)));
        if let Some((tests, doubt)) = &tests {
            print!("\n{}", terminal::paired(tests).plain());
            if let Some(doubt) = doubt {
                println!("warning: {doubt}");
            }
        }
        if !verdicts.is_empty() {
            print!("\n{}", terminal::verdicts(&verdicts));
        }
        written.into_iter().collect::<anyhow::Result<()>>()?;
        ensure!(
            tests.is_none_or(|(tests, _)| !tests.is_empty()),
            "the baseline has no case in common with this result"
        );
        let failed = verdicts.iter().filter(|v| !v.passed()).count();
        ensure!(failed == 0, "{failed} of {} gates failed", verdicts.len());
        Ok(())
    }
}

/// What the report of a suite shows.
fn pictures(document: &Document, baseline: Option<&Document>, show: Option<Show<'_>>) -> Pictures {
    let Some((engine, suite, folder)) = show else {
        return Pictures::default();
    };
    let parts = [Some(document), baseline]
        .into_iter()
        .flatten()
        .flat_map(|d| &d.parts);
    let results: Vec<&RetrievalResult> = parts.filter_map(retrieval).collect();
    html::gather(engine, suite, folder, &results)
}

fn retrieval(part: &Part) -> Option<&RetrievalResult> {
    match &part.outcome {
        Outcome::Retrieval(result) => Some(result),
        _ => None,
    }
}

fn put(path: Option<&Path>, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    path.map_or(Ok(()), |path| Ok(document::write(path, &text())?))
}

pub fn bar(what: &str, length: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template(&format!("{what} {{wide_bar}} {{pos}}/{{len}} {{eta}}"));
    ProgressBar::new(length as u64).with_style(style.expect("a template written above"))
}
