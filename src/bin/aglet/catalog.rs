//! `aglet catalog`: a catalog moved from one database to another, or brought up to date.

use std::path::PathBuf;

use aglet::catalog::{Catalog, Database, PictureHosts, copy, inspect};
use anyhow::Context as _;

use crate::place::CatalogPlace;

#[derive(clap::Subcommand)]
pub enum CatalogCommand {
    Copy(CopyArgs),
    Migrate(MigrateArgs),
}

/// Bring the tables of a catalog up to date, or make them
///
/// Whatever opens a catalog does the same. This does nothing else: it is for a job before the services are
/// renewed.
#[derive(clap::Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    place: CatalogPlace,
}

/// Copy a catalog from one database to another, which is empty
///
/// Everything that the database has: products, embeddings, the log of changes, keys, what waits. Pictures
/// that came over HTTP are files of the data folder, and are copied with it.
#[derive(clap::Args)]
pub struct CopyArgs {
    /// sqlite:FOLDER or postgres://user:password@host/name
    #[arg(long, value_name = "DATABASE")]
    from: String,
    /// The same
    #[arg(long, value_name = "DATABASE")]
    to: String,
    /// Folder of what is not in the database, where that is a server's
    #[arg(long, env = "AGLET_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

pub fn run(command: &CatalogCommand) -> anyhow::Result<()> {
    match command {
        CatalogCommand::Copy(args) => copied(args),
        CatalogCommand::Migrate(args) => migrated(&args.place),
    }
}

fn migrated(place: &CatalogPlace) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let none = PictureHosts::default();
        let catalog = Catalog::open_with(&place.data, &place.database, none).await?;
        catalog.close().await;
        let inspected = inspect(&place.data, &place.database).await?;
        let inspected = inspected.context("it is gone")?;
        println!(
            "schema {}, {} products",
            inspected.schema, inspected.products
        );
        Ok(())
    })
}

fn copied(args: &CopyArgs) -> anyhow::Result<()> {
    let place = |text: &str| -> anyhow::Result<(PathBuf, Database)> {
        if let Some(folder) = text.strip_prefix("sqlite:") {
            return Ok((folder.into(), Database::Folder));
        }
        let database = text.parse().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(database != Database::Folder, "name it as sqlite:FOLDER");
        Ok((args.data.clone(), database))
    };
    let (from, to) = (place(&args.from)?, place(&args.to)?);
    anyhow::ensure!(
        from.1 != Database::Folder || from.0.join("catalog.sqlite").is_file(),
        "{} holds no catalog",
        from.0.display()
    );
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let none = PictureHosts::default;
        let from = Catalog::open_with(&from.0, &from.1, none())
            .await
            .context("--from")?;
        let to = Catalog::open_with(&to.0, &to.1, none())
            .await
            .context("--to")?;
        let products = copy(&from, &to).await?;
        from.close().await;
        to.close().await;
        println!("{products} products copied");
        Ok(())
    })
}
