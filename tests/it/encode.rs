//! The encoder: tokens and pixels against recorded reference values, and the whole way through ONNX
//! Runtime.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aglet::encode::text::TextTokenizer;
use aglet::encode::{
    Device, EncodeError, Encoder, EncoderOptions, ImageError, ImageLimits, Priority, Provider,
    SessionError, check_export,
};
use aglet::model::{Fit, ModelFolder, Preprocessing};
use aglet::vision::{self, Photo};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::support;

const LIMITS: ImageLimits = ImageLimits::DEFAULT;

fn reference(name: &str) -> Value {
    let path = format!("{}/tests/reference/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_slice(&text).expect("a reference file is JSON")
}

fn sha(photo: &Photo) -> String {
    Sha256::digest(photo.as_raw())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes it");
            hex
        })
}

/// The generator of tests/reference/photos.py.
fn noise(seed: u32, count: u32) -> impl Iterator<Item = u8> {
    (0..count).map(move |position| {
        let mut x = position
            .wrapping_mul(2_654_435_761)
            .wrapping_add(seed.wrapping_mul(40_503));
        x ^= x >> 15;
        x = x.wrapping_mul(2_246_822_519);
        x ^= x >> 13;
        x.to_be_bytes()[0]
    })
}

/// `image` of tests/reference/photos.py.
fn generated(seed: u32, width: u32, height: u32) -> Photo {
    let hard: Vec<u8> = noise(seed, width * height * 3).collect();
    Photo::from_fn(width, height, |x, y| {
        let ramp = u32::midpoint(x * 255 / (width - 1).max(1), y * 255 / (height - 1).max(1));
        let at = ((y * width + x) * 3) as usize;
        ::image::Rgb(std::array::from_fn(|channel| match hard[at + channel] {
            hard if x / 16 % 5 == 4 => u8::from(hard > 127) * 255,
            hard if (x / 8 + y / 8) % 3 == 0 => hard,
            _ => u8::try_from(ramp).expect("at most 255"),
        }))
    })
}

