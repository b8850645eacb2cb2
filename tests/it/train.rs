//! The training companion against PyTorch's recorded values.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use aglet::train::checkpoint;
use aglet::train::dataset::Batch;
use aglet::train::fit::{self, Weights};
use aglet::train::fused::Activation;
use aglet::train::images;
use aglet::train::loss::Truth;
use aglet::train::network::{ClipConfig, ImageBatch, Network, Parameter, Parameters, TextBatch, TowerConfig};
use aglet::train::optimizer::{self, Optimizer, Rule};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

struct Recorded {
    config: ClipConfig,
    before: Parameters,
    batch: Batch,
    arrays: HashMap<String, Parameter>,
}

fn recorded_step() -> Recorded {
    let path = reference("train_step.safetensors");
    let (mut arrays, metadata) = checkpoint::read(&path).expect("recorded by train_step.py");
    let sizes: HashMap<String, usize> = serde_json::from_str(&metadata["sizes"]).expect("sizes");
    let tower =
        TowerConfig { width: sizes["width"], layers: sizes["layers"], heads: sizes["heads"], mlp: sizes["mlp"] };
    let config = ClipConfig {
        vision: tower.clone(),
        image_size: sizes["size"],
        patch: sizes["patch"],
        text: tower,
        vocabulary: sizes["vocabulary"],
        context: sizes["context"],
        projection: sizes["projection"],
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    };
    let mut before = Parameters::random(&config, 1);
    checkpoint::fill(&path, &mut arrays, "before.", &mut before).expect("every parameter by Hugging Face's name");
    let texts = |ids: &str, lengths: &str| {
        let ids: Vec<Vec<u32>> = serde_json::from_str(&metadata[ids]).expect("ids");
        let lengths: Vec<usize> = serde_json::from_str(&metadata[lengths]).expect("lengths");
        let cut: Vec<Vec<u32>> = ids.iter().zip(lengths).map(|(ids, length)| ids[..length].to_vec()).collect();
        TextBatch::new(&cut)
    };
    let pixels = &arrays["pixels"];
    let (count, size) = (pixels.shape[0], config.image_size);
    let mut patches = Vec::new();
    for image in pixels.values.chunks_exact(3 * size * size) {
        // Channels last and undone by the normalization, as `images::patches` wants them.
        let last: Vec<f32> = (0..3 * size * size).map(|at| image[at % 3 * size * size + at / 3]).collect();
        patches.extend(images::patches(&last, size, config.patch, [0.0; 3], [1.0 / 255.0; 3]));
    }
    let kept = config.patches();
    let positions = (0..count * kept).map(|at| u32::try_from(at % kept).expect("small")).collect();
    let truth = |name: &str| {
        let pairs = &arrays[name].values;
        Truth::new(count, count, |row, column| pairs[row * count + column] > 0.5)
    };
    let batch = Batch {
        step: 0,
        images: ImageBatch { images: count, kept, patches, positions },
        documents: texts("documents", "document_lengths"),
        queries: texts("queries", "query_lengths"),
        described: truth("described"),
        asked: truth("asked"),
        categories: vec![0, 1, 2, 1, 1, 0],
    };
    Recorded { config, before, batch, arrays }
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

#[test]
fn the_forward_pass_is_transformers() {
    let Recorded { config, before, batch, arrays } = recorded_step();
    let network = Network::bind(&config, &before, |_| false);
    let image = network.image(&batch.images).try_into_vec_as::<f32>().expect("f32");
    assert!(furthest(&image, &arrays["image"].values) < 1e-5);
    for (name, texts) in [("document", &batch.documents), ("query", &batch.queries)] {
        let text = network.text(texts).try_into_vec_as::<f32>().expect("f32");
        assert!(furthest(&text, &arrays[name].values) < 1e-5, "{name}");
    }
}

#[test]
fn a_training_step_is_pytorchs() {
    let Recorded { config, before, batch, arrays } = recorded_step();
    let (losses, mut gradients) = fit::gradients(&config, &before, &batch, Weights { texts: 0.25, likeness: 0.5 });
    let found = [losses.total, losses.described, losses.asked, losses.texts, losses.likeness];
    assert!(furthest(&found, &arrays["losses"].values) < 1e-5, "{found:?} {:?}", arrays["losses"].values);
    for (parameter, gradient) in before.0.iter().zip(&gradients) {
        let wanted = &arrays[&format!("gradient.{}", parameter.name)].values;
        let gradient = gradient.as_ref().expect("every parameter takes part");
        let error = norm(gradient.iter().zip(wanted).map(|(a, b)| a - b)) / (norm(wanted.iter().copied()) + 1e-7);
        // The keys' biases shift all scores of a query alike: their true gradient is zero, and what is left is noise.
        assert!(error < 1e-4 || parameter.name.ends_with("k_proj.bias"), "{}: {error}", parameter.name);
    }
    let total = optimizer::clip(&mut gradients, 1.0);
    assert!((total - arrays["norm"].values[0]).abs() < 1e-4);
    let rule = Rule::Adamw { beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.1 };
    let mut after = before.clone();
    let mut adamw = Optimizer::new(rule, &before);
    adamw.step(&mut after, &gradients, 1e-3, &fit::treatments(&before));
    let (mut difference, mut update) = (0.0, 0.0);
    for (parameter, start) in after.0.iter().zip(&before.0) {
        if parameter.name.ends_with("k_proj.bias") {
            continue;
        }
        let wanted = &arrays[&format!("after.{}", parameter.name)].values;
        difference += norm(parameter.values.iter().zip(wanted).map(|(a, b)| a - b)).powi(2);
        update += norm(wanted.iter().zip(&start.values).map(|(a, b)| a - b)).powi(2);
    }
    let error = (difference / update).sqrt();
    assert!(error < 1e-4, "the update differs from PyTorch's by {error}");
}
