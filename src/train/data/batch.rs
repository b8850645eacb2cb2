//! Batches: which products come together, in which words, and how their photos are cropped; made on
//! a thread of its own, ahead of the step that uses them.
//!
//! Everything is drawn from streams named by the step, so that a run taken up again sees what the
//! unbroken one would have seen.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use burn::Tensor;
use rayon::prelude::*;

use super::attribute::Classes;
use super::captions::{self, Caption, Facts};
use super::channels;
use super::images::{self, Window};
use super::product::{MEAN, Product, STD};
use super::sampler::{Sampler, Sampling};
use super::vocabulary::Vocabulary;
use crate::encode::image::Photo;
use crate::train::draws::{Dice, Purpose};
use crate::train::net::network::{ImageBatch, Network, TextBatch};
use crate::train::net::parameters::{ClipConfig, Parameters};
use crate::train::optim::loss::Truth;
use crate::train::run::step::Weights;

/// How a batch is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub seed: u64,
    pub batch: usize,
    /// Smallest edge of the random crop, as a share of the photo's.
    pub crop: f32,
    /// Largest ratio of the crop's sides.
    pub aspect: f32,
    pub flip: bool,
    /// Probability that a photo is lightly blurred.
    pub blur: f32,
    /// Probability that a labeled photo's channels change places (see [`channels`]).
    pub channels: f32,
    /// Which of the main products come.
    pub sampling: Sampling,
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
    /// The rows whose label is known, and these products' category and label, numbered the same
    /// way.
    pub labeled: Vec<usize>,
    pub labels: Vec<usize>,
    /// The values of the attribute that is learned, where a photo of the batch has one of them.
    pub values: Option<Values>,
    /// The categories and the colors by name alone, and which of them each photo has.
    pub facts: Vec<Values>,
    /// What the model said of the replayed products before it was fine-tuned.
    pub anchors: Option<Anchors>,
}

/// All values of an attribute or a fact in words, and which photos have which.
#[derive(Clone, Debug)]
pub struct Values {
    pub prompts: TextBatch,
    /// The rows whose value is one of these, and which.
    pub rows: Vec<usize>,
    pub classes: Vec<usize>,
}

/// Unit embeddings, `rows x projection`, that the rows of a batch are to stay at.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// Those whose captions are to stay,
    pub rows: Range<usize>,
    /// and those of them whose photos are to stay: not those of a category that has labeled
    /// products.
    pub photos: Range<usize>,
    pub images: Vec<f32>,
    pub documents: Vec<f32>,
    pub queries: Vec<f32>,
}

/// Products that come beside the main ones, so many in each batch: drawn ones, or those of a
/// general catalog that a fine-tuned model must not forget (replay).
#[derive(Clone, Debug)]
pub struct Beside {
    pub products: Vec<Product>,
    pub per_batch: usize,
    /// They show what the model knew before: with [`Source::anchored`] their embeddings are
    /// recorded.
    pub replayed: bool,
}

/// What something of a product is called.
type Fact = fn(&Facts) -> &str;

/// Where batches come from.
pub struct Source {
    pub products: Vec<Product>,
    pub beside: Vec<Beside>,
    pub vocabulary: Vocabulary,
    pub config: ClipConfig,
    pub drawing: Drawing,
    classes: Option<Classes>,
    /// With [`Source::naming`]: the names that each fact has, in order.
    names: Vec<(Fact, Vec<String>)>,
    base: Option<(Parameters, Weights)>,
    /// Categories with labeled products.
    learned: HashSet<String>,
    sampler: Sampler,
}

impl Source {
    #[must_use]
    pub fn new(
        products: Vec<Product>,
        beside: Vec<Beside>,
        vocabulary: Vocabulary,
        config: ClipConfig,
        drawing: Drawing,
    ) -> Self {
        let sampler = Sampler::new(&products, drawing.sampling, drawing.seed);
        let labeled = products.iter().filter(|product| product.label.is_some());
        let learned = labeled
            .map(|product| product.facts.category.clone())
            .collect();
        let beside = beside
            .into_iter()
            .filter(|b| b.per_batch > 0 && !b.products.is_empty())
            .collect();
        Self {
            products,
            beside,
            vocabulary,
            config,
            drawing,
            classes: None,
            names: Vec::new(),
            base: None,
            learned,
            sampler,
        }
    }

    /// Its batches say which of an attribute's values the photos have.
    #[must_use]
    pub fn teaching(self, classes: Option<Classes>) -> Self {
        Self { classes, ..self }
    }

