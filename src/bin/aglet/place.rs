//! Where the catalog is that a command is about.

use std::path::PathBuf;

use aglet::catalog::{Catalog, Database, PictureOptions, PicturesAt};

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
        self.open_with(PictureOptions::default()).await
    }

    /// The same, with the pictures that are kept.
    pub async fn open_with(&self, pictures: PictureOptions) -> anyhow::Result<Catalog> {
        anyhow::ensure!(
            self.database != Database::Folder || self.data.join("catalog.sqlite").is_file(),
            "{} holds no catalog",
            self.data.display()
        );
        Ok(Catalog::open_with(&self.data, &self.database, pictures).await?)
    }
}

/// Where its pictures are kept.
#[derive(clap::Args)]
pub struct PicturesPlace {
    /// Where pictures are kept, as `aglet serve` takes it: file:///mnt/pictures or s3://bucket/prefix
    #[arg(
        long,
        env = "AGLET_PICTURES",
        value_name = "PLACE",
        default_value = "",
        hide_default_value = true
    )]
    pub pictures: PicturesAt,
}
