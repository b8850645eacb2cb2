//! What comes out: the table, files, and the exit code.

use std::path::{Path, PathBuf};

use aglet::evaluate::document::{Document, Gate};
use aglet::evaluate::engine::Engine;
use aglet::evaluate::terminal;
use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Args)]
pub struct OutputArgs {
    /// Write the whole result
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with an earlier result (JSON) on the same data: paired tests
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Fail when a figure is lower: c=0.35, text.level1.c=0.5, macro_f1=0.6; repeatable
    #[arg(long = "min-share", value_name = "FIGURE=SHARE")]
    gates: Vec<Gate>,
}

impl OutputArgs {
    /// Prints, writes, compares and judges. `pictures`: who can show the products of the report's strips, and the
    /// suite's folder.
    pub fn finish(&self, document: &Document, pictures: Option<(&mut dyn Engine, &Path)>) -> anyhow::Result<()> {
        let _ = pictures;
        print!("{}", terminal::document(document));
        if let Some(path) = &self.baseline {
            let base = Document::load(path)?;
            let tests = document.against(&base);
            ensure!(!tests.is_empty(), "{} was measured on other data: nothing can be compared", path.display());
            print!("\n{}", terminal::paired(&tests).plain());
        }
        if let Some(path) = &self.json {
            write(path, serde_json::to_string_pretty(document)? + "\n")?;
        }
        let verdicts = document.judge(&self.gates);
        if !verdicts.is_empty() {
            print!("\n{}", terminal::verdicts(&verdicts));
        }
        let failed = verdicts.iter().filter(|v| !v.passed()).count();
        ensure!(failed == 0, "{failed} of {} gates failed", verdicts.len());
        Ok(())
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
