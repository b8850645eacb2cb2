//! `aglet openapi`: prints the API's document.

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
pub fn run() -> anyhow::Result<()> {
    print!("{}", aglet::http::document_text()?);
    Ok(())
}
