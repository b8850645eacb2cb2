//! A command's output on this terminal: results on stdout, lines and bars on stderr.

use aglet::evaluate::command::Console;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Default)]
pub struct Terminal {
    bar: Option<ProgressBar>,
}

impl Console for Terminal {
    fn print(&mut self, text: &str) {
        print!("{text}");
    }

    fn note(&mut self, line: &str) {
        eprintln!("{line}");
    }

    fn begin(&mut self, what: &'static str, total: usize) {
        self.end();
        let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} {{eta}}");
        let style = ProgressStyle::with_template(&template).expect("a template written above");
        self.bar = Some(ProgressBar::new(total as u64).with_style(style));
    }

    fn advance(&mut self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
