//! What is measured and on what: model folder, service, catalogue, labeled images.

use std::path::PathBuf;

use aglet::catalog::source::Source;
use aglet::config::{Config, Settings};
use aglet::domain::{AttributeName, AttributeValue, Filters};
use aglet::encode::Device;
use aglet::evaluate::api::ApiEngine;
use aglet::evaluate::data::data_set::{self, DataSetError};
use aglet::evaluate::embedder::Embedder;
use aglet::evaluate::shop::Shop;
use aglet::model::ModelFolder;
use anyhow::Context as _;
use clap::Args;

#[derive(Args)]
pub struct ModelArgs {
    /// Model folder
    #[arg(
        long,
        value_name = "DIR",
        default_value = "models/aglet-small",
        env = "AGLET_MODEL"
    )]
    pub model: PathBuf,
    /// ONNX Runtime's library, or the folder that holds it
    #[arg(long, value_name = "PATH", env = "AGLET_RUNTIME")]
    runtime: Option<PathBuf>,
    /// auto: CUDA where it works, else the CPU
    #[arg(long, env = "AGLET_DEVICE")]
    device: Option<Device>,
    /// Keep picture embeddings in this folder, by model
    #[arg(long, value_name = "DIR", env = "AGLET_EVALUATE_CACHE")]
    cache: Option<PathBuf>,
}

impl ModelArgs {
    pub fn start(&self) -> anyhow::Result<Embedder> {
        let folder = ModelFolder::open(&self.model)?;
        let settings = Settings {
            runtime: self.runtime.clone(),
            device: self.device,
            ..Settings::default()
        };
        let options = Config::check(settings)?.encoder;
        Ok(Embedder::start(&folder, &options, self.cache.as_deref())?)
    }
}

#[derive(Args)]
pub struct ServiceArgs {
    /// Measure a running service instead of a model folder: its address
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    /// Sent as a bearer token
    #[arg(
        long,
        value_name = "KEY",
        env = "AGLET_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
}

impl ServiceArgs {
    pub fn connect(&self) -> anyhow::Result<Option<ApiEngine>> {
        let Some(url) = &self.api else {
            return Ok(None);
        };
        Ok(Some(ApiEngine::connect(url, self.api_key.as_deref())?))
    }
}

/// A labeled catalogue.
#[derive(Args)]
pub struct ShopArgs {
    /// A catalogue: a folder with styles.csv (and shoelaces.csv, images/, images-60x80.zip) or
    /// products.jsonl, a JSON Lines file, or a data set of `aglet-train prepare` (its test side, or
    /// the side that is named)
    #[arg(long, value_name = "PATH")]
    catalog: Option<PathBuf>,
    /// The catalogue's table, instead of --catalog
    #[arg(long, value_name = "FILE", conflicts_with = "catalog")]
    styles: Option<PathBuf>,
    /// A folder or zip of the catalogue's photos; repeatable, the first that has a photo gives it
    #[arg(long, value_name = "DIR_OR_ZIP")]
    images: Vec<PathBuf>,
    /// A table of id and shoelace color that adds to styles.csv
    #[arg(long, value_name = "FILE")]
    shoelaces: Option<PathBuf>,
    /// Only products with this value of an attribute; repeatable as in a search
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = filter)]
    filters: Vec<(AttributeName, AttributeValue)>,
    /// Only products that no model of ours is trained on (a fixed tenth, by a hash of the id; a
    /// data set's test side needs no such choice)
    #[arg(long)]
    held_out: bool,
}

pub fn filter(text: &str) -> Result<(AttributeName, AttributeValue), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not of the form category=Casual Shoes"))?;
    let name = AttributeName::new(name.trim()).map_err(|e| e.to_string())?;
    Ok((name, AttributeValue::new(value).map_err(|e| e.to_string())?))
}

impl ShopArgs {
    pub fn given(&self) -> bool {
        self.catalog.is_some() || self.styles.is_some()
    }

    pub fn held_out(&self) -> bool {
        self.held_out
    }

    pub fn filters(&self) -> &[(AttributeName, AttributeValue)] {
        &self.filters
    }

    pub fn read(&self) -> anyhow::Result<Shop> {
        let shop = self.all()?;
        let filters = Filters::new(self.filters.iter().cloned())?;
        let shop = shop.only(&filters, |p| {
            !self.held_out || aglet::evaluate::split::held_out(p.id.as_str())
        });
        anyhow::ensure!(
            !shop.offers.is_empty(),
            "no product of the catalogue is left after --where and --held-out"
        );
        Ok(shop)
    }

    /// All products there are, whatever the filters leave: of a data set those of all its sides.
    pub fn whole(&self) -> anyhow::Result<Shop> {
        let mut shop = self.all()?;
        if let Some(path) = self.catalog.as_deref().filter(|_| shop.prepared) {
            shop.offers.clear();
            for side in data_set::sides_at(path) {
                match aglet::evaluate::shop::offers_of(&side) {
                    Err(DataSetError::Empty { .. }) => {}
                    products => shop.offers.extend(products?),
                }
            }
        }
        Ok(shop)
    }

    fn all(&self) -> anyhow::Result<Shop> {
        if let Some(styles) = &self.styles {
            let (images, shoelaces) = (self.images.clone(), self.shoelaces.clone());
            return Ok(Shop::read(&Source::Kaggle {
                styles: styles.clone(),
                images,
                shoelaces,
            })?);
        }
        let path = self
            .catalog
            .as_deref()
            .context("give the catalogue: --catalog DIR or --styles FILE --images DIR")?;
        Ok(Shop::at(path, &self.images, self.shoelaces.as_deref())?)
    }
}
