//! What comes out: the table, files, and the exit code.

use std::path::{Path, PathBuf};

use aglet::evaluate::document::{Document, Gate, Outcome, Part};
use aglet::evaluate::engine::Engine;
use aglet::evaluate::retrieval::RetrievalResult;
use aglet::evaluate::suite::Suite;
use aglet::evaluate::{html, junit, terminal};
use anyhow::{Context as _, ensure};
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
    /// Prints, writes, compares and judges.
    pub fn finish(&self, document: &Document, show: Option<Show<'_>>) -> anyhow::Result<()> {
        print!("{}", terminal::document(document));
        let baseline = self.baseline.as_deref().map(Document::load).transpose()?;
        if let (Some(base), Some(path)) = (&baseline, &self.baseline) {
            let tests = document.against(base);
            ensure!(!tests.is_empty(), "{} was measured on other data: nothing can be compared", path.display());
            print!("\n{}", terminal::paired(&tests).plain());
        }
        let verdicts = document.judge(&self.gates);
        if let Some(path) = &self.json {
            write(path, serde_json::to_string_pretty(document)? + "\n")?;
        }
        if let Some(path) = &self.junit {
            write(path, junit::render(document, &verdicts))?;
        }
        if let Some(path) = &self.html {
            let pictures = show.map(|(engine, suite, folder)| {
                let documents = [Some(document), baseline.as_ref()];
                let parts = documents.into_iter().flatten().flat_map(|d| &d.parts);
                let results: Vec<&RetrievalResult> = parts.filter_map(retrieval).collect();
                html::gather(engine, suite, folder, &results)
            });
            write(path, html::render(document, baseline.as_ref(), &verdicts, &pictures.unwrap_or_default()))?;
        }
        if !verdicts.is_empty() {
            print!("\n{}", terminal::verdicts(&verdicts));
        }
        let failed = verdicts.iter().filter(|v| !v.passed()).count();
        ensure!(failed == 0, "{failed} of {} gates failed", verdicts.len());
        Ok(())
    }
}

fn retrieval(part: &Part) -> Option<&RetrievalResult> {
    match &part.outcome {
        Outcome::Retrieval(result) => Some(result),
        _ => None,
    }
}

fn write(path: &Path, text: String) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

pub fn bar(what: &str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{what} {{wide_bar}} {{pos}}/{{len}} {{eta}}"));
    ProgressBar::new(length as u64).with_style(style.expect("a template written above"))
}
