//! The parts of a search, each alone: `cargo bench --bench parts`. The whole is in `http` (the
//! service under load) and `index` (recall beside latency at 100,000 vectors), which measure in
//! turns what has to be compared and are therefore programs of their own.

#[path = "../it/support/noise.rs"]
mod noise;

use std::path::Path;

use aglet::domain::{
    AttributeName, AttributeValue, Attributes, Embedding, Filters, ProductFields, ProductKey, Types,
};
use aglet::encode::ImageLimits;
use aglet::encode::text::TextTokenizer;
use aglet::index::columns::{Columns, TableBuilder};
use aglet::index::plan::Candidates;
use aglet::index::vectors::Vectors;
use aglet::index::{Hit, rank};
use aglet::model::{ModelFolder, Preprocessing};
use aglet::vision::{Photo, decode, normalize, views};
use divan::{Bencher, black_box};
use image::{DynamicImage, RgbImage};
use roaring::RoaringBitmap;

use noise::Noise;

const PRODUCTS: usize = 41_615;
const DIMENSIONS: usize = 256;

fn main() {
    divan::main();
}

fn bundled() -> ModelFolder {
    ModelFolder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/aglet-small"))
        .expect("the bundled model")
}

#[divan::bench]
fn tokens_of_a_query(bencher: Bencher<'_, '_>) {
    let folder = bundled();
    let manifest = folder.manifest();
    let tokenizer = TextTokenizer::open(
        &folder.tokenizer(),
        manifest.context_length,
        manifest.end_of_text,
    );
    let tokenizer = tokenizer.expect("a tokenizer");
    bencher.bench(|| {
        tokenizer
            .ids(black_box("casual shoes with beige shoelaces"))
            .expect("tokens")
    });
}

/// A photo as a shop has it or a shopper sends it: smooth, with a little noise.
fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut noise = Noise(7);
    let mut byte = |at: u32, of: u32| {
        u8::try_from(at as usize * 200 / of as usize + noise.below(16)).expect("below 256")
    };
    let picture = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([byte(x, width), byte(y, height), byte(x + y, width + height)])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture)
        .write_to(&mut file, image::ImageFormat::Jpeg)
        .expect("JPEG");
    file.into_inner()
}

const SIZES: [(u32, u32); 3] = [(60, 80), (225, 300), (1080, 1440)];

#[divan::bench(args = SIZES)]
fn decode_a_jpeg(bencher: Bencher<'_, '_>, (width, height): (u32, u32)) {
    let file = jpeg(width, height);
    bencher.bench(|| decode(black_box(&file), &ImageLimits::DEFAULT).expect("a photo"));
}

#[divan::bench(args = SIZES)]
fn fit_a_photo_to_the_model(bencher: Bencher<'_, '_>, (width, height): (u32, u32)) {
    let photo: Photo = decode(&jpeg(width, height), &ImageLimits::DEFAULT).expect("a photo");
    let preprocessing: Preprocessing = bundled().manifest().preprocessing.clone();
    let seen = |photo: &Photo| -> Vec<Vec<f32>> {
        views(photo, &preprocessing)
            .iter()
            .map(|view| normalize(view, &preprocessing))
            .collect()
    };
    bencher.bench(|| seen(black_box(&photo)));
}

fn embeddings(count: usize) -> Vec<Embedding> {
    let mut noise = Noise(3);
    let mut number = || f32::from(u8::try_from(noise.below(256)).expect("8 bits")) - 127.5;
    let mut vector = || (0..DIMENSIONS).map(|_| number()).collect();
    (0..count)
        .map(|_| Embedding::new(vector(), DIMENSIONS).expect("not zero"))
        .collect()
}

/// What a filter that few products pass, or a small catalog, costs.
#[divan::bench(args = [41, 416, 4_161, PRODUCTS])]
fn scan_and_rank(bencher: Bencher<'_, '_>, count: usize) {
    let all = embeddings(count);
    let (vectors, query) = (
        Vectors::of(DIMENSIONS, &all).expect("vectors"),
        &embeddings(1)[0],
    );
    bencher.bench(|| {
        let hit = |slot: usize| {
            let key = ProductKey(u32::try_from(slot).expect("few"));
            Hit {
                key,
                score: vectors.cosine(black_box(query), slot),
            }
        };
        rank::best((0..count).map(hit).collect(), 20)
    });
}

/// Two attributes, alternatives of one of them: the bitmaps of 41,615 products.
#[divan::bench]
fn matching_products(bencher: Bencher<'_, '_>) {
    let mut noise = Noise(5);
    let name = |text: &str| AttributeName::new(text).expect("a name");
    let value = |text: String| AttributeValue::new(&text).expect("a value");
    let products: Vec<Attributes> = (0..PRODUCTS)
        .map(|_| {
            let mut one = |of: &str, many: usize| {
                (name(of), vec![value(format!("{of} {}", noise.below(many)))])
            };
            [one("category", 140), one("color", 46), one("gender", 5)]
                .into_iter()
                .collect()
        })
        .collect();
    let mut table = TableBuilder::default();
    for product in &products {
        table.add(product);
    }
    let fields = vec![ProductFields::default(); PRODUCTS];
    let table = Columns::new(
        table.finish(),
        &fields,
        roaring::RoaringBitmap::new(),
        &Types::default(),
    );
    let filter = |of: &str, number: u8| (name(of), value(format!("{of} {number}")));
    let filters = Filters::new([
        filter("category", 3),
        filter("color", 1),
        filter("color", 2),
    ])
    .expect("filters");
    bencher.bench(|| {
        let count = u32::try_from(PRODUCTS).expect("few");
        Candidates::new(
            count,
            table.matching(black_box(&filters)),
            RoaringBitmap::new(),
        )
        .len()
    });
}
