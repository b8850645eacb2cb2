//! `aglet`: serve | import | model | demo | evaluate | suite | openapi. Each subcommand turns arguments into one
//! library call and lives in a file of its own beside this one.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "aglet", version, about = "Product search for fashion shops, in words or by photo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {}
}
