//! The catalog as training sees it: facts and small squares in memory, split by product, and a thread that makes
//! batches ahead of the step that uses them.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rayon::prelude::*;

use super::captions::{self, Facts};
use super::dice::{Dice, Purpose};
use super::images::{self, Window};
use super::loss::Truth;
use super::network::{ClipConfig, ImageBatch, TextBatch};
use super::vocabulary::Vocabulary;
use crate::encode::image::Photo;

#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path}: {source}")]
    Zip { path: PathBuf, source: zip::result::ZipError },
    #[error("{path}: no column {column}")]
    Column { path: PathBuf, column: &'static str },
    #[error("no product of {path} has a photo that can be read")]
    Empty { path: PathBuf },
}

/// A product with its photo.
#[derive(Clone, Debug)]
pub struct Product {
    pub id: u64,
    pub facts: Facts,
    /// The photo on a white square, at most [`KEPT_EDGE`] pixels an edge.
    pub square: Photo,
}

/// Edge to which larger photos are reduced in memory: a little more than the model sees, so that a crop loses
/// nothing.
pub const KEPT_EDGE: u32 = 128;

/// Reads the Kaggle layout: `styles.csv`, photos as `images/ID.jpg`, else from `images-60x80.zip`, and the laces'
/// colors of `shoelaces.csv` where there is one. A product without a readable photo is left out.
///
/// # Errors
/// If `styles.csv` cannot be read, the archive is broken, or nothing is left.
pub fn read(folder: &Path) -> Result<Vec<Product>, DatasetError> {
    let laces = read_laces(&folder.join("shoelaces.csv"))?;
    let facts = read_facts(&folder.join("styles.csv"), &laces)?;
    let archive = read_archive(&folder.join("images-60x80.zip"))?;
    let photos = folder.join("images");
    let products: Vec<Product> = facts
        .into_par_iter()
        .filter_map(|(id, facts)| {
            let name = format!("images/{id}.jpg");
            let file = std::fs::read(photos.join(format!("{id}.jpg"))).ok();
            let file = file.as_deref().or_else(|| archive.get(&name).map(Vec::as_slice))?;
            let photo = ::image::load_from_memory(file).ok()?.into_rgb8();
            Some(Product { id, facts, square: images::square(&photo, KEPT_EDGE) })
        })
        .collect();
    if products.is_empty() { Err(DatasetError::Empty { path: folder.into() }) } else { Ok(products) }
}

fn read_laces(path: &Path) -> Result<HashMap<u64, String>, DatasetError> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let fail = |source| DatasetError::Csv { path: path.into(), source };
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let mut laces = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        if let (Some(Ok(id)), Some(color)) = (row.get(0).map(str::parse), row.get(1)) {
            laces.insert(id, color.to_owned());
        }
    }
    Ok(laces)
}

fn read_facts(path: &Path, laces: &HashMap<u64, String>) -> Result<Vec<(u64, Facts)>, DatasetError> {
    let fail = |source| DatasetError::Csv { path: path.into(), source };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(fail)?;
    let header = reader.headers().map_err(fail)?.clone();
    let column = |name: &'static str| {
        header.iter().position(|h| h == name).ok_or(DatasetError::Column { path: path.into(), column: name })
    };
    let (id, title) = (column("id")?, column("productDisplayName")?);
    let (category, section) = (column("articleType")?, column("subCategory")?);
    let (color, gender, usage) = (column("baseColour")?, column("gender")?, column("usage")?);
    let mut list = Vec::new();
    for row in reader.records() {
        let row = row.map_err(fail)?;
        let field = |at: usize| row.get(at).unwrap_or_default().trim().to_owned();
        let Ok(id) = field(id).parse::<u64>() else { continue };
        // The name is the last column; its unquoted commas make further fields.
        let name: Vec<&str> = row.iter().skip(title).collect();
        let facts = Facts {
            title: name.join(",").trim().to_owned(),
            category: field(category),
            section: field(section),
            color: field(color),
            gender: field(gender),
            usage: field(usage),
            shoelaces: laces.get(&id).cloned(),
        };
        if !facts.title.is_empty() && !facts.category.is_empty() {
            list.push((id, facts));
        }
    }
    Ok(list)
}

fn read_archive(path: &Path) -> Result<HashMap<String, Vec<u8>>, DatasetError> {
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let file = std::fs::File::open(path).map_err(|source| DatasetError::Io { path: path.into(), source })?;
    let fail = |source| DatasetError::Zip { path: path.into(), source };
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(fail)?;
    let mut entries = HashMap::with_capacity(archive.len());
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(fail)?;
        let name = entry.name().map_err(fail)?.into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|source| DatasetError::Io { path: path.into(), source })?;
        entries.insert(name, bytes);
    }
    Ok(entries)
}

