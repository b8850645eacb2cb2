//! What the catalog costs at full size; run by hand, asserts no time:
//! `cargo test --release --test it catalog::cost -- --ignored --nocapture`.

use std::time::Instant;

use aglet::catalog::Catalog;
use aglet::catalog::ingest::{self, ImportOptions, Progress};

use super::Fake;
use super::sources::real;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn at_full_size() {
    let Some(data) = crate::support::shared_data("at_full_size") else {
        return;
    };
    let source = real(&data.join("fashion-product-images"));
    for dimensions in [256, 512] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let fake = Fake {
            dimensions,
            ..Fake::new("a")
        };
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        for run in ["first", "second"] {
            let start = Instant::now();
            let (options, progress) = (ImportOptions::default(), Progress::default());
            let summary = ingest::import(&catalog, &fake, &source, &options, &progress)
                .await
                .expect("imports");
            let (photos, words) = (summary.embedded.photos, summary.embedded.words);
            eprintln!(
                "{dimensions}: {run} import {:?}: {photos} photos, {words} captions",
                start.elapsed()
            );
        }
        catalog.close().await;
        let size = std::fs::metadata(folder.path().join("catalog.sqlite"))
            .expect("database")
            .len();
        eprintln!("{dimensions}: database {} MB", size / 1_000_000);
        let start = Instant::now();
        let catalog = Catalog::open(folder.path()).await.expect("opens");
        eprintln!("{dimensions}: open {:?}", start.elapsed());
        for _ in 0..2 {
            let start = Instant::now();
            let revision = catalog.revision().await.expect("revision");
            eprintln!(
                "{dimensions}: revision {:?} ({revision:?})",
                start.elapsed()
            );
            let start = Instant::now();
            let counts = catalog.counts(&fake.model).await.expect("counts");
            eprintln!("{dimensions}: counts {:?} ({counts:?})", start.elapsed());
            let start = Instant::now();
            let mut all = Vec::new();
            catalog
                .embedded(&fake.model, dimensions, |product| all.push(product))
                .await
                .expect("reads");
            eprintln!(
                "{dimensions}: embedded {:?} ({} products)",
                start.elapsed(),
                all.len()
            );
            let keys: Vec<_> = all.iter().step_by(170).map(|p| p.key).collect();
            let start = Instant::now();
            let products = catalog.products(&keys).await.expect("reads").len();
            eprintln!(
                "{dimensions}: {products} products by key {:?}",
                start.elapsed()
            );
        }
    }
}