fn preprocessing(size: u32, fit: Fit) -> Preprocessing {
    Preprocessing {
        size,
        fit,
        views: vec![],
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

/// What is seen where one view is.
fn view(photo: &Photo, preprocessing: &Preprocessing) -> Photo {
    let [view] = vision::views(photo, preprocessing)
        .try_into()
        .expect("one view");
    view
}

#[test]
fn resized_pixels_equal_pillows() {
    type Row = (u32, u32, u32, u32, u32, String);
    let rows: Vec<Row> =
        serde_json::from_value(reference("photos.json")["resize"].clone()).expect("rows");
    assert_eq!(rows.len(), 120);
    for (seed, width, height, to_width, to_height, expected) in rows {
        let resized = vision::resize(&generated(seed, width, height), to_width, to_height);
        assert_eq!(resized.dimensions(), (to_width, to_height));
        assert_eq!(
            sha(&resized),
            expected,
            "{width} x {height} -> {to_width} x {to_height}"
        );
    }
}

#[test]
fn squares_equal_those_of_transformers_and_pillow() {
    type Row = (u32, u32, u32, u32, Fit, String);
    let rows: Vec<Row> =
        serde_json::from_value(reference("photos.json")["fit"].clone()).expect("rows");
    assert_eq!(rows.len(), 90);
    for (seed, width, height, size, fit, expected) in rows {
        let square = view(&generated(seed, width, height), &preprocessing(size, fit));
        assert_eq!(
            sha(&square),
            expected,
            "{width} x {height} -> {size}, {fit:?}"
        );
    }
}

#[test]
fn middles_equal_those_of_transformers_and_pillow() {
    type Row = (u32, u32, u32, u32, u32, Fit, String);
    let rows: Vec<Row> =
        serde_json::from_value(reference("photos.json")["middle"].clone()).expect("rows");
    assert_eq!(rows.len(), 180);
    for (seed, width, height, size, resize, fit, expected) in rows {
        let larger = Preprocessing {
            views: vec![resize],
            ..preprocessing(size, fit)
        };
        let square = view(&generated(seed, width, height), &larger);
        assert_eq!(
            sha(&square),
            expected,
            "{width} x {height} -> {size} of {resize}, {fit:?}"
        );
    }
}

#[test]
fn normalized_pixels_equal_those_of_transformers() {
    #[derive(Deserialize)]
    struct Reference {
        size: u32,
        photo: [u32; 3],
        mean: [f32; 3],
        std: [f32; 3],
        values: Vec<(usize, f32)>,
        sum: f64,
    }
    let Reference {
        size,
        photo: [seed, width, height],
        mean,
        std,
        values,
        sum,
    } = serde_json::from_value(reference("photos.json")["normalized"].clone())
        .expect("a reference");
    let preprocessing = Preprocessing {
        size,
        fit: Fit::Crop,
        views: vec![],
        mean,
        std,
    };
    let square = view(&generated(seed, width, height), &preprocessing);
    let pixels = vision::normalize(&square, &preprocessing);
    for (at, expected) in values {
        assert!(
            (pixels[at] - expected).abs() < 1e-6,
            "{at}: {} and {expected}",
            pixels[at]
        );
    }
    assert!((pixels.iter().map(|&v| f64::from(v)).sum::<f64>() - sum).abs() < 1e-2);
}

#[test]
fn small_files_of_every_kind_decode_to_pillows_pixels() {
    let reference = reference("photos.json");
    let cases = reference["files"].as_array().expect("cases");
    assert_eq!(cases.len(), 40);
    for (case, (name, file)) in cases.iter().zip(reference_files()) {
        let photo = vision::decode(&file, &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
        let size = (u64::from(photo.width()), u64::from(photo.height()));
        let expected = (
            case["width"].as_u64().expect("a number"),
            case["height"].as_u64().expect("a number"),
        );
        assert_eq!(size, expected, "{name}");
        assert_eq!(Value::from(sha(&photo)), case["sha256"], "{name}");
    }
}

fn reference_files() -> Vec<(String, Vec<u8>)> {
    let digit =
        |c: u8| u8::try_from(char::from(c).to_digit(16).expect("a digit")).expect("below 16");
    let case = |case: &Value| {
        let file = case["file"].as_str().expect("hexadecimal").as_bytes();
        let file = file
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[a, b]| digit(a) * 16 + digit(b))
            .collect();
        (case["name"].as_str().expect("a name").to_owned(), file)
    };
    reference("photos.json")["files"]
        .as_array()
        .expect("cases")
        .iter()
        .map(case)
        .collect()
}

/// Cut, overwritten, doubled and shortened files are read or refused, and what is read keeps to the
/// limits.
#[test]
fn damaged_files_are_answered() {
    let limits = ImageLimits {
        max_pixels: 4_096,
        max_edge: 128,
    };
    let (mut read, mut refused) = (0, 0);
    for (seed, (name, file)) in reference_files().into_iter().enumerate() {
        let mut random = noise(u32::try_from(seed).expect("few"), 100_000);
        let mut random = |below: usize| {
            let number = (0..3).fold(0, |n, _| {
                n << 8 | usize::from(random.next().expect("enough"))
            });
            number % below
        };
        for _ in 0..150 {
            let mut damaged = file.clone();
            for _ in 0..=random(4) {
                let (at, length) = (random(damaged.len()), random(16));
                let end = (at + length).min(damaged.len());
                match random(4) {
                    0 => damaged[at] = u8::try_from(random(256)).expect("a byte"),
                    1 => drop(damaged.drain(at..end)),
                    2 => damaged.extend_from_within(at..end),
                    _ => damaged[at..end].fill(if random(2) == 0 { 0xFF } else { 0 }),
                }
                if damaged.is_empty() {
                    break;
                }
            }
            match vision::decode(&damaged, &limits) {
                Ok(photo) => {
                    assert!(photo.width() * photo.height() <= 4_096, "{name}");
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

/// What data/robustness/manifest.csv says.
#[derive(Deserialize)]
struct Listed {
    file: PathBuf,
    pillow: String,
    format: String,
}

/// A row of tests/reference/robustness.csv.
#[derive(Deserialize)]
struct Recorded {
    file: PathBuf,
    width: u32,
    height: u32,
    sha256: String,
    red: f64,
    green: f64,
    blue: f64,
}

fn rows<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Vec<T> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("rows")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums of bytes are far below 2^52"
)]
fn means(photo: &Photo) -> [f64; 3] {
    let sums = photo.pixels().fold([0u64; 3], |sums, p| {
        std::array::from_fn(|c| sums[c] + u64::from(p.0[c]))
    });
    sums.map(|sum| sum as f64 / f64::from(photo.width() * photo.height()))
}

/// Every file is answered; what Pillow reads in the claimed formats is read, and looks as it does
/// in Pillow.
#[test]
fn files_of_decoder_test_suites_are_read_as_pillow_reads_them() {
    let Some(data) =
        support::shared_data("files_of_decoder_test_suites_are_read_as_pillow_reads_them")
    else {
        return;
    };
    let folder = data.join("robustness");
    let listed: Vec<Listed> = rows(&folder.join("manifest.csv"));
    let recorded = format!(
        "{}/tests/reference/robustness.csv",
        env!("CARGO_MANIFEST_DIR")
    );
    let recorded: Vec<Recorded> = rows(recorded.as_ref());
    let claimed = ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP"];
    let (mut readable, mut read, mut others_read) = (0, 0, Vec::new());
    let (mut compared, mut equal, mut unlike) = (0, 0, Vec::new());
    let mut slowest = (Duration::ZERO, PathBuf::new());
    for Listed {
        file,
        pillow,
        format,
    } in &listed
    {
        let bytes = std::fs::read(folder.join(file)).expect("listed files are there");
        let started = Instant::now();
        let decoded = vision::decode(&bytes, &LIMITS);
        slowest = slowest.max((started.elapsed(), file.clone()));
        let wanted = pillow == "ok" && claimed.contains(&format.as_str());
        readable += usize::from(wanted);
        let photo = match decoded {
            Ok(photo) if wanted => {
                read += 1;
                photo
            }
            Ok(_) => {
                others_read.push(format!("{} ({pillow} {format})", file.display()));
                continue;
            }
            Err(error) => {
                if wanted {
                    eprintln!("not read: {} ({format}): {error}", file.display());
                }
                continue;
            }
        };
        let Some(record) = recorded.iter().find(|row| row.file == *file) else {
            continue;
        };
        compared += 1;
        let got = means(&photo);
        let far = got
            .iter()
            .zip([record.red, record.green, record.blue])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        if sha(&photo) == record.sha256 {
            equal += 1;
        } else if photo.dimensions() != (record.width, record.height) || far > 0.5 {
            unlike.push(format!(
                "{} ({format}): {:?}, means differ by {far:.2}",
                file.display(),
                photo.dimensions()
            ));
        }
    }
    eprintln!(
        "{} files; {read} of {readable} that Pillow reads in the claimed formats are read",
        listed.len()
    );
    eprintln!("{equal} of {compared} have Pillow's pixels exactly; not alike: {unlike:#?}");
    eprintln!("read though Pillow does not: {others_read:#?}");
    eprintln!(
        "slowest: {:.0} ms, {}",
        slowest.0.as_secs_f64() * 1e3,
        slowest.1.display()
    );
    assert!(read * 100 >= readable * 97, "{read} of {readable}");
    assert!(
        equal * 100 >= compared * 90,
        "{equal} of {compared} are equal"
    );
    assert!(
        unlike.len() * 100 <= compared * 2,
        "{} of {compared} are unlike",
        unlike.len()
    );
}

#[test]
fn tokens_equal_those_of_transformers() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        ids: Vec<u32>,
    }
    let rows: Vec<Row> = serde_json::from_value(reference("clip/tokens.json")).expect("rows");
    assert!(rows.len() >= 10);
    let folder = ModelFolder::open(&support::tiny_model()).expect("opens");
    let manifest = folder.manifest();
    let tokenizer = TextTokenizer::open(
        &folder.tokenizer(),
        manifest.context_length,
        manifest.end_of_text,
    )
    .expect("opens");
    for Row { text, ids } in rows {
        assert_eq!(tokenizer.ids(&text).expect("tokenizes"), ids, "{text:?}");
    }
    let wrong = TextTokenizer::open(
        &folder.tokenizer(),
        manifest.context_length,
        manifest.end_of_text - 1,
    );
    assert!(
        wrong
            .err()
            .expect("refused")
            .to_string()
            .contains("does not end")
    );
}

fn folder() -> ModelFolder {
    ModelFolder::open(&support::tiny_model()).expect("opens")
}

fn started(options: &EncoderOptions) -> Encoder {
    Encoder::start(&folder(), options).expect("starts")
}

fn png(photo: &Photo) -> bytes::Bytes {
    let mut file = std::io::Cursor::new(Vec::new());
    photo
        .write_to(&mut file, ::image::ImageFormat::Png)
        .expect("encodes");
    file.into_inner().into()
}

#[test]
fn an_exported_folder_passes_its_check() {
    check_export(&folder(), &support::runtime()).expect("computes embeddings");
}

#[tokio::test(flavor = "multi_thread")]
async fn company_in_the_batch_changes_no_embedding() {
    let encoder = started(&support::encoding());
    let texts: Vec<String> = (1..=40)
        .map(|n| {
            ["black shoes", "red", "casual shirt for men with stripes"][n % 3].repeat(n % 4 + 1)
                + &n.to_string()
        })
        .collect();
    let photos: Vec<Photo> = (0..12).map(|n| generated(n, 40 + n, 60)).collect();
    let mut alone = Vec::new();
    for text in &texts {
        alone.push(
            encoder
                .text(text, Priority::Bulk, None)
                .await
                .expect("embeds"),
        );
    }
    for photo in &photos {
        alone.push(
            encoder
                .image(png(photo), Priority::Search, None)
                .await
                .expect("embeds"),
        );
    }
    assert_eq!(alone[0].dimensions(), encoder.dimensions());
    assert!(
        alone[0].cosine(&alone[1]) < 0.999,
        "different words, different embeddings"
    );
    let mut together = JoinSet::new();
    for (at, text) in texts.iter().cloned().enumerate() {
        let encoder = encoder.clone();
        together.spawn(async move { (at, encoder.text(&text, Priority::Bulk, None).await) });
    }
    for (at, photo) in photos.iter().enumerate() {
        let (encoder, file, at) = (encoder.clone(), png(photo), texts.len() + at);
        together.spawn(async move { (at, encoder.image(file, Priority::Search, None).await) });
    }
    for (at, embedding) in together.join_all().await {
        let cosine = embedding.expect("embeds").cosine(&alone[at]);
        assert!(cosine > 0.999_99, "request {at}: {cosine}");
    }
    assert_eq!(
        encoder.status().cached,
        0,
        "catalog texts stay out of the cache"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_views_of_a_photo_give_their_mean() {
    let size = folder().manifest().preprocessing.size;
    let (wide, wider) = (size * 8 / 7, size * 3 / 2);
    let photos: Vec<_> = (0..5).map(|n| png(&generated(n, 60 + n, 80))).collect();
    let embedded = async |views: &[u32]| {
        let seeing = support::seeing(&support::tiny_model(), views);
        let model = ModelFolder::open(seeing.path()).expect("opens");
        let encoder = Encoder::start(&model, &support::encoding()).expect("starts");
        encoder.probe().await.expect("is ready");
        // Together, so that photos share a batch.
        let mut answers = JoinSet::new();
        for (at, file) in photos.iter().cloned().enumerate() {
            let encoder = encoder.clone();
            answers.spawn(async move {
                (
                    at,
                    encoder
                        .image(file, Priority::Bulk, None)
                        .await
                        .expect("embeds"),
                )
            });
        }
        let mut rows = answers.join_all().await;
        rows.sort_by_key(|(at, _)| *at);
        rows.into_iter()
            .map(|(_, row)| row.as_slice().to_vec())
            .collect::<Vec<_>>()
    };
    let alone = [
        embedded(&[size]).await,
        embedded(&[wide]).await,
        embedded(&[wider]).await,
    ];
    let together = embedded(&[size, wide, wider]).await;
    for (at, found) in together.iter().enumerate() {
        let mut sum = vec![0.0; found.len()];
        for view in &alone {
            sum.iter_mut()
                .zip(&view[at])
                .for_each(|(sum, value)| *sum += value);
        }
        let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!(norm < 2.999, "the views differ");
        assert!(
            found
                .iter()
                .zip(&sum)
                .all(|(found, sum)| (found - sum / norm).abs() < 1e-5),
            "photo {at}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_queries_are_embedded_once() {
    let encoder = started(&support::encoding());
    let first = encoder
        .text("Black  shoes", Priority::Search, None)
        .await
        .expect("embeds");
    // Its time is over already: only the cache can answer.
    let past = Some(Instant::now());
    let again = encoder
        .text("black SHOES", Priority::Search, past)
        .await
        .expect("known");
    assert_eq!(first, again);
    let other = encoder.text("white shoes", Priority::Search, past).await;
    assert!(matches!(other, Err(EncodeError::Expired)), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_holds_as_many_as_told_and_knows_no_other_model() {
    let past = Some(Instant::now());
    let none = started(&EncoderOptions {
        cache: 0,
        ..support::encoding()
    });
    none.text("black shoes", Priority::Search, None)
        .await
        .expect("embeds");
    let again = none.text("black shoes", Priority::Search, past).await;
    assert!(matches!(again, Err(EncodeError::Expired)), "{again:?}");
    let few = started(&EncoderOptions {
        cache: 3,
        ..support::encoding()
    });
    for number in 0..200 {
        few.text(&format!("shoes {number}"), Priority::Search, None)
            .await
            .expect("embeds");
    }
    let mut known = 0;
    for number in 0..200 {
        known += u32::from(
            few.text(&format!("shoes {number}"), Priority::Search, past)
                .await
                .is_ok(),
        );
    }
    assert!((1..=3).contains(&known), "{known}");
    let other = started(&support::encoding());
    assert!(
        other
            .text("shoes 199", Priority::Search, past)
            .await
            .is_err(),
        "another encoder, another cache"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_photo_is_said_and_the_next_one_is_embedded() {
    let encoder = started(&support::encoding());
    let answer = encoder
        .image(bytes::Bytes::from_static(b"hello"), Priority::Search, None)
        .await;
    assert!(
        matches!(
            answer,
            Err(EncodeError::Image(ImageError::UnsupportedFormat))
        ),
        "{answer:?}"
    );
    let photo = png(&generated(1, 50, 50));
    let cut = encoder
        .image(photo.slice(..photo.len() / 2), Priority::Search, None)
        .await;
    assert!(
        matches!(cut, Err(EncodeError::Image(ImageError::Broken { .. }))),
        "{cut:?}"
    );
    let tight = ImageLimits {
        max_pixels: 2_499,
        ..LIMITS
    };
    let strict = started(&EncoderOptions {
        image_limits: tight,
        ..support::encoding()
    });
    let large = strict.image(photo.clone(), Priority::Search, None).await;
    assert!(
        matches!(
            large,
            Err(EncodeError::Image(ImageError::TooLarge { width: 50, .. }))
        ),
        "{large:?}"
    );
    encoder
        .image(photo, Priority::Search, None)
        .await
        .expect("embeds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_queue_refuses_searches_and_never_catalog_work() {
    let encoder = started(&EncoderOptions {
        queue: 1,
        max_batch: 1,
        cache: 0,
        ..support::encoding()
    });
    let ask = async |priority| {
        let mut answers = JoinSet::new();
        for number in 0..200 {
            let encoder = encoder.clone();
            answers.spawn(async move {
                encoder
                    .text(&format!("shoes {number}"), priority, None)
                    .await
            });
        }
        answers.join_all().await
    };
    let searches = ask(Priority::Search).await;
    let refused = searches
        .iter()
        .filter(|answer| matches!(answer, Err(EncodeError::Overloaded)))
        .count();
    assert!(refused > 0 && refused < 200, "{refused} of 200");
    assert!(
        searches
            .iter()
            .all(|a| matches!(a, Ok(_) | Err(EncodeError::Overloaded)))
    );
    assert!(ask(Priority::Bulk).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_in_use_is_reported() {
    // The CPU's library: CUDA is an error where it is asked for, and a reason where it is not
    // insisted on.
    let cuda = Encoder::start(
        &folder(),
        &EncoderOptions {
            device: Device::Cuda,
            ..support::encoding()
        },
    );
    let auto = started(&EncoderOptions {
        device: Device::Auto,
        text_sessions: 2,
        ..support::encoding()
    });
    let status = auto.status();
    match cuda {
        Err(EncodeError::Session(SessionError::NoCuda { .. })) => {
            assert_eq!(status.provider, Provider::Cpu);
            assert!(status.fallback.is_some());
        }
        Err(error) => panic!("{error}"),
        Ok(cuda) => {
            assert_eq!(
                (cuda.provider(), status.provider),
                (Provider::Cuda, Provider::Cuda)
            );
            assert_eq!(status.fallback, None);
        }
    }
    assert_eq!((status.text_sessions, status.image_sessions), (2, 1));
    auto.probe().await.expect("embeds");
    let cpu = started(&support::encoding());
    assert_eq!(
        (cpu.provider(), cpu.status().fallback),
        (Provider::Cpu, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_answers_what_was_accepted() {
    let encoder = started(&EncoderOptions {
        cache: 0,
        ..support::encoding()
    });
    let mut answers = JoinSet::new();
    for number in 0..30 {
        let encoder = encoder.clone();
        answers.spawn(async move {
            encoder
                .text(&format!("shirt {number}"), Priority::Search, None)
                .await
        });
    }
    while encoder.status().text.search == 0 && answers.try_join_next().is_none() {
        tokio::task::yield_now().await;
    }
    encoder.shutdown().await;
    for answer in answers.join_all().await {
        assert!(
            matches!(answer, Ok(_) | Err(EncodeError::WorkerGone)),
            "{answer:?}"
        );
    }
    let late = encoder.text("too late", Priority::Search, None).await;
    assert!(matches!(late, Err(EncodeError::WorkerGone)), "{late:?}");
    assert!(matches!(
        encoder.probe().await,
        Err(EncodeError::WorkerGone)
    ));
}
