//! `aglet openapi`: prints the API's document.

pub fn run() -> anyhow::Result<()> {
    print!("{}", aglet::http::document_text()?);
    Ok(())
}
