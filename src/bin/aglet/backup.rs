//! `aglet backup` and `aglet restore`: a catalog as one file, and back.

use std::path::PathBuf;

use aglet::catalog::backup::{self, BackupOptions};
use aglet::catalog::{Database, PicturesAt};

use crate::place::CatalogPlace;

/// Write a backup of the catalog to one file
///
/// A zip archive of the database, of the pictures that came over HTTP, and of a manifest with the sha256
/// of each file. A service and an import may go on beside it. The index is not in it: a start builds
/// it anew.
#[derive(clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    place: CatalogPlace,
    /// Where pictures are kept that are not in the data folder, as `aglet serve` takes it: they are not in
    /// the backup
    #[arg(
        long,
        env = "AGLET_PICTURES",
        value_name = "PLACE",
        default_value = "",
        hide_default_value = true
    )]
    kept: PicturesAt,
    /// The file to write, such as aglet-2026-11-30.zip. Its folder needs room for the database as well
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// With the pictures that the shop keeps in folders and archives of its own
    #[arg(long)]
    pictures: bool,
    /// Replace a file of that name
    #[arg(long)]
    force: bool,
}

/// Restore a catalog from a backup
///
/// Checks every byte. A service that is started on the folder embeds nothing anew, and builds the
/// index.
#[derive(clap::Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The data folder to make; a new or an empty one
    #[arg(long, env = "AGLET_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

pub fn run(args: &BackupArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.place.database == Database::Folder,
        "this is for a database in the data folder: back {} up with pg_dump",
        args.place.database
    );
    let options = BackupOptions {
        pictures: args.pictures,
        kept_elsewhere: args.kept != PicturesAt::Uploads,
        force: args.force,
    };
    let written = runtime()?.block_on(backup::back_up(&args.place.data, &args.to, options))?;
    println!(
        "{} products, {} uploads and {} pictures in {} ({} MB)",
        written.products,
        written.uploads,
        written.pictures,
        args.to.display(),
        written.bytes.div_ceil(1_000_000)
    );
    if options.kept_elsewhere {
        println!("pictures in {} are not in it", args.kept);
    }
    if written.missing > 0 {
        println!(
            "{} pictures could not be read and are not in it",
            written.missing
        );
    }
    Ok(())
}

pub fn run_restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let products = runtime()?.block_on(backup::restore(&args.from, &args.data))?;
    println!("{products} products in {}", args.data.display());
    Ok(())
}
