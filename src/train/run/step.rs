//! One step: a batch's loss and its gradients.

use std::borrow::Borrow;
use std::ops::Range;

use burn::Tensor;
use burn::tensor::Device;

use super::losses::{LossWeights, Losses};
use super::training::Training;
use crate::model::ClipConfig;
use crate::train::data::batch::{Anchors, Batch, Values};
use crate::train::data::truth::Truth;
use crate::train::net::network::Network;
use crate::train::net::parameters::Parameters;
use crate::train::optim::loss::{self, LossKind};

/// Temperature of the loss between photos, as SupCon has it.
const LIKENESS_TEMPERATURE: f32 = 0.1;

/// The parts of the loss as nodes of the graph.
struct Parts {
    described: Tensor<1>,
    asked: Tensor<1>,
    texts: Tensor<1>,
    likeness: Tensor<1>,
    /// Those that are not always there.
    labels: Option<Tensor<1>>,
    values: Option<Tensor<1>>,
    facts: Option<Tensor<1>>,
    keep_photos: Option<Tensor<1>>,
    keep_words: Option<Tensor<1>>,
}

/// The embeddings of a batch.
struct Embedded<'a> {
    network: &'a Network,
    image: Tensor<2>,
    document: Tensor<2>,
    query: Tensor<2>,
}

impl<'a> Embedded<'a> {
    fn new(network: &'a Network, batch: &Batch) -> Self {
        Self {
            image: network.image(&batch.images),
            document: network.text(&batch.documents),
            query: network.text(&batch.queries),
            network,
        }
    }

    /// Some of the photos.
    fn images(&self, rows: impl Iterator<Item = usize>) -> Tensor<2> {
        self.image.clone().select(0, self.network.ints(rows))
    }

    fn pairs(&self, kind: LossKind, a: &Tensor<2>, b: &Tensor<2>, truth: &Truth) -> Tensor<1> {
        let (a, b, scale) = (a.clone(), b.clone(), self.network.logit_scale());
        let device = self.network.device();
        match kind {
            LossKind::Contrastive => loss::contrastive(a, b, scale, truth, device),
            LossKind::Siglip => loss::siglip(a, b, scale, self.network.logit_bias(), truth, device),
        }
    }

    /// Photos against all values of an attribute or a fact in words.
    fn classified(&self, values: &Values) -> Tensor<1> {
        loss::classification(
            self.images(values.rows.iter().copied()),
            self.network.text(&values.prompts),
            self.network.logit_scale(),
            &values.classes,
            self.network.device(),
        )
    }

    fn drift(&self, embeddings: &Tensor<2>, anchors: &[f32], rows: &Range<usize>) -> Tensor<1> {
        let rows = self.network.ints(rows.clone());
        loss::drift(
            embeddings.clone().select(0, rows),
            anchors,
            self.network.device(),
        )
    }

    /// Photos of one category and one value.
    fn labels(&self, batch: &Batch) -> Option<Tensor<1>> {
        (batch.labeled.len() > 1).then(|| {
            loss::likeness(
                self.images(batch.labeled.iter().copied()),
                &batch.labels,
                LIKENESS_TEMPERATURE,
                self.network.device(),
            )
        })
    }

    /// The mean over the facts.
    fn facts(&self, facts: &[Values]) -> Option<Tensor<1>> {
        #[expect(clippy::cast_precision_loss, reason = "two")]
        let share = 1.0 / facts.len() as f32;
        let sum = facts
            .iter()
            .map(|fact| self.classified(fact))
            .reduce(|sum, part| sum + part);
        sum.map(|sum| sum.mul_scalar(share))
    }

    fn kept_photos(&self, anchors: &Anchors) -> Option<Tensor<1>> {
        let Anchors { photos, images, .. } = anchors;
        (!photos.is_empty()).then(|| self.drift(&self.image, images, photos))
    }

    fn kept_words(&self, anchors: &Anchors) -> Tensor<1> {
        let Anchors {
            rows,
            documents,
            queries,
            ..
        } = anchors;
        (self.drift(&self.document, documents, rows) + self.drift(&self.query, queries, rows))
            .mul_scalar(0.5)
    }

