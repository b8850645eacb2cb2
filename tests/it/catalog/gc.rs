//! Embeddings that nobody needs are deleted, after a while and not before.

use std::time::Duration;

use aglet::catalog::{Catalog, Garbage};

use super::{Fake, Shop, snapshot};

const WEEK: Duration = Duration::from_hours(7 * 24);

async fn collect(catalog: &Catalog, keep: Duration, dry: bool) -> (u64, u64, u64) {
    let Garbage {
        models,
        embeddings,
        waiting,
        ..
    } = catalog
        .collect_garbage(keep, None, dry)
        .await
        .expect("collects");
    (models, embeddings, waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_product_needs_is_deleted_after_a_while() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two"), (3, "Puma Three")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(collect(&catalog, Duration::ZERO, false).await, (0, 0, 0));

    // One is removed, one gets another picture and another title.
    shop.styles(&[(1, "Puma One"), (2, "Nike Two")]);
    shop.photo(2, "another photo of 2");
    shop.import(&catalog, &fake, &shop.kaggle(), true).await;
    fake.calls();
    let before = snapshot(&catalog, &fake).await.products;
    assert_eq!(collect(&catalog, WEEK, false).await, (0, 0, 4));

    // The product comes back within the week: nothing is embedded again.
    shop.styles(&[(1, "Puma One"), (2, "Nike Two"), (3, "Puma Three")]);
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(fake.calls(), (0, 0));
    assert_eq!(collect(&catalog, WEEK, false).await, (0, 0, 2));
    assert_eq!(collect(&catalog, Duration::ZERO, true).await, (0, 2, 2));
    assert_eq!(collect(&catalog, Duration::ZERO, false).await, (0, 2, 0));
    catalog.compact().await.expect("room");
    let after = snapshot(&catalog, &fake).await.products;
    assert_eq!(after.len(), before.len() + 1);
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((&old.photos, &old.words), (&new.photos, &new.words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caption_that_waits_for_its_vector_keeps_the_former_one() {
    let shop = Shop::new(&[(1, "Puma One")]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    shop.styles(&[(1, "Nike One")]);
    shop.load(&catalog, &shop.kaggle()).await;
    assert_eq!(collect(&catalog, Duration::ZERO, false).await, (0, 0, 0));
    assert!(snapshot(&catalog, &fake).await.products[0].words.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_model_goes_and_the_one_in_use_stays() {
    let shop = Shop::new(&[(1, "Puma One"), (2, "Puma Two")]);
    let catalog = shop.catalog().await;
    let (former, now) = (Fake::new("a"), Fake::new("b"));
    shop.import(&catalog, &former, &shop.kaggle(), false).await;
    shop.import(&catalog, &now, &shop.kaggle(), false).await;
    assert_eq!(collect(&catalog, WEEK, false).await, (0, 0, 0));
    assert_eq!(snapshot(&catalog, &former).await.embedded(), 2);
    assert_eq!(collect(&catalog, Duration::ZERO, false).await, (1, 4, 0));
    assert_eq!(snapshot(&catalog, &former).await.embedded(), 0);
    assert_eq!(snapshot(&catalog, &now).await.embedded(), 2);
    // A service that uses a model says so.
    shop.import(&catalog, &former, &shop.kaggle(), false).await;
    let garbage = catalog
        .collect_garbage(Duration::ZERO, Some(&now.model), false)
        .await
        .expect("collects");
    assert_eq!((garbage.models, garbage.embeddings), (1, 4));
    assert_eq!(snapshot(&catalog, &now).await.embedded(), 2);
}
