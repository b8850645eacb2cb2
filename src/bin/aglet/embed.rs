//! `aglet embed`: embeds what waits, and serves nothing.

use aglet::catalog::Catalog;
use aglet::config::{Config, Settings};
use aglet::service::embed;

use crate::signals::Signals;

/// Embed what waits in the catalog, without serving
///
/// For machines that do that alone. Any number may, beside services that share the catalog on a server
/// of PostgreSQL: each takes what nobody else has. What one that is killed had taken is taken again
/// two minutes later.
#[derive(clap::Args)]
pub struct EmbedArgs {
    /// End when nothing waits any more
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: EmbedArgs) -> anyhow::Result<()> {
    let config = Config::check(args.settings)?;
    aglet::telemetry::start_logging(config.log_format, &config.log_filter)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let pictures = config.pictures.clone();
        let catalog = Catalog::open_with(&config.data, &config.database, pictures).await?;
        catalog.check_pictures().await?;
        let work = embed::work(&catalog, &config.model, &config.encoder, args.once);
        // A process of a container is its first, which SIGTERM ends by nothing but a handler.
        tokio::select! {
            worked = work => worked?,
            () = signals.arrive(None) => {}
        }
        catalog.close().await;
        anyhow::Ok(())
    })
}