/// Drawn footwear (see [`crate::demo`]), whose laces are known.
#[must_use]
pub fn drawn(seed: u64, count: u64) -> Vec<Product> {
    (0..count)
        .into_par_iter()
        .map(|index| {
            let product = crate::demo::draw(seed, index);
            let facts = Facts {
                title: product.title.clone(),
                category: product.category.name().to_owned(),
                section: product.category.section().to_owned(),
                color: product.color.name.to_owned(),
                gender: product.gender.to_owned(),
                usage: product.usage.to_owned(),
                shoelaces: Some(product.shoelace_color().to_owned()),
            };
            Product { id: product.id, facts, square: images::square(&crate::demo::render(&product), KEPT_EDGE) }
        })
        .collect()
}

/// Captions to learn a vocabulary from: three long and three short ones of each product, and the colors of laces as
/// often as common words, since few products' laces are known.
#[must_use]
pub fn sample_captions(products: &[Product], seed: u64) -> Vec<String> {
    const LACES: [&str; 13] = [
        "black", "white", "grey", "brown", "beige", "blue", "red", "green", "yellow", "orange", "pink", "purple",
        "multi",
    ];
    let mut texts = Vec::with_capacity(products.len() * 6 + LACES.len() * 500);
    for (at, product) in products.iter().enumerate() {
        let mut dice = Dice::new(seed, Purpose::Vocabulary, at as u64);
        for _ in 0..3 {
            texts.push(captions::document(&product.facts, &mut dice).text);
            texts.push(captions::query(&product.facts, &mut dice).text);
        }
    }
    for color in LACES {
        texts.extend((0..500).map(|_| format!("{color} shoelaces, with {color} laces, stripes, dots")));
    }
    texts
}

/// At most `count` of the products, chosen by a hash of the id: the same ones each time.
#[must_use]
pub fn some(mut products: Vec<Product>, count: usize) -> Vec<Product> {
    products.sort_by_key(|p| p.id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    products.truncate(count);
    products
}

/// CLIP's mean and deviation of each channel.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// How a batch is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub seed: u64,
    pub batch: usize,
    /// Of a batch, how many are drawn products (the second list), if there are any.
    pub drawn: usize,
    /// Smallest edge of the random crop, as a share of the photo's.
    pub crop: f32,
    pub flip: bool,
}

/// One step's input.
#[derive(Clone, Debug)]
pub struct Batch {
    pub step: u64,
    pub images: ImageBatch,
    pub documents: TextBatch,
    pub queries: TextBatch,
    /// Product against document.
    pub described: Truth,
    /// Product against query.
    pub asked: Truth,
    /// The products' categories, as numbers that mean nothing beyond the batch.
    pub categories: Vec<usize>,
}

/// Makes batches on a thread of its own, a few ahead.
pub struct Loader {
    batches: mpsc::Receiver<Batch>,
    /// Patches kept of an image, read when a batch is begun.
    kept: Arc<AtomicUsize>,
}

/// Where batches come from.
pub struct Source {
    pub products: Vec<Product>,
    /// Drawn products, all with known laces.
    pub drawn: Vec<Product>,
    pub vocabulary: Vocabulary,
    pub config: ClipConfig,
    pub drawing: Drawing,
}

