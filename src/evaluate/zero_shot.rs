//! Zero-shot classification: an image is of the class whose text is nearest by cosine.
//!
//! Class texts come from templates: `{}` stands for the class, `{category}` for the image's own value of an attribute
//! (lower case), so that "casual shoes with {} shoelaces" asks for what is not known by way of what is. Several
//! templates are ensembled as CLIP does it: the mean of the unit embeddings, scaled to unit length (Radford et al.,
//! arXiv 2103.00020, section 3.1.4).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bootstrap::{self, Estimate, Paired};
use super::classification::{Report, ReportError, Rows, TopK, ZeroDivision, f1_averages, judge};
use super::datasets::{DatasetError, LabeledSet};
use super::document::{Figure, SEED};
use super::embedder::{Embedder, EmbedderError};
use super::metrics::{as_f64, rank_points};
use crate::domain::{AttributeName, Embedding, EmbeddingError};

/// The averages that lead, as [`f1_averages`] has them.
const AVERAGES: [&str; 2] = ["macro_f1", "weighted_f1"];

/// What the classes are called and the texts they stand in. A TOML file:
///
/// ```toml
/// templates = ["a photo of {}", "{}"]
/// [names]                       # what a class is called in the templates; else its own name in lower case
/// "T-shirt/top" = "t-shirt"
/// [instead]                     # other templates for a class
/// none = ["{category} without shoelaces"]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    pub templates: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instead: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ZeroShotError {
    #[error("there is no template to make class texts of")]
    NoTemplates,
    #[error("the prompts name a class {class:?} that the data does not have")]
    UnknownClass { class: String },
    #[error("the texts of two templates cancel out: {0}")]
    Ensemble(#[from] EmbeddingError),
    #[error("no image could be embedded; the first: {first}")]
    NothingEmbedded { first: String },
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ZeroShotResult {
    pub prompts: Prompts,
    pub report: Report,
    pub top: TopK,
    /// All classes; the report has those that occur.
    pub classes: Vec<String>,
    /// For every image its class, the class predicted, and the place (from 0) of its class.
    pub truth: Vec<usize>,
    pub predicted: Vec<usize>,
    pub places: Vec<usize>,
    /// Images that could not be embedded.
    pub left_out: usize,
}

impl Default for Prompts {
    /// The class's name alone, and in a photo.
    fn default() -> Self {
        Self::of(&["{}", "a photo of {}"].map(str::to_owned))
    }
}

impl Prompts {
    /// What a catalogue's attribute is asked with when nothing else is said: the category by its name, a color before
    /// the category, anything else as "{category} with {} shoelaces" and, for `none`, "without".
    #[must_use]
    pub fn for_attribute(attribute: &AttributeName) -> Self {
        let noun = match attribute.as_str() {
            "category" => return Self::of(&["{}".to_owned()]),
            "color" => return Self::of(&["{} {category}".to_owned()]),
            "gender" => return Self::of(&["{category} for {}".to_owned()]),
            "shoelace_color" => "shoelaces".to_owned(),
            other => other.trim_end_matches("_color").replace('_', " "),
        };
        let without = vec![format!("{{category}} without {noun}")];
        let instead = BTreeMap::from([("none".to_owned(), without)]);
        Self { instead, ..Self::of(&[format!("{{category}} with {{}} {noun}")]) }
    }

    #[must_use]
    pub fn of(templates: &[String]) -> Self {
        Self { templates: templates.to_vec(), names: BTreeMap::new(), instead: BTreeMap::new() }
    }

    /// # Errors
    /// When there is no template, or a class is named that is none.
    pub fn check(&self, classes: &[String]) -> Result<(), ZeroShotError> {
        if self.templates.is_empty() || self.instead.values().any(Vec::is_empty) {
            return Err(ZeroShotError::NoTemplates);
        }
        match self.names.keys().chain(self.instead.keys()).find(|c| !classes.contains(c)) {
            Some(class) => Err(ZeroShotError::UnknownClass { class: class.clone() }),
            None => Ok(()),
        }
    }

    /// The texts of a class for an image with these attributes.
    #[must_use]
    pub fn texts(&self, class: &str, attributes: &BTreeMap<String, String>) -> Vec<String> {
        let name = self.names.get(class).cloned().unwrap_or_else(|| class.to_lowercase());
        let templates = self.instead.get(class).unwrap_or(&self.templates);
        templates.iter().map(|template| fill(template, &name, attributes)).collect()
    }
}

/// Puts class and attributes in; an attribute that the image lacks leaves nothing behind.
fn fill(template: &str, class: &str, attributes: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        match name {
            "" => text.push_str(class),
            name => text.push_str(&attributes.get(name).map(|v| v.to_lowercase()).unwrap_or_default()),
        }
        rest = after;
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Classifies every image of the set. `done` hears how many images are embedded.
///
/// # Errors
/// When the prompts do not fit the classes, the encoder ends, or not one image can be embedded.
pub fn run(
    embedder: &mut Embedder,
    set: &LabeledSet,
    prompts: &Prompts,
    done: impl FnMut(usize),
) -> Result<ZeroShotResult, ZeroShotError> {
    prompts.check(&set.classes)?;
    let images = embedder.images((0..set.items.len()).map(|i| set.picture(i)), done)?;
    let mut texts = Texts { embedder, known: HashMap::new() };
    let (mut truth, mut predicted, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused: Vec<String> = Vec::new();
    for (item, image) in set.items.iter().zip(images) {
        let image = match image {
            Ok((_, image)) => image,
            Err(reason) => {
                refused.push(format!("{}: {reason}", item.id));
                continue;
            }
        };
        let scores: Result<Vec<f32>, ZeroShotError> = set
            .classes
            .iter()
            .map(|class| Ok(texts.ensemble(&prompts.texts(class, &item.attributes))?.cosine(&image)))
            .collect();
        let (place, best) = judge(&scores?, item.class);
        truth.push(item.class);
        predicted.push(best);
        places.push(place);
    }
    if truth.is_empty() {
        return Err(ZeroShotError::NothingEmbedded { first: refused.into_iter().next().unwrap_or_default() });
    }
    let report = Report::new(&truth, &predicted, &set.classes, Rows::Present, ZeroDivision::Zero)?;
    let (classes, prompts, left_out) = (set.classes.clone(), prompts.clone(), refused.len());
    let top = TopK::of(&places);
    Ok(ZeroShotResult { prompts, report, top, classes, truth, predicted, places, left_out })
}

/// Names images, labels and prompts: results on different data are never compared, results on the same data with the
/// same model need not be made twice. Reads every picture.
#[must_use]
pub fn data_sha256(set: &LabeledSet, prompts: &Prompts) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&(prompts, &set.classes)).unwrap_or_default());
    for (position, item) in set.items.iter().enumerate() {
        digest.update(serde_json::to_vec(&(&item.id, item.class, &item.attributes)).unwrap_or_default());
        // A picture that cannot be read is left out of the result, for every model.
        digest.update(set.picture(position).map(|file| Sha256::digest(&file).to_vec()).unwrap_or_default());
    }
    super::suite::hex(&digest.finalize())
}

