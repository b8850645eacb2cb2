//! Where a command prints.

/// The program around a command.
pub trait Console {
    /// A part of the result.
    fn print(&mut self, text: &str);

    /// A line that is not part of the result.
    fn note(&mut self, line: &str);

    /// Work begins: `what` ("embedding") of `total` steps, 0 where their number is not known yet.
    fn begin(&mut self, what: &'static str, total: usize) {
        let _ = (what, total);
    }

    /// So many of the steps are finished.
    fn advance(&mut self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// The work that began last has ended.
    fn end(&mut self) {}
}