    /// The parts that have a weight.
    fn parts(&self, batch: &Batch, weights: LossWeights) -> Parts {
        let anchors = batch.anchors.as_ref();
        let Self {
            image,
            document,
            query,
            ..
        } = self;
        Parts {
            described: self.pairs(weights.kind, image, document, &batch.described),
            likeness: loss::likeness(
                image.clone(),
                &batch.categories,
                LIKENESS_TEMPERATURE,
                self.network.device(),
            ),
            labels: (weights.labels != 0.0)
                .then(|| self.labels(batch))
                .flatten(),
            values: batch
                .values
                .as_ref()
                .filter(|_| weights.values > 0.0)
                .map(|values| self.classified(values)),
            facts: (weights.facts > 0.0)
                .then(|| self.facts(&batch.facts))
                .flatten(),
            keep_photos: anchors
                .filter(|_| weights.keep_photos > 0.0)
                .and_then(|anchors| self.kept_photos(anchors)),
            keep_words: anchors
                .filter(|_| weights.keep_words > 0.0)
                .map(|anchors| self.kept_words(anchors)),
            asked: self.pairs(weights.kind, image, query, &batch.asked),
            texts: self.pairs(weights.kind, document, query, &batch.asked),
        }
    }
}

impl Parts {
    fn total(&self, weights: LossWeights) -> Tensor<1> {
        let total = (self.described.clone() + self.asked.clone()).mul_scalar(0.5)
            + self.texts.clone().mul_scalar(weights.texts)
            + self.likeness.clone().mul_scalar(weights.likeness);
        let optional = [
            (&self.labels, weights.labels),
            (&self.values, weights.values),
            (&self.facts, weights.facts),
            (&self.keep_photos, weights.keep_photos),
            (&self.keep_words, weights.keep_words),
        ];
        optional
            .into_iter()
            .filter_map(|(part, weight)| Some(part.clone()?.mul_scalar(weight)))
            .fold(total, |total, part| total + part)
    }

    /// Their numbers; a part that is not there is zero.
    fn losses(self, total: &Tensor<1>, device: &Device) -> Losses {
        let or_zero = |part: Option<Tensor<1>>| part.unwrap_or_else(|| Tensor::zeros([1], device));
        // Fetched together: a GPU is waited for at each transfer.
        let parts = vec![
            total.clone(),
            self.described,
            self.asked,
            self.texts,
            self.likeness,
            or_zero(self.labels),
            or_zero(self.values),
            or_zero(self.facts),
            or_zero(self.keep_photos),
            or_zero(self.keep_words),
        ];
        let parts = Tensor::cat(parts, 0)
            .try_into_vec_as::<f32>()
            .expect("losses are f32");
        let [
            total,
            described,
            asked,
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        ] = parts[..]
        else {
            unreachable!("ten losses were put together")
        };
        Losses {
            total,
            described,
            asked,
            texts,
            likeness,
            labels,
            values,
            facts,
            keep_photos,
            keep_words,
        }
    }
}

/// The loss as the graph's last node, and its parts.
fn forward(network: &Network, batch: &Batch, weights: LossWeights) -> (Tensor<1>, Losses) {
    let parts = Embedded::new(network, batch).parts(batch, weights);
    let total = parts.total(weights);
    let losses = parts.losses(&total, network.device());
    (total, losses)
}

/// The weights on the training's device; those that `moves` names get gradients.
fn bound(
    config: &ClipConfig,
    parameters: &Parameters,
    training: &Training,
    moves: impl Fn(&str) -> bool,
) -> Network {
    Network::bind_on(training.device, config, parameters, moves)
        .adapted(training.scale())
        .at(training.precision)
}

/// The losses of several batches, without gradients. The weights are copied to the device once.
#[must_use]
pub fn losses(
    config: &ClipConfig,
    parameters: &Parameters,
    batches: impl IntoIterator<Item = impl Borrow<Batch>>,
    weights: LossWeights,
    training: &Training,
) -> Vec<Losses> {
    let network = bound(config, parameters, training, |_| false);
    batches
        .into_iter()
        .map(|batch| forward(&network, batch.borrow(), weights).1)
        .collect()
}

/// A batch's loss and its gradients, in the order of the parameters; `None` for those that do not
/// move.
#[must_use]
pub fn gradients(
    config: &ClipConfig,
    parameters: &Parameters,
    batch: &Batch,
    weights: LossWeights,
    training: &Training,
) -> (Losses, Vec<Option<Vec<f32>>>) {
    let network = bound(config, parameters, training, |name| training.moves(name));
    let (total, losses) = forward(&network, batch, weights);
    let found = total.backward();
    (losses, network.gradients(parameters, &found))
}
