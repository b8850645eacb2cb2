//! `aglet verify`: whether the saved index is what the catalog says.

use std::process::ExitCode;

use aglet::catalog::{Catalog, Database, PictureHosts, VectorPlace};
use aglet::config::{Config, Settings};
use aglet::model::ModelFolder;
use aglet::service::{Making, Verified, in_use, verify};

/// Differences that are printed.
const SHOWN: usize = 20;

/// Compare the saved index with the catalog, product by product
///
/// Restores the index as a start does, takes over what changed since it was saved, and compares each
/// product's vector, attributes, prices and words. The exit code is 1 when one differs. It changes
/// nothing and may run beside a service. The settings are those of `aglet serve`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let config = Config::check(args.settings)?;
    anyhow::ensure!(
        config.database != Database::Folder || config.data.join("catalog.sqlite").is_file(),
        "{} holds no catalog",
        config.data.display()
    );
    let making = Making {
        words_percent: config.words_percent,
        language: config.language,
        types: config.types.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let verified = runtime.block_on(async {
        let catalog =
            Catalog::open_with(&config.data, &config.database, PictureHosts::default()).await?;
        if config.vectors == VectorPlace::Pgvector {
            catalog.look_at_vectors();
        }
        let (folder, served) = in_use(&catalog, &config.model).await?;
        let folder = ModelFolder::open(&folder)?;
        let dimensions = folder.manifest().dimensions;
        let making = making.with_words(served.words_percent);
        let verified = verify(&catalog, folder.id(), dimensions, &making).await?;
        catalog.close().await;
        anyhow::Ok(verified)
    })?;
    match verified {
        Verified::Nothing { reason } => {
            println!("nothing to compare: {reason}; a start builds the index anew");
            Ok(ExitCode::SUCCESS)
        }
        Verified::Compared {
            products,
            changes,
            differences,
        } => {
            for (key, id, what) in differences.iter().take(SHOWN) {
                let id = id.as_deref().unwrap_or("(removed)");
                println!("{id} (key {}): {what}", key.0);
            }
            println!(
                "{products} products compared, {changes} of them changed since the index was saved; \
                 {} differences",
                differences.len()
            );
            Ok(if differences.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}