    /// Its batches say which category and which color each photo has, among those of all products.
    #[must_use]
    pub fn naming(self) -> Self {
        let facts: [Fact; 2] = [|facts| &facts.category, |facts| &facts.color];
        let all = || {
            self.beside
                .iter()
                .flat_map(|beside| &beside.products)
                .chain(&self.products)
        };
        let names = |fact: Fact| -> BTreeSet<&str> {
            all()
                .map(|product| fact(&product.facts))
                .filter(|name| !name.is_empty())
                .collect()
        };
        let names = facts
            .map(|fact| (fact, names(fact).into_iter().map(str::to_owned).collect()))
            .into();
        Self { names, ..self }
    }

    /// Its batches say what the model `base` says of the replayed products in them, as far as the
    /// loss asks for it.
    #[must_use]
    pub fn anchored(self, base: &Parameters, weights: Weights) -> Self {
        Self {
            base: weights.keep().then(|| (base.clone(), weights)),
            ..self
        }
    }

    /// Steps that see as many products as there are main ones.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.products.len() / self.main()).max(1) as u64
    }

    /// Main products of a batch.
    fn main(&self) -> usize {
        let beside: usize = self.beside.iter().map(|b| b.per_batch).sum();
        self.drawing.batch.saturating_sub(beside).max(1)
    }

    /// The batch of a step, the same each time it is made.
    ///
    /// # Panics
    /// If there are no products.
    #[must_use]
    pub fn batch(&self, step: u64, kept: usize) -> Batch {
        let mut dice = Dice::new(self.drawing.seed, Purpose::Batch, step);
        let picked = self.sampler.pick(step, self.main());
        let main: Vec<Cow<'_, Product>> = picked
            .into_iter()
            .map(|at| self.varied(&self.products[at as usize], &mut dice))
            .collect();
        let mut chosen: Vec<&Product> = main.iter().map(AsRef::as_ref).collect();
        let mut replayed = 0..0;
        for Beside {
            products,
            per_batch,
            replayed: known,
        } in &self.beside
        {
            let mut drawn: Vec<&Product> = (0..*per_batch)
                .map(|_| &products[dice.below(products.len())])
                .collect();
            if *known {
                replayed = chosen.len()..chosen.len() + per_batch;
                drawn.sort_by_key(|product| self.learns_of(product));
            }
            chosen.extend(drawn);
        }
        let (mut documents, mut queries) = (Vec::new(), Vec::new());
        for product in &chosen {
            documents.push(worded(product, captions::document, &mut dice));
            queries.push(worded(product, captions::query, &mut dice));
        }
        let labeled: Vec<usize> = (0..chosen.len())
            .filter(|&at| chosen[at].label.is_some())
            .collect();
        let images = self.images(&chosen, kept, &mut dice);
        Batch {
            step,
            anchors: self.anchors(replayed, &chosen, &images, &documents, &queries),
            images,
            documents: self.encode(&documents),
            queries: self.encode(&queries),
            described: truth(&chosen, &documents),
            asked: truth(&chosen, &queries),
            categories: numbered(&chosen, |p| &p.facts.category),
            labels: numbered(
                &labeled.iter().map(|&at| chosen[at]).collect::<Vec<_>>(),
                |p| (&p.facts.category, &p.label),
            ),
            labeled,
            values: self.classes.as_ref().and_then(|classes| {
                let words = classes.worded(dice.below(classes.wordings()));
                self.asked(&words, &chosen, |product| {
                    classes.of(product.label.as_deref()?)
                })
            }),
            facts: self
                .names
                .iter()
                .filter_map(|(fact, names)| {
                    let place = |product: &Product| {
                        names
                            .binary_search_by(|name| (**name).cmp(fact(&product.facts)))
                            .ok()
                    };
                    self.asked(names, &chosen, place)
                })
                .collect(),
        }
    }

    /// The product, or, where chance has it and there are words for it, with its photo's channels
    /// exchanged.
    fn varied<'a>(&self, product: &'a Product, dice: &mut Dice) -> Cow<'a, Product> {
        if product.label.is_none()
            || self.drawing.channels == 0.0
            || !dice.chance(self.drawing.channels)
        {
            return Cow::Borrowed(product);
        }
        let order = dice.below(channels::ORDERS.len());
        let absent = self
            .classes
            .as_ref()
            .and_then(|classes| classes.attribute.absent.as_deref());
        channels::exchanged(product, order, absent).map_or(Cow::Borrowed(product), Cow::Owned)
    }

    /// Whether the attribute is learned of products such as this one.
    fn learns_of(&self, product: &Product) -> bool {
        self.learned.contains(&product.facts.category)
    }

    fn encode(&self, captions: &[Caption]) -> TextBatch {
        TextBatch::new(
            &captions
                .iter()
                .map(|caption| self.vocabulary.encode(&caption.text))
                .collect::<Vec<_>>(),
        )
    }

    fn anchors(
        &self,
        rows: Range<usize>,
        chosen: &[&Product],
        images: &ImageBatch,
        documents: &[Caption],
        queries: &[Caption],
    ) -> Option<Anchors> {
        let (base, weights) = self.base.as_ref().filter(|_| !rows.is_empty())?;
        let network = Network::bind(&self.config, base, |_| false);
        let embedded = |rows: Tensor<2>| rows.try_into_vec_as::<f32>().expect("embeddings are f32");
        let free = chosen[rows.clone()]
            .iter()
            .filter(|product| self.learns_of(product))
            .count();
        let photos = if weights.keep_photos > 0.0 {
            rows.start..rows.end - free
        } else {
            rows.start..rows.start
        };
        let still = if photos.is_empty() {
            Vec::new()
        } else {
            embedded(network.image(&images.part(photos.clone())))
        };
        let read = |captions: &[Caption]| {
            let kept = if weights.keep_words > 0.0 {
                &captions[rows.clone()]
            } else {
                &[]
            };
            if kept.is_empty() {
                Vec::new()
            } else {
                embedded(network.text(&self.encode(kept)))
            }
        };
        Some(Anchors {
            photos,
            images: still,
            documents: read(documents),
            queries: read(queries),
            rows,
        })
    }

    /// The photos that have one of the values, which are said in these words; `None` if none has.
    fn asked(
        &self,
        words: &[String],
        chosen: &[&Product],
        value: impl Fn(&Product) -> Option<usize>,
    ) -> Option<Values> {
        let known = chosen
            .iter()
            .enumerate()
            .filter_map(|(row, product)| Some((row, value(product)?)));
        let (rows, classes): (Vec<usize>, Vec<usize>) = known.unzip();
        let prompts = TextBatch::new(
            &words
                .iter()
                .map(|text| self.vocabulary.encode(text))
                .collect::<Vec<_>>(),
        );
        (!rows.is_empty()).then_some(Values {
            prompts,
            rows,
            classes,
        })
    }

    fn images(&self, chosen: &[&Product], kept: usize, dice: &mut Dice) -> ImageBatch {
        let Drawing {
            crop, aspect, flip, ..
        } = self.drawing;
        let windows: Vec<Window> = chosen
            .iter()
            .map(|p| Window::drawn(p.square.width(), crop, aspect, flip, dice))
            .collect();
        let details: Vec<u64> = chosen
            .iter()
            .map(|_| dice.below(usize::MAX) as u64)
            .collect();
        let blurred: Vec<bool> = chosen
            .iter()
            .map(|_| self.drawing.blur > 0.0 && dice.chance(self.drawing.blur))
            .collect();
        let cut = |at: usize| {
            self.cut(
                &chosen[at].square,
                &windows[at],
                blurred[at],
                kept,
                details[at],
            )
        };
        let cuts: Vec<(Vec<f32>, Vec<u32>)> = (0..chosen.len()).into_par_iter().map(cut).collect();
        let (mut patches, mut positions) = (Vec::new(), Vec::new());
        for (pixels, seen) in cuts {
            patches.extend(pixels);
            positions.extend(seen);
        }
        ImageBatch {
            images: chosen.len(),
            kept,
            patches,
            positions,
        }
    }

    /// The window's patches; of more than `kept`, those with something in them are preferred.
    fn cut(
        &self,
        square: &Photo,
        window: &Window,
        blurred: bool,
        kept: usize,
        seed: u64,
    ) -> (Vec<f32>, Vec<u32>) {
        let size = u32::try_from(self.config.image_size).expect("small");
        let mut pixels = images::resample(square, window, size);
        if blurred {
            pixels = images::blur(&pixels, self.config.image_size);
        }
        let all = images::patches(
            &pixels,
            self.config.image_size,
            self.config.patch,
            MEAN,
            STD,
        );
        let length = 3 * self.config.patch * self.config.patch;
        let total = all.len() / length;
        if kept >= total {
            return (all, (0..u32::try_from(total).expect("small")).collect());
        }
        let mut dice = Dice::new(seed, Purpose::Batch, u64::MAX);
        // Efraimidis and Spirakis: the largest of u^(1/weight) are a weighted draw without
        // replacement.
        let mut order: Vec<(f32, usize)> = all
            .chunks_exact(length)
            .enumerate()
            .map(|(at, patch)| {
                let (low, high) = patch
                    .iter()
                    .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
                // Plain background spans little more than the three channels' different offsets.
                let weight = if high - low < PLAIN { 0.1 } else { 1.0 };
                (dice.unit().powf(1.0 / weight), at)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut chosen: Vec<usize> = order[..kept].iter().map(|&(_, at)| at).collect();
        chosen.sort_unstable();
        let patches = chosen
            .iter()
            .flat_map(|&at| all[at * length..(at + 1) * length].iter().copied())
            .collect();
        (
            patches,
            chosen
                .into_iter()
                .map(|at| u32::try_from(at).expect("small"))
                .collect(),
        )
    }
}

/// The product's own words, or words made of its facts.
fn worded(product: &Product, make: fn(&Facts, &mut Dice) -> Caption, dice: &mut Dice) -> Caption {
    match product.captions.len() {
        0 => make(&product.facts, dice),
        count => Caption::prepared(product.captions[dice.below(count)].clone()),
    }
}

/// Of which products each caption is true: of its own, and of those that it says nothing wrong of.
fn truth(chosen: &[&Product], captions: &[Caption]) -> Truth {
    Truth::new(chosen.len(), chosen.len(), |product, caption| {
        let text = &captions[caption].text;
        product == caption
            || captions[product].text == *text
            || chosen[product].captions.contains(text)
            || captions[caption].holds_for(&chosen[caption].facts, &chosen[product].facts)
    })
}

/// Each product's number: the place of the first that has the same `key`.
fn numbered<'a, K: PartialEq>(
    chosen: &[&'a Product],
    key: impl Fn(&'a Product) -> K,
) -> Vec<usize> {
    let keys: Vec<K> = chosen.iter().map(|p| key(p)).collect();
    keys.iter()
        .map(|key| {
            keys.iter()
                .position(|other| other == key)
                .unwrap_or_default()
        })
        .collect()
}

/// Span of normalized values in a patch of plain white: CLIP's channels differ by 0.22 there.
const PLAIN: f32 = 0.5;

/// Batches that wait to be taken, at most; one more is under way.
const AHEAD: usize = 2;

/// Which batches hold whole images, and how many patches the others keep. That is a matter of the
/// batch's number and never of when it happens to be made, so that a run taken up again sees what
/// the unbroken one would have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Patches kept of an image before the batch `full_from`,
    pub few: usize,
    /// and from it on.
    pub all: usize,
    pub full_from: u64,
}

/// Makes batches on a thread of its own, a few ahead.
pub struct Loader {
    batches: mpsc::Receiver<Batch>,
    full_from: Arc<AtomicU64>,
}

impl Loader {
    /// Starts the thread at the batch `first`.
    ///
    /// # Panics
    /// If the system refuses a thread.
    #[must_use]
    pub fn start(source: Arc<Source>, first: u64, kept: Kept) -> Self {
        let (send, batches) = mpsc::sync_channel(AHEAD);
        let full_from = Arc::new(AtomicU64::new(kept.full_from));
        let from = Arc::clone(&full_from);
        std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for number in first.. {
                    let full = number >= from.load(Ordering::Acquire);
                    if send
                        .send(source.batch(number, if full { kept.all } else { kept.few }))
                        .is_err()
                    {
                        break;
                    }
                }
            })
            .expect("a thread for the batches");
        Self { batches, full_from }
    }

    /// Lets whole images begin as soon as possible: at the first batch that cannot have been begun
    /// while `next` is the one that is taken next. Returns its number, which decides from now on.
    pub fn fill(&self, next: u64) -> u64 {
        let soonest = next + AHEAD as u64 + 1;
        self.full_from
            .fetch_min(soonest, Ordering::Release)
            .min(soonest)
    }

    /// The next batch.
    ///
    /// # Panics
    /// If the thread panicked.
    #[must_use]
    pub fn next(&self) -> Batch {
        self.batches
            .recv()
            .expect("the batch thread runs as long as its loader")
    }
}
