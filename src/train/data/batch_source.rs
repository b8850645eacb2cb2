//! Where batches come from: which products come together, in which words, and how their photos are
//! cropped.
//!
//! Everything is drawn from streams named by the step, so that a run taken up again sees what the
//! unbroken one would have seen.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use burn::Tensor;
use rayon::prelude::*;

use super::attribute::Classes;
use super::batch::{Anchors, Batch, Values};
use super::captions::{self, Caption};
use super::channels;
use super::images::{self, Region};
use super::product::{Facts, Product};
use super::sampler::{Sampler, Sampling};
use super::truth::Truth;
use super::vocabulary::Vocabulary;
use crate::model::ClipConfig;
use crate::model::preprocessor::{MEAN, STD};
use crate::train::draws::{Purpose, Stream};
use crate::train::net::input::{ImageBatch, TextBatch};
use crate::train::net::network::Network;
use crate::train::net::parameters::Parameters;
use crate::vision::Photo;

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

/// Products that come beside the main ones, so many in each batch: drawn ones, or those of a
/// general catalog that a fine-tuned model must not forget (replay).
#[derive(Clone, Debug)]
pub struct MixedIn {
    pub products: Vec<Product>,
    pub per_batch: usize,
    /// Products that the model must not forget: with [`BatchSource::anchored`] their embeddings are
    /// recorded.
    pub replayed: bool,
}

/// What of the replayed products a model is held to: their photos, their words, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchored {
    pub photos: bool,
    pub words: bool,
}

impl Anchored {
    #[must_use]
    pub fn any(self) -> bool {
        self.photos || self.words
    }
}

/// A fact of a product, by name.
type Fact = fn(&Facts) -> &str;

/// Where batches come from.
pub struct BatchSource {
    pub products: Vec<Product>,
    pub beside: Vec<MixedIn>,
    pub vocabulary: Vocabulary,
    pub config: ClipConfig,
    pub drawing: Drawing,
    classes: Option<Classes>,
    /// With [`BatchSource::naming`]: the names that each fact has, in order.
    names: Vec<(Fact, Vec<String>)>,
    base: Option<(Network, Anchored)>,
    /// Categories with labeled products.
    learned: HashSet<String>,
    sampler: Sampler,
}

impl BatchSource {
    #[must_use]
    pub fn new(
        products: Vec<Product>,
        beside: Vec<MixedIn>,
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

    /// Its batches hold the value of the attribute that each photo has.
    #[must_use]
    pub fn teaching(self, classes: Option<Classes>) -> Self {
        Self { classes, ..self }
    }

    /// Its batches hold the category and the color that each photo has, among those of all products.
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

    /// Its batches hold the embeddings that the model `base` makes of the replayed products in them.
    #[must_use]
    pub fn anchored(self, base: &Parameters, anchored: Anchored) -> Self {
        let network = || Network::bind(&self.config, base, |_| false);
        Self {
            base: anchored.any().then(|| (network(), anchored)),
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
        let mut draws = Stream::new(self.drawing.seed, Purpose::Batch, step);
        let picked = self.sampler.pick(step, self.main());
        let main: Vec<Cow<'_, Product>> = picked
            .into_iter()
            .map(|at| self.varied(&self.products[at as usize], &mut draws))
            .collect();
        let mut chosen: Vec<&Product> = main.iter().map(AsRef::as_ref).collect();
        let mut replayed = 0..0;
        for MixedIn {
            products,
            per_batch,
            replayed: known,
        } in &self.beside
        {
            let mut mixed_in: Vec<&Product> = (0..*per_batch)
                .map(|_| &products[draws.below(products.len())])
                .collect();
            if *known {
                replayed = chosen.len()..chosen.len() + per_batch;
                mixed_in.sort_by_key(|product| self.learns_of(product));
            }
            chosen.extend(mixed_in);
        }
        let (mut documents, mut queries) = (Vec::new(), Vec::new());
        for product in &chosen {
            documents.push(worded(product, captions::document, &mut draws));
            queries.push(worded(product, captions::query, &mut draws));
        }
        let labeled: Vec<usize> = (0..chosen.len())
            .filter(|&at| chosen[at].label.is_some())
            .collect();
        let images = self.images(&chosen, kept, &mut draws);
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
                let words = classes.worded(draws.below(classes.wordings()));
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

    /// The product, or, by chance and if there are words for it, with its photo's channels exchanged.
    fn varied<'a>(&self, product: &'a Product, draws: &mut Stream) -> Cow<'a, Product> {
        if product.label.is_none()
            || self.drawing.channels == 0.0
            || !draws.chance(self.drawing.channels)
        {
            return Cow::Borrowed(product);
        }
        let order = draws.below(channels::ORDERS.len());
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
        let (network, anchored) = self.base.as_ref().filter(|_| !rows.is_empty())?;
        let embedded = |rows: Tensor<2>| rows.try_into_vec_as::<f32>().expect("embeddings are f32");
        let free = chosen[rows.clone()]
            .iter()
            .filter(|product| self.learns_of(product))
            .count();
        let photos = if anchored.photos {
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
            let kept = if anchored.words {
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

    /// The photos that have one of the values, with the values in these words; `None` if none has.
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

    fn images(&self, chosen: &[&Product], kept: usize, draws: &mut Stream) -> ImageBatch {
        let Drawing {
            crop, aspect, flip, ..
        } = self.drawing;
        let regions: Vec<Region> = chosen
            .iter()
            .map(|p| Region::drawn(p.square.width(), crop, aspect, flip, draws))
            .collect();
        let details: Vec<u64> = chosen
            .iter()
            .map(|_| draws.below(usize::MAX) as u64)
            .collect();
        let blurred: Vec<bool> = chosen
            .iter()
            .map(|_| self.drawing.blur > 0.0 && draws.chance(self.drawing.blur))
            .collect();
        let cut = |at: usize| {
            self.cut(
                &chosen[at].square,
                &regions[at],
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

    /// The region's patches; of more than `kept`, those with something in them are preferred.
    fn cut(
        &self,
        square: &Photo,
        region: &Region,
        blurred: bool,
        kept: usize,
        seed: u64,
    ) -> (Vec<f32>, Vec<u32>) {
        let size = u32::try_from(self.config.vision.image_size).expect("small");
        let mut pixels = images::resample(square, region, size);
        if blurred {
            pixels = images::blur(&pixels, self.config.vision.image_size);
        }
        let all = images::patches(
            &pixels,
            self.config.vision.image_size,
            self.config.vision.patch_size,
            MEAN,
            STD,
        );
        let length = 3 * self.config.vision.patch_size.pow(2);
        let total = all.len() / length;
        if kept >= total {
            return (all, (0..u32::try_from(total).expect("small")).collect());
        }
        let mut draws = Stream::new(seed, Purpose::Batch, u64::MAX);
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
                (draws.unit().powf(1.0 / weight), at)
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
fn worded(
    product: &Product,
    make: fn(&Facts, &mut Stream) -> Caption,
    draws: &mut Stream,
) -> Caption {
    match product.captions.len() {
        0 => make(&product.facts, draws),
        count => Caption::prepared(product.captions[draws.below(count)].clone()),
    }
}

/// Of which products each caption is true: of its own, and of all that have what it states.
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