impl Source {
    /// Steps that see every product once.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.products.len() / self.real()).max(1) as u64
    }

    /// Products of a batch that are not drawn.
    fn real(&self) -> usize {
        let drawn = if self.drawn.is_empty() { 0 } else { self.drawing.drawn };
        self.drawing.batch - drawn.min(self.drawing.batch - 1)
    }

    /// The batch of a step, the same each time it is made.
    ///
    /// # Panics
    /// If the epoch has no products.
    #[must_use]
    pub fn batch(&self, step: u64, order: &[u32], kept: usize) -> Batch {
        let mut dice = Dice::new(self.drawing.seed, Purpose::Batch, step);
        let real = self.real();
        let at = usize::try_from(step % self.steps_per_epoch()).expect("fits") * real;
        let mut chosen: Vec<&Product> =
            (0..real).map(|i| &self.products[order[(at + i) % order.len()] as usize]).collect();
        for _ in real..self.drawing.batch {
            chosen.push(&self.drawn[dice.below(self.drawn.len())]);
        }
        let (mut documents, mut queries) = (Vec::new(), Vec::new());
        for product in &chosen {
            documents.push(captions::document(&product.facts, &mut dice));
            queries.push(captions::query(&product.facts, &mut dice));
        }
        let windows: Vec<Window> = chosen.iter().map(|p| self.window(&p.square, &mut dice)).collect();
        let detail: Vec<u64> = (0..chosen.len()).map(|_| dice.below(usize::MAX) as u64).collect();
        let cut: Vec<(Vec<f32>, Vec<u32>)> = chosen
            .iter()
            .zip(&windows)
            .zip(&detail)
            .map(|((product, window), &seed)| self.cut(&product.square, window, kept, seed))
            .collect();
        let (mut patches, mut positions) = (Vec::new(), Vec::new());
        for (pixels, at) in cut {
            patches.extend(pixels);
            positions.extend(at);
        }
        let count = chosen.len();
        let encode = |list: &[captions::Caption]| {
            let ids: Vec<Vec<u32>> = list.iter().map(|c| self.vocabulary.encode(&c.text)).collect();
            TextBatch::new(&ids)
        };
        let truth = |list: &[captions::Caption]| {
            Truth::new(count, count, |product, caption| {
                product == caption
                    || list[product].text == list[caption].text
                    || list[caption].holds_for(&chosen[caption].facts, &chosen[product].facts)
            })
        };
        Batch {
            step,
            images: ImageBatch { images: count, kept, patches, positions },
            documents: encode(&documents),
            queries: encode(&queries),
            described: truth(&documents),
            asked: truth(&queries),
            categories: chosen
                .iter()
                .map(|p| chosen.iter().position(|q| q.facts.category == p.facts.category).unwrap_or_default())
                .collect(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "edges are small")]
    fn window(&self, square: &Photo, dice: &mut Dice) -> Window {
        let whole = square.width() as f32;
        let edge = whole * dice.between(self.drawing.crop, 1.0);
        let (left, top) = (dice.between(0.0, whole - edge), dice.between(0.0, whole - edge));
        Window { left, top, edge, flipped: self.drawing.flip && dice.chance(0.5) }
    }

    /// The window's patches; of more than `kept`, those with something in them are preferred.
    fn cut(&self, square: &Photo, window: &Window, kept: usize, seed: u64) -> (Vec<f32>, Vec<u32>) {
        let size = u32::try_from(self.config.image_size).expect("small");
        let pixels = images::resample(square, window, size);
        let all = images::patches(&pixels, self.config.image_size, self.config.patch, MEAN, STD);
        let length = 3 * self.config.patch * self.config.patch;
        let total = all.len() / length;
        if kept >= total {
            return (all, (0..u32::try_from(total).expect("small")).collect());
        }
        let mut dice = Dice::new(seed, Purpose::Batch, u64::MAX);
        // Efraimidis and Spirakis: the largest of u^(1/weight) are a weighted draw without replacement.
        let mut order: Vec<(f32, usize)> = all
            .chunks_exact(length)
            .enumerate()
            .map(|(at, patch)| {
                let (low, high) = patch.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
                // Plain background spans little more than the three channels' different offsets.
                let weight = if high - low < PLAIN { 0.1 } else { 1.0 };
                (dice.unit().powf(1.0 / weight), at)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut chosen: Vec<usize> = order[..kept].iter().map(|&(_, at)| at).collect();
        chosen.sort_unstable();
        let patches = chosen.iter().flat_map(|&at| all[at * length..(at + 1) * length].iter().copied()).collect();
        (patches, chosen.into_iter().map(|at| u32::try_from(at).expect("small")).collect())
    }

    /// The order in which an epoch sees the products.
    ///
    /// # Panics
    /// If there are more than 2^32.
    #[must_use]
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(self.products.len()).expect("fits")).collect();
        Dice::new(self.drawing.seed, Purpose::Order, epoch).shuffle(&mut order);
        order
    }
}

/// Span of normalized values in a patch of plain white: CLIP's channels differ by 0.22 there.
const PLAIN: f32 = 0.5;

impl Loader {
    /// Starts the thread at `step`.
    ///
    /// # Panics
    /// If the system refuses a thread.
    #[must_use]
    pub fn start(source: Arc<Source>, step: u64, kept: usize) -> Self {
        let (send, batches) = mpsc::sync_channel(2);
        let kept = Arc::new(AtomicUsize::new(kept));
        let wanted = Arc::clone(&kept);
        std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                let mut order = (u64::MAX, Vec::new());
                for step in step.. {
                    let epoch = step / source.steps_per_epoch();
                    if order.0 != epoch {
                        order = (epoch, source.order(epoch));
                    }
                    let batch = source.batch(step, &order.1, wanted.load(Ordering::Relaxed));
                    if send.send(batch).is_err() {
                        break;
                    }
                }
            })
            .expect("a thread for the batches");
        Self { batches, kept }
    }

    /// From the next batch begun, keep so many patches.
    pub fn keep(&self, patches: usize) {
        self.kept.store(patches, Ordering::Relaxed);
    }

    /// The next step's batch.
    ///
    /// # Panics
    /// If the thread panicked.
    #[must_use]
    pub fn next(&self) -> Batch {
        self.batches.recv().expect("the batch thread runs as long as its loader")
    }
}
