//! Where the catalog is that a command is about.

use std::path::PathBuf;

use aglet::catalog::{Catalog, Database, PictureHosts};

#[derive(clap::Args)]
pub struct CatalogPlace {
    /// Folder of the catalog's database
    #[arg(
        long,
        env = "AGLET_DATA",
        value_name = "DIR",
        default_value = "data",
        global = true
    )]
    pub data: PathBuf,
    /// The catalog's database where it is not in that folder: postgres://user:password@host/name
    #[arg(
        long,
        env = "AGLET_DATABASE",
        value_name = "URL",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        global = true
    )]
    pub database: Database,
}

impl CatalogPlace {
    /// One that is there: a folder without a database is most often one that was typed wrong.
    pub async fn open(&self) -> anyhow::Result<Catalog> {
        anyhow::ensure!(
            self.database != Database::Folder || self.data.join("catalog.sqlite").is_file(),
            "{} holds no catalog",
            self.data.display()
        );
        let hosts = PictureHosts::default();
        Ok(Catalog::open_with(&self.data, &self.database, hosts).await?)
    }
}
