//! The two formats, as they are written in practice.

use std::collections::BTreeMap;
use std::path::Path;

use aglet::catalog::ingest::{self, ImportOptions, Progress};
use aglet::catalog::source::{IgnoredField, Source};
use aglet::domain::{ModelId, ProductId};

use super::{Fake, Shop, place, reject, rejects};

#[tokio::test(flavor = "multi_thread")]
async fn the_kaggle_layout_as_it_is() {
    let shop = Shop::new(&[]);
    let header = "\u{feff}id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,\
                  productDisplayName\r\n";
    let mut text = header.as_bytes().to_vec();
    let rows: [&[u8]; 10] = [
        b"1,Men,Footwear,Shoes,Casual Shoes,Navy Blue,Fall,2011,Casual,Puma Men, the \"low\" one, black\r\n",
        b"2,Women,Footwear,Shoes,Heels,NA,,2012,,\"Catwalk Women, red\"\r\n",
        b"\r\n",
        b"3,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011\r\n",
        b"4,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,\"never closed\r\n",
        b"2,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Again\r\n",
        b",Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,No id\r\n",
        b"5,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Caf\xe9\r\n",
        b"../6,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Sneaky\r\n",
        b"7,Men,Footwear,Shoes,Casual Shoes,Black,Fall,2011,Casual,Last",
    ];
    for row in rows {
        text.extend_from_slice(row);
    }
    shop.write("styles.csv", text);
    for id in ["1", "5", "7"] {
        shop.write(&format!("images/{id}.jpg"), id);
    }
    std::fs::create_dir(shop.path("small")).expect("folder");
    shop.write("small/1.jpg", "small 1");
    shop.write("small/2.png", "small 2");
    shop.write("6.jpg", "outside");
    shop.write(
        "shoelaces.csv",
        "id,shoelace_colour,basis\n1,white,agreed\n7,none,agreed\n2,NA,agreed\n99,red,agreed\n",
    );
    let source = Source::kaggle(
        shop.path("styles.csv"),
        vec![shop.path("images"), shop.path("small")],
        Some(shop.path("shoelaces.csv")),
    );
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &source, false).await;
    let mut rejects = rejects(&summary);
    rejects.sort();
    let expected = [
        reject("10", "../6", "photo"),
        reject("5", "3", "row"),
        reject("5", "99", "attribute"),
        reject("6", "4", "row"),
        reject("7", "2", "row"),
        reject("7", "2", "photo"),
        reject("8", "", "row"),
        reject("9", "5", "letters"),
    ];
    let mut expected = expected.to_vec();
    expected.retain(|r| r != &reject("7", "2", "photo"));
    expected.sort();
    assert_eq!(rejects, expected);
    assert_eq!(
        (summary.new, summary.rejected_rows, summary.rejected_parts),
        (5, 4, 3)
    );

    let get = |id: &'static str| {
        let catalog = catalog.clone();
        async move {
            catalog
                .product(&ProductId::new(id).expect("id"))
                .await
                .expect("reads")
                .expect("there")
        }
    };
    let one = get("1").await;
    assert_eq!(one.product.title, "Puma Men, the \"low\" one, black");
    let attributes: BTreeMap<&str, &str> = one
        .product
        .attributes
        .iter()
        .map(|(n, v)| (n.as_str(), v[0].as_str()))
        .collect();
    let expected = [
        ("category", "Casual Shoes"),
        ("color", "Navy Blue"),
        ("department", "Footwear"),
        ("gender", "Men"),
        ("season", "Fall"),
        ("section", "Shoes"),
        ("shoelace_color", "white"),
        ("usage", "Casual"),
        ("year", "2011"),
    ];
    assert_eq!(attributes, BTreeMap::from(expected));
    let file = |name: &str| Some((shop.path(name).canonicalize().expect("there"), None));
    assert_eq!(place(&catalog, "1").await, file("images/1.jpg"));
    let two = get("2").await;
    assert_eq!(
        (two.product.title.as_str(), two.product.attribute("color")),
        ("Catwalk Women, red", None)
    );
    assert_eq!(two.product.attribute("shoelace_color"), None);
    assert_eq!(place(&catalog, "2").await, file("small/2.png"));
    assert_eq!(get("5").await.product.title, "Caf\u{fffd}");
    assert_eq!(place(&catalog, "../6").await, None);
    assert_eq!(
        get("7").await.product.attribute("shoelace_color"),
        Some("none")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines() {
    let shop = Shop::new(&[]);
    shop.write("images/7.jpg", "seven");
    shop.write("secret.jpg", "outside");
    #[cfg(unix)]
    std::os::unix::fs::symlink(shop.path("secret.jpg"), shop.path("images/link.jpg"))
        .expect("link");
    let rows = [
        r#"{"id": 7, "title": " Urban Low ", "image": "./images/7.jpg", "price": 49.9, "url": "https://shop.example/7", "description": "Long.", "vendor": "x", "attributes": {"Color": ["Black", "White", "Black"], "heel height": 3.5, "vegan": true, "size": [41, 42], "empty": "", "none": null}}"#,
        r#"{"id": "b", "title": "B", "image": "../secret.jpg"}"#,
        r#"{"id": "c", "title": "C", "image": "images/8.jpg", "attributes": {"q": "x", "Image": "x", "color": "Red", "deep": {"a": 1}}}"#,
        r#"{"id": "d", "title": "D", "price": -1}"#,
        r#"{"id": "e"}"#,
        r#"{"id": 1.5, "title": "F"}"#,
        r#"["g"]"#,
        r#"{"id": "h", "title": "H", "price": "12"}"#,
        r#"{"id": "i", "title": "I", "vendor": "y", "price": null, "image": null}"#,
        r#"{"id": "j", "title": "J", "image": "https://shop.example/j.jpg"}"#,
        r#"{"id": "k", "title": "K", "attributes": []}"#,
        r#"{"id": "l", "title": "L", "image": false}"#,
        r#"{"id": "m", "title": "M", "image": ["images/8.jpg", "images/7.jpg"], "images": 5}"#,
    ];
    shop.write("catalog.jsonl", rows.join("\n"));
    let source = Source::feed(shop.path("catalog.jsonl"), vec![]);
    let (catalog, fake) = (shop.catalog().await, Fake::new("a"));
    let summary = shop.import(&catalog, &fake, &source, false).await;
    let expected = [
        reject("2", "b", "photo"),
        reject("3", "c", "attribute"),
        reject("3", "c", "attribute"),
        reject("3", "c", "attribute"),
        reject("3", "c", "photo"),
        reject("4", "d", "attribute"),
        reject("5", "e", "row"),
        reject("6", "", "row"),
        reject("7", "", "row"),
        reject("10", "j", "photo"),
        reject("11", "k", "attribute"),
        reject("12", "l", "photo"),
        reject("13", "m", "photo"),
        reject("13", "m", "photo"),
    ];
    assert_eq!(rejects(&summary), expected);
    let ignored = IgnoredField {
        rows: 2,
        meant: Some("attributes.brand".to_owned()),
    };
    assert_eq!(
        summary.ignored.0,
        BTreeMap::from([("vendor".to_owned(), ignored)])
    );
    let seven = catalog
        .product(&ProductId::new("7").expect("id"))
        .await
        .expect("reads")
        .expect("there");
    let product = &seven.product;
    assert_eq!(
        (product.title.as_str(), product.price),
        ("Urban Low", Some(49.9))
    );
    assert_eq!(product.url.as_deref(), Some("https://shop.example/7"));
    assert_eq!(product.description.as_deref(), Some("Long."));
    let json = serde_json::json!(product.attributes);
    let expected = serde_json::json!({"color": ["Black", "White"], "heel_height": ["3.5"], "size": ["41", "42"],
                                      "vegan": ["true"]});
    assert_eq!(json, expected);
    let number = aglet::domain::ValueType::Number;
    let kind = |name: &str| {
        let name = aglet::domain::AttributeName::new(name).expect("a name");
        summary
            .attributes
            .get(&name)
            .map(aglet::domain::Tally::kind)
    };
    assert_eq!(
        (kind("size"), kind("heel_height")),
        (Some(number), Some(number))
    );
    assert_eq!(kind("color"), Some(aglet::domain::ValueType::Text));
    let (picture, _) = place(&catalog, "7").await.expect("a picture");
    assert_eq!(std::fs::read(picture).expect("reads"), b"seven");

    // Beside a folder of its own, and a link that leads out of it.
    shop.write(
        "catalog.jsonl",
        "{\"id\": \"7\", \"title\": \"Urban Low\", \"image\": \"link.jpg\"}\n",
    );
    let source = Source::feed(shop.path("catalog.jsonl"), vec![shop.path("images")]);
    let summary = shop.import(&catalog, &fake, &source, false).await;
    assert_eq!(rejects(&summary), [reject("1", "7", "photo")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_the_folder_above_the_pictures_is_told() {
    let shop = Shop::new(&[(1, "Puma One")]);
    let above = vec![shop.folder.path().to_owned()];
    let source = Source::kaggle(shop.path("styles.csv"), above, None);
    let summary = shop
        .import(&shop.catalog().await, &Fake::new("a"), &source, false)
        .await;
    let listed =
        std::fs::read_to_string(summary.rejects.expect("a photo is missing")).expect("rejects");
    assert!(
        listed.contains("has 1.jpg (was ") && listed.contains("images meant?)"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_is_an_error() {
    let shop = Shop::new(&[]);
    let catalog = shop.catalog().await;
    let load = |source: Source| {
        let catalog = catalog.clone();
        async move {
            let options = ImportOptions::default();
            ingest::load(&catalog, &source, &options, &Progress::default())
                .await
                .expect_err("refused")
                .to_string()
        }
    };
    shop.write("styles.csv", "number,name\n");
    assert!(load(shop.kaggle()).await.contains("no column \"id\""));
    shop.write("styles.csv", b"\xff\xfei\0d\0");
    assert!(load(shop.kaggle()).await.contains("UTF-16"));
    std::fs::remove_file(shop.path("styles.csv")).expect("removed");
    assert!(load(shop.kaggle()).await.contains("styles.csv"));
    shop.styles(&[]);
    shop.write("no.zip", "PK no archive");
    let archive = Source::kaggle(shop.path("styles.csv"), vec![shop.path("no.zip")], None);
    assert!(load(archive).await.contains("no.zip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_catalog_is_taken_whole() {
    let Some(data) = crate::support::shared_data("the_real_catalog_is_taken_whole") else {
        return;
    };
    let data = data.join("fashion-product-images");
    let folder = tempfile::tempdir().expect("temporary folder");
    let catalog = super::open(folder.path()).await;
    let source = real(&data);
    let options = ImportOptions::default();
    let summary = ingest::load(&catalog, &source, &options, &Progress::default())
        .await
        .expect("loads");
    assert_eq!(
        (
            summary.new,
            summary.rejected_rows,
            summary.rejected_parts,
            summary.rejects
        ),
        (41_615, 0, 0, None)
    );
    let counts = catalog.counts(&ModelId::new("a")).await.expect("counts");
    assert_eq!((counts.products, counts.pending), (41_615, 41_615));
    let stored = catalog
        .product(&ProductId::new("1635").expect("id"))
        .await
        .expect("reads")
        .expect("there");
    assert_eq!(stored.product.attribute("shoelace_color"), Some("white"));
    let (_, member) = place(&catalog, "1635").await.expect("a picture");
    assert_eq!(member, None, "the larger picture goes first");
    let again = ingest::load(&catalog, &source, &options, &Progress::default())
        .await
        .expect("loads");
    assert_eq!((again.unchanged, again.changed), (41_615, 0));
}

pub fn real(data: &Path) -> Source {
    Source::kaggle(
        data.join("styles.csv"),
        vec![data.join("images"), data.join("images-60x80.zip")],
        Some(data.join("shoelaces.csv")),
    )
}
