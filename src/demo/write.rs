//! Lays a catalog out as files, in the Kaggle layout: `styles.csv`, `shoelaces.csv`,
//! `images/ID.jpg`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::{DemoProduct, draw, render};

/// JPEG quality of the photos, as `image` counts it (1 to 100).
const QUALITY: u8 = 90;

/// Why a demonstration catalog could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{path} is not empty: name a new folder, or say --force to replace the catalog in it")]
    NotEmpty { path: PathBuf },
    #[error("the disk is full at {path}")]
    DiskFull { path: PathBuf },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} cannot be made: {source}")]
    Encode {
        path: PathBuf,
        source: image::ImageError,
    },
}

impl DemoError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

/// What to write, and where.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    pub out: &'a Path,
    pub products: u64,
    pub seed: u64,
    /// Write into a folder that holds something already: the three things of the layout are
    /// replaced, the rest stays.
    pub force: bool,
    pub threads: usize,
}

/// Writes the catalog; `done` is told after every photo how many there are.
///
/// `styles.csv` comes last and whole: a folder that has it is complete.
///
/// # Errors
/// When the folder is not empty and `force` is not set, or a file cannot be written. What was
/// written until then stays.
pub fn write(plan: &Plan<'_>, done: impl Fn(u64) + Sync) -> Result<(), DemoError> {
    let images = plan.out.join("images");
    match fs::read_dir(plan.out) {
        Ok(mut entries) => {
            if entries.next().is_some() && !plan.force {
                return Err(DemoError::NotEmpty {
                    path: plan.out.to_owned(),
                });
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(DemoError::io(plan.out, e)),
    }
    fs::create_dir_all(&images).map_err(|e| DemoError::io(&images, e))?;
    let products: Vec<DemoProduct> = (0..plan.products).map(|i| draw(plan.seed, i)).collect();
    photos(&products, &images, plan.threads, &done)?;
    tables(&products, plan.out)
}

/// Every thread takes the next product until none is left or one failed.
fn photos(
    products: &[DemoProduct],
    images: &Path,
    threads: usize,
    done: &(impl Fn(u64) + Sync),
) -> Result<(), DemoError> {
    let next = AtomicU64::new(0);
    let written = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let work = || -> Result<(), DemoError> {
        while !failed.load(Ordering::Relaxed) {
            let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(product) = products.get(at) else {
                break;
            };
            let path = images.join(format!("{}.jpg", product.id));
            let result = jpeg(&render(product), &path)
                .and_then(|bytes| fs::write(&path, bytes).map_err(|e| DemoError::io(&path, e)));
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            result?;
            done(written.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| {
            w.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

fn jpeg(photo: &RgbImage, path: &Path) -> Result<Vec<u8>, DemoError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(photo)
        .map_err(|source| DemoError::Encode {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

fn tables(products: &[DemoProduct], out: &Path) -> Result<(), DemoError> {
    let laces = products.iter().map(|p| {
        [
            p.id.to_string(),
            p.shoelace_color().to_owned(),
            "drawn".to_owned(),
        ]
    });
    table(
        &out.join("shoelaces.csv"),
        ["id", "shoelace_colour", "basis"],
        laces,
    )?;
    let header = [
        "id",
        "gender",
        "masterCategory",
        "subCategory",
        "articleType",
        "baseColour",
        "season",
        "year",
        "usage",
        "price",
        "sale_price",
        "currency",
        "productDisplayName",
    ];
    let money = |cents: u32| format!("{}.{:02}", cents / 100, cents % 100);
    let styles = products.iter().map(|p| {
        [
            &p.id.to_string(),
            p.gender,
            "Footwear",
            p.category.section(),
            p.category.name(),
            p.color.name,
            p.season,
            &p.year.to_string(),
            p.usage,
            &money(p.price),
            &p.sale_price.map(money).unwrap_or_default(),
            "EUR",
            &p.title,
        ]
        .map(str::to_owned)
    });
    table(&out.join("styles.csv"), header, styles)
}

/// Writes a CSV file under another name first, so that it is there whole or not at all.
fn table<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), DemoError> {
    let failed = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(e) => DemoError::io(path, e),
        other => DemoError::io(path, std::io::Error::other(format!("{other:?}"))),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| DemoError::io(path, e.into_error()))?;
    let partial = path.with_extension("csv.partial");
    fs::write(&partial, bytes).map_err(|e| DemoError::io(&partial, e))?;
    fs::rename(&partial, path).map_err(|e| DemoError::io(path, e))
}

/// Photos side by side on one sheet, `columns` in a row, each `width` pixels wide: to judge a
/// catalog at a glance.
#[must_use]
pub fn contact_sheet(products: &[DemoProduct], columns: u32, width: u32) -> RgbImage {
    use image::imageops::{FilterType, replace, resize};
    let height = width * super::HEIGHT / super::WIDTH;
    let columns = columns.max(1);
    let rows = u32::try_from(products.len())
        .unwrap_or(u32::MAX)
        .div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * width, rows * height, image::Rgb([255; 3]));
    for (i, product) in (0_u32..).zip(products) {
        let photo = resize(&render(product), width, height, FilterType::CatmullRom);
        replace(
            &mut sheet,
            &photo,
            i64::from(i % columns * width),
            i64::from(i / columns * height),
        );
    }
    sheet
}