/// Class texts that were embedded before.
struct Texts<'a> {
    embedder: &'a Embedder,
    known: HashMap<Vec<String>, Embedding>,
}

impl Texts<'_> {
    fn ensemble(&mut self, texts: &[String]) -> Result<Embedding, ZeroShotError> {
        if let Some(known) = self.known.get(texts) {
            return Ok(known.clone());
        }
        let all: Result<Vec<Embedding>, _> = texts.iter().map(|text| self.embedder.text(text)).collect();
        let made = mean_direction(&all?)?;
        self.known.insert(texts.to_vec(), made.clone());
        Ok(made)
    }
}

/// The mean of unit vectors, scaled to unit length.
fn mean_direction(all: &[Embedding]) -> Result<Embedding, EmbeddingError> {
    let dimensions = all.first().map_or(0, Embedding::dimensions);
    let sum = |d: usize| all.iter().map(|e| e.as_slice()[d]).sum();
    Embedding::new((0..dimensions).map(sum).collect(), dimensions)
}

impl ZeroShotResult {
    /// `accuracy`, `top_5`, `rank_score` (share of 5 points an image), `macro_f1`, `weighted_f1`, each with its
    /// bootstrap interval over the images.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let over = |value: fn(usize) -> f64| self.places.iter().map(|p| value(*p)).collect::<Vec<f64>>();
        let means = [
            ("accuracy", over(|p| if p == 0 { 1.0 } else { 0.0 })),
            ("top_5", over(|p| if p < 5 { 1.0 } else { 0.0 })),
            ("rank_score", over(|p| f64::from(rank_points(p)) / 5.0)),
        ];
        let mut figures: Vec<Figure> = means.iter().filter_map(|(name, values)| Figure::mean(name, values)).collect();
        let values = [self.report.macro_average.f1, self.report.weighted_average.f1];
        for (i, (name, value)) in AVERAGES.into_iter().zip(values).enumerate() {
            let n = self.truth.len();
            let interval = bootstrap::interval(n, SEED, |drawn| self.f1(i, drawn, |at| self.predicted[at]));
            let estimate = interval.map(|interval| Estimate { value, interval, n });
            figures.extend(estimate.map(|estimate| Figure { name: name.to_owned(), estimate }));
        }
        figures
    }

    /// An average over the images drawn, with the prediction that `predicted` has for each.
    fn f1(&self, average: usize, drawn: &[usize], predicted: impl Fn(usize) -> usize) -> Option<f64> {
        Some(f1_averages(drawn.iter().map(|&at| (self.truth[at], predicted(at))), self.classes.len())?[average])
    }

    /// Tests of the F1 averages against another model's on the same images; none on others. What got better or worse
    /// is counted in classes.
    #[must_use]
    pub fn paired(&self, base: &Self) -> Vec<(String, Paired)> {
        if self.truth != base.truth || self.classes != base.classes {
            return Vec::new();
        }
        let f1 = |result: &Self, class: &str| {
            result.report.classes.iter().find(|c| c.name == class).map_or(0.0, |c| c.scores.f1)
        };
        let mut counts = [0; 3];
        for class in &self.classes {
            // What was read from a file differs in the last bit.
            let change = f1(self, class) - f1(base, class);
            counts[if change > 1e-9 {
                0
            } else if change < -1e-9 {
                2
            } else {
                1
            }] += 1;
        }
        let test = |average: usize| {
            bootstrap::paired_figure(self.truth.len(), SEED, counts, |drawn, exchanged| {
                let ours = |at: usize| if exchanged[at] { base.predicted[at] } else { self.predicted[at] };
                let theirs = |at: usize| if exchanged[at] { self.predicted[at] } else { base.predicted[at] };
                Some(self.f1(average, drawn, ours)? - self.f1(average, drawn, theirs)?)
            })
        };
        (0..).zip(AVERAGES).filter_map(|(i, name)| Some((name.to_owned(), test(i)?))).collect()
    }

    /// Right or wrong, and the rank score, image by image.
    #[must_use]
    pub fn series(&self) -> Vec<(String, Vec<f64>)> {
        vec![
            ("accuracy".to_owned(), self.places.iter().map(|p| as_f64(usize::from(*p == 0))).collect()),
            ("rank_score".to_owned(), self.places.iter().map(|p| f64::from(rank_points(*p)) / 5.0).collect()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let attributes = BTreeMap::from([("category".to_owned(), "Casual Shoes".to_owned())]);
        let text = |template: &str| fill(template, "white", &attributes);
        assert_eq!(text("{category} with {} shoelaces"), "casual shoes with white shoelaces");
        assert_eq!(text("{gender} {category} , {}"), "casual shoes , white");
        assert_eq!(text("a { brace"), "a { brace");
        assert_eq!(text("plain"), "plain");
    }

    #[test]
    fn classes_may_have_names_and_templates_of_their_own() {
        let prompts: Prompts = toml::from_str(
            "templates = [\"a photo of {}\", \"{}\"]\n[names]\nTshirts = \"t-shirt\"\n[instead]\nnone = [\"without laces\"]\n",
        )
        .expect("prompts");
        let none = BTreeMap::new();
        assert_eq!(prompts.texts("Tshirts", &none), ["a photo of t-shirt", "t-shirt"]);
        assert_eq!(prompts.texts("Dress", &none), ["a photo of dress", "dress"]);
        assert_eq!(prompts.texts("none", &none), ["without laces"]);
        let classes = ["Tshirts", "none"].map(str::to_owned);
        assert!(prompts.check(&classes).is_ok());
        assert!(matches!(prompts.check(&classes[..1]), Err(ZeroShotError::UnknownClass { .. })));
        assert!(matches!(Prompts::of(&[]).check(&classes), Err(ZeroShotError::NoTemplates)));
    }

    #[test]
    fn an_ensemble_points_between_its_texts() {
        let e = |x: f32, y: f32| Embedding::new(vec![x, y], 2).expect("valid");
        let mean = mean_direction(&[e(1.0, 0.0), e(0.0, 1.0)]).expect("valid");
        assert!((mean.cosine(&e(1.0, 1.0)) - 1.0).abs() < 1e-6);
        assert!(mean_direction(&[e(1.0, 0.0), e(-1.0, 0.0)]).is_err());
    }
}
