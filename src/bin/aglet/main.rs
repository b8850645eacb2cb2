//! `aglet`: serve | import | embed | catalog | backup | restore | gc | verify | doctor | model | demo | evaluate | suite | openapi. Each subcommand turns
//! arguments into one library call and lives in a file of its own beside this one.

/// As the standard library's, for a reader that may have gone: see [`aglet::util::output`].
macro_rules! println {
    ($($text:tt)*) => { aglet::util::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `println`.
macro_rules! print {
    ($($text:tt)*) => { aglet::util::output::out(format_args!($($text)*)) };
}

/// As `println`.
macro_rules! eprintln {
    ($($text:tt)*) => { aglet::util::output::err(format_args!("{}\n", format_args!($($text)*))) };
}

mod backup;
mod catalog;
mod demo;
mod doctor;
mod embed;
mod evaluate;
mod gc;
mod health;
mod import;
mod key;
mod model;
mod openapi;
mod place;
mod serve;
mod signals;
mod suite;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "aglet",
    version,
    about = "Product search for fashion shops, in words or by photo"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    /// Ask a running service whether it is ready; exit code 0 when it is.
    Health(health::HealthArgs),
    /// Download checkpoints, make and check model folders.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Print the API's OpenAPI document.
    Openapi,
    Demo(demo::DemoArgs),
    Import(import::ImportArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Gc(gc::GcArgs),
    Embed(embed::EmbedArgs),
    /// Move a catalog to another database.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    Key(key::KeyArgs),
    Evaluate(evaluate::EvaluateArgs),
    Suite(suite::SuiteArgs),
    Verify(verify::VerifyArgs),
    Doctor(doctor::DoctorArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    aglet::util::process::keep_quiet();
    let cli = Cli::parse();
    check_variables()?;
    match cli.command {
        Command::Serve(args) => serve::run(args)?,
        Command::Health(args) => health::run(&args)?,
        Command::Model(command) => model::run(command)?,
        Command::Openapi => openapi::run()?,
        Command::Demo(arguments) => demo::run(&arguments)?,
        Command::Backup(args) => backup::run(&args)?,
        Command::Restore(args) => backup::run_restore(&args)?,
        Command::Gc(args) => gc::run(&args)?,
        Command::Embed(args) => embed::run(args)?,
        Command::Catalog(command) => catalog::run(&command)?,
        Command::Key(args) => key::run(&args)?,
        Command::Import(args) => return import::run(args),
        Command::Evaluate(arguments) => evaluate::run(arguments)?,
        Command::Suite(arguments) => suite::run(arguments)?,
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Verify(arguments) => return verify::run(arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every `AGLET_*` variable must be one that some command reads.
fn check_variables() -> Result<(), aglet::config::UnknownVariables> {
    fn names(command: &clap::Command, all: &mut Vec<String>) {
        let own = command.get_arguments().filter_map(clap::Arg::get_env);
        all.extend(own.filter_map(|name| Some(name.to_str()?.to_owned())));
        for below in command.get_subcommands() {
            names(below, all);
        }
    }
    let mut known = Vec::new();
    names(&Cli::command(), &mut known);
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    aglet::config::check_variables(given, &known)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// No two arguments of a command have the same name.
    #[test]
    fn the_arguments_of_each_command_go_together() {
        super::Cli::command().debug_assert();
    }
}
