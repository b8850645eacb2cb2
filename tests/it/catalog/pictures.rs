//! Pictures: nothing outside their folder, nothing that was not decoded at import, and no waiting
//! for storage that does not answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{Fake, Shop, reject, rejects, shown};

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success());
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_reads_nothing_outside_the_folder_and_waits_for_no_pipe() {
    let shop = Shop::new(&[
        (1, "Puma One"),
        (2, "Puma Two"),
        (3, "Puma Three"),
        (4, "Puma Four"),
        (5, "Puma Five"),
    ]);
    shop.write("secret", "photo of a secret");
    let replaced = |id: u32| {
        let path = shop.path(&format!("images/{id}.jpg"));
        fs::remove_file(&path).expect("removed");
        path
    };
    symlink(shop.path("secret"), replaced(2)).expect("a link");
    symlink("1.jpg", replaced(3)).expect("a link inside");
    pipe(&replaced(4));
    fs::create_dir(replaced(5)).expect("a folder");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    // In the order in which they were read.
    let mut rejected = rejects(&summary);
    rejected.sort_unstable();
    assert_eq!(
        rejected,
        [
            reject("3", "2", "photo"),
            reject("5", "4", "photo"),
            reject("6", "5", "photo")
        ]
    );
    let noted = fs::read_to_string(summary.rejects.expect("rejects")).expect("reads");
    assert!(
        noted.contains("is a link that leaves its folder"),
        "{noted}"
    );
    assert!(noted.contains("is not a regular file"), "{noted}");
    assert_eq!(shown(&catalog, "1").await, Some(bytes("photo of 1")));
    assert_eq!(shown(&catalog, "3").await, Some(bytes("photo of 1")));
    for lost in ["2", "4", "5"] {
        assert_eq!(shown(&catalog, lost).await, None, "{lost}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_decoded_at_import_is_shown() {
    let shop = Shop::new(&[
        (1, "Puma One"),
        (2, "Puma Two"),
        (3, "Puma Three"),
        (4, "Puma Four"),
        (5, "Puma Five"),
    ]);
    shop.photo(5, "broken photo of 5");
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(shown(&catalog, "1").await, Some(bytes("photo of 1")));
    // It was there and was not a picture.
    assert_eq!(shown(&catalog, "5").await, None);

    let path = |id: u32| shop.path(&format!("images/{id}.jpg"));
    // Replaced by a link to what has even the same content; by another file; by a pipe.
    shop.write("outside.jpg", "photo of 1");
    fs::remove_file(path(1)).expect("removed");
    symlink(shop.path("outside.jpg"), path(1)).expect("a link");
    shop.photo(2, "other photo of 2");
    fs::remove_file(path(3)).expect("removed");
    pipe(&path(3));
    for lost in ["1", "2", "3"] {
        let picture = tokio::time::timeout(Duration::from_mins(1), shown(&catalog, lost)).await;
        assert_eq!(picture.expect("waits for nothing"), None, "{lost}");
    }
    // The same content at another time is what it was.
    let touched = fs::File::options()
        .append(true)
        .open(path(4))
        .expect("opens");
    touched
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
        .expect("touched");
    assert_eq!(shown(&catalog, "4").await, Some(bytes("photo of 4")));
    // What another import decodes is shown.
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(shown(&catalog, "2").await, Some(bytes("other photo of 2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_picture_comes_whole_in_pieces() {
    let shop = Shop::new(&[(1, "Puma One")]);
    let large = "another piece of it ".repeat(20_000);
    shop.photo(1, &large);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    shop.import(&catalog, &fake, &shop.kaggle(), false).await;
    assert_eq!(shown(&catalog, "1").await, Some(Bytes::from(large)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_been_decoded_yet_is_not_shown() {
    let shop = Shop::new(&[(1, "Puma One")]);
    let catalog = shop.catalog().await;
    shop.load(&catalog, &shop.kaggle()).await;
    assert_eq!(shown(&catalog, "1").await, None);
}
