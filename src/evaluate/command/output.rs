//! What every measuring command ends with: tables, files, the comparison with a baseline, the
//! gates.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::console::Console;
use super::error::CommandError;
use crate::evaluate::benchmark::document::{Document, Outcome, Part};
use crate::evaluate::benchmark::gate::{Gate, GateResult};
use crate::evaluate::benchmark::retrieval::RetrievalResult;
use crate::evaluate::data::suite::Suite;
use crate::evaluate::report::html::{self, Thumbnails, thumbnails};
use crate::evaluate::report::{junit, tables, terminal};
use crate::evaluate::subject::Engine;

/// Which files are written, and what the result is compared with.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub json: Option<PathBuf>,
    pub junit: Option<PathBuf>,
    pub html: Option<PathBuf>,
    /// An earlier result on the same data.
    pub baseline: Option<PathBuf>,
    pub gates: Vec<Gate>,
}

/// Where the pictures of a suite's results come from.
pub(super) struct PictureSource<'a> {
    pub engine: &'a mut dyn Engine,
    pub suite: &'a Suite,
    /// Where the suite's file is.
    pub folder: &'a Path,
}

impl Output {
    /// The baseline. Compared with what will be measured (the prefix and the data of every part)
    /// before the hours that this takes.
    pub(super) fn baseline(&self, data: &[(&str, &str)]) -> Result<Option<Document>, CommandError> {
        let Some(path) = &self.baseline else {
            return Ok(None);
        };
        let base = Document::load(path)?;
        let same = data
            .iter()
            .any(|(prefix, sha256)| base.part(prefix, sha256).is_some());
        if same {
            Ok(Some(base))
        } else {
            Err(CommandError::OtherData { path: path.clone() })
        }
    }

    /// Prints, writes, compares and checks the gates. Everything is written before anything can
    /// make the command fail.
    pub(super) fn finish(
        &self,
        document: &Document,
        baseline: Option<&Document>,
        pictures: Option<PictureSource<'_>>,
        console: &mut dyn Console,
    ) -> Result<(), CommandError> {
        console.print(&terminal::document(document));
        let gates = Gate::check_all(&self.gates, document);
        let written = self.write_files(document, baseline, &gates, pictures);
        let tests = baseline.map(|base| document.against(base));
        if let Some(tests) = &tests {
            console.print(&format!("\n{}", tables::paired(tests).plain()));
        }
        if let Some(doubt) = baseline.and_then(|base| document.doubt(base)) {
            console.print(&format!("warning: {doubt}\n"));
        }
        if !gates.is_empty() {
            console.print(&format!("\n{}", terminal::gates(&gates)));
        }
        written?;
        if tests.is_some_and(|tests| tests.is_empty()) {
            return Err(CommandError::NothingInCommon);
        }
        let failed = gates.iter().filter(|gate| !gate.passed()).count();
        if failed > 0 {
            let gates = gates.len();
            return Err(CommandError::Gates { failed, gates });
        }
        Ok(())
    }

    /// Every file is tried; the first that could not be written is the error.
    fn write_files(
        &self,
        document: &Document,
        baseline: Option<&Document>,
        gates: &[GateResult],
        pictures: Option<PictureSource<'_>>,
    ) -> Result<(), CommandError> {
        let json = serde_json::to_string_pretty(document)? + "\n";
        let mut written = Ok(());
        if let Some(path) = &self.json {
            written = written.and(write(path, &json));
        }
        if let Some(path) = &self.junit {
            let xml = junit::render(document, gates, SystemTime::now());
            written = written.and(write(path, &xml));
        }
        if let Some(path) = &self.html {
            let thumbnails = thumbnails_of(document, baseline, pictures);
            let page = html::render(document, baseline, gates, &thumbnails);
            written = written.and(write(path, &page));
        }
        written
    }
}

/// What the report of a suite shows.
fn thumbnails_of(
    document: &Document,
    baseline: Option<&Document>,
    pictures: Option<PictureSource<'_>>,
) -> Thumbnails {
    let Some(PictureSource {
        engine,
        suite,
        folder,
    }) = pictures
    else {
        return Thumbnails::default();
    };
    let documents = [Some(document), baseline].into_iter().flatten();
    let results: Vec<&RetrievalResult> = documents
        .flat_map(|document| &document.parts)
        .filter_map(retrieval)
        .collect();
    thumbnails::gather(engine, suite, folder, &results)
}

fn retrieval(part: &Part) -> Option<&RetrievalResult> {
    match &part.outcome {
        Outcome::Retrieval(result) => Some(result),
        _ => None,
    }
}

/// Writes a file that shows results, and the folders above it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let io = |path: &Path, source| CommandError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
    }
    std::fs::write(path, text).map_err(|source| io(path, source))
}
