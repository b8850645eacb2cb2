//! `aglet gc`: deletes embeddings that nobody needs any more.

use std::time::Duration;

use aglet::config::{DEFAULT_KEEP_DAYS, pictures_at};

use crate::place::{CatalogPlace, PicturesPlace};

/// Delete the embeddings that nobody needs any more
///
/// Those of models that no service or import has used for a while (the model used last stays), and
/// those of pictures and captions that no product has had for a while; with them kept pictures that no
/// product shows. A service does the same once
/// a day. It may run beside a service; searches do not wait for it.
#[derive(clap::Args)]
pub struct GcArgs {
    #[command(flatten)]
    place: CatalogPlace,
    #[command(flatten)]
    pictures: PicturesPlace,
    /// Days for which they are kept
    #[arg(long, env = "AGLET_KEEP_DAYS", default_value_t = DEFAULT_KEEP_DAYS)]
    keep_days: u64,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Give the space back to the file system as well: rewrites the database, and needs as much
    /// room again while it does
    #[arg(long, conflicts_with = "dry_run")]
    compact: bool,
}

pub fn run(args: &GcArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pictures = pictures_at(args.pictures.pictures.clone());
        let catalog = args.place.open_with(pictures).await?;
        let keep = Duration::from_hours(24).saturating_mul(args.keep_days.try_into()?);
        let garbage = catalog.collect_garbage(keep, None, args.dry_run).await?;
        if args.compact {
            catalog.compact().await?;
        }
        catalog.close().await;
        println!(
            "{} {} embeddings, those of {} former models among them; {} more are not needed now and \
             are kept for {} days",
            if args.dry_run { "would delete" } else { "deleted" },
            garbage.embeddings,
            garbage.models,
            garbage.waiting,
            args.keep_days
        );
        if garbage.uploads > 0 {
            println!("deleted {} pictures that no product shows", garbage.uploads);
        }
        Ok(())
    })
}
