//! `aglet-train compare`: models and epochs in one table. Its arguments are those of `aglet evaluate
//! compare`; a run's weights are read by training's own code.

use std::path::Path;

use aglet::evaluate::command::Console;
use aglet::evaluate::command::compare::{self, CompareArgs};
use aglet::train::run::folder;

pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    Ok(compare::run(args, &write_checkpoint, &mut Terminal)?)
}

fn write_checkpoint(run: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(folder::write_best(run, to)?)
}

/// Results on stdout, other lines on stderr.
struct Terminal;

impl Console for Terminal {
    fn print(&mut self, text: &str) {
        print!("{text}");
    }

    fn note(&mut self, line: &str) {
        eprintln!("{line}");
    }
}
