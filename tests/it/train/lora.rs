//! Low-rank adaptation: against PyTorch's recorded gradients (tests/reference/lora_step.py), and
//! over a run.

use aglet::model::ModelFolder;
use aglet::train::net::lora::{self, Lora};
use aglet::train::net::network::Network;
use aglet::train::net::parameters::Parameters;
use aglet::train::optim::optimizer::{Optimizer, Rule};
use aglet::train::run::checkpoint;
use aglet::train::run::embed::Embedder;
use aglet::train::run::folder::{self, RunWeights};
use aglet::train::run::step;
use aglet::train::run::training::Training;

use super::{Recorded, WEIGHTS, furthest, norm, recorded_step, reference, small_run};

/// The pairs alone, without the temperature.
fn training(rank: usize, alpha: f32, on: &[&str]) -> Training {
    let on = on.iter().map(|name| (*name).to_owned()).collect();
    Training {
        lora: Some(Lora { rank, alpha, on }),
        logit_scale: false,
        ..Training::default()
    }
}

#[test]
fn the_pairs_gradients_are_pytorchs_and_the_base_has_none() {
    let Recorded {
        config,
        before,
        batch,
        ..
    } = recorded_step();
    let path = reference("lora_step.safetensors");
    let (mut arrays, metadata) = checkpoint::read(&path).expect("recorded by lora_step.py");
    assert_eq!(
        (metadata["rank"].as_str(), metadata["alpha"].as_str()),
        ("3", "6.0")
    );
    let training = training(3, 6.0, &["q_proj", "fc2"]);
    let mut parameters = before.clone();
    training.begin(WEIGHTS.kind, &mut parameters, 1);
    let mut pairs = Parameters(parameters.0.split_off(before.0.len()));
    assert_eq!(pairs.0.len(), 16);
    checkpoint::fill(&path, &mut arrays, "pair.", &mut pairs).expect("every pair by PEFT's name");
    parameters.0.extend(pairs.0);
    let (losses, gradients) = step::gradients(&config, &parameters, &batch, WEIGHTS, &training);
    assert!(
        (losses.total - arrays["loss"].values[0]).abs() < 1e-5,
        "{losses:?}"
    );
    for (parameter, gradient) in parameters.0.iter().zip(gradients) {
        let Some(wanted) = arrays.get(&format!("gradient.{}", parameter.name)) else {
            assert!(gradient.is_none(), "{} is frozen", parameter.name);
            continue;
        };
        let gradient = gradient.expect("a pair takes part");
        let error = norm(gradient.iter().zip(&wanted.values).map(|(a, b)| a - b))
            / norm(wanted.values.iter().copied());
        assert!(error < 1e-4, "{}: {error}", parameter.name);
    }
}

#[test]
fn the_first_step_begins_at_the_base_and_moves_the_pairs_alone() {
    let Recorded {
        config,
        before,
        batch,
        ..
    } = recorded_step();
    let training = training(
        2,
        4.0,
        &["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
    );
    let mut parameters = before.clone();
    training.begin(WEIGHTS.kind, &mut parameters, 1);
    let plain = step::losses(&config, &before, [&batch], WEIGHTS, &Training::default())[0];
    assert_eq!(
        step::losses(&config, &parameters, [&batch], WEIGHTS, &training)[0],
        plain
    );
    let start = parameters.clone();
    let rule = Rule::Adamw {
        beta1: 0.9,
        beta2: 0.98,
        eps: 1e-6,
        weight_decay: 0.1,
    };
    let mut optimizer = Optimizer::new(rule, &parameters);
    let treatments = training.treatments(&config, &parameters);
    for _ in 0..5 {
        let (_, gradients) = step::gradients(&config, &parameters, &batch, WEIGHTS, &training);
        optimizer.step(&mut parameters, &gradients, 1e-2, &treatments);
    }
    assert!(
        step::losses(&config, &parameters, [&batch], WEIGHTS, &training)[0].total
            < plain.total - 0.1
    );
    for ((now, then), slots) in parameters.0.iter().zip(&start.0).zip(&optimizer.slots) {
        assert_eq!(now != then, lora::is_adapter(&now.name), "{}", now.name);
        assert_eq!(
            slots.is_empty(),
            !lora::is_adapter(&now.name),
            "{}",
            now.name
        );
    }
    // Merged into the matrices, the model is the same one.
    let merged = training.plain(&parameters).into_owned();
    assert_eq!(merged.0.len(), before.0.len());
    let embed = |parameters: &Parameters| {
        let network = Network::bind(&config, parameters, |_| false).adapted(training.scale());
        let rows = [network.image(&batch.images), network.text(&batch.documents)];
        rows.map(|t| t.try_into_vec_as::<f32>().expect("f32"))
            .concat()
    };
    assert!(furthest(&embed(&merged), &embed(&parameters)) < 1e-5);
    assert!(
        furthest(&embed(&merged), &embed(&before)) > 1e-2,
        "the steps changed something"
    );
}

#[test]
fn a_run_with_pairs_and_siglips_loss_resumes_and_leaves_whole_models() {
    let (whole, broken) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    let more = [
        "training.lora={ rank = 2, alpha = 4.0, on = [\"q_proj\", \"fc1\"] }",
        "loss.kind=siglip",
        "run.keep_epochs=all",
        "run.watch=loss",
        "optimizer.rate=1e-2",
        "optimizer.average=0.5",
    ];
    let unbroken = small_run(whole.path(), 6, false, &more);
    let mut halves = small_run(broken.path(), 2, false, &more);
    halves.extend(small_run(broken.path(), 6, true, &more));
    assert_eq!(unbroken, halves);
    let (config, last) =
        folder::read_run(broken.path(), RunWeights::Last).expect("the pairs are merged");
    let random = Parameters::random(&config.clip, 1);
    let changed = |p: &Parameters| {
        p.0.iter()
            .zip(&random.0)
            .filter(|(now, then)| now.values != then.values)
            .map(|(now, _)| now.name.clone())
            .collect::<Vec<_>>()
    };
    // One layer a tower, two matrices each; the temperature began at SigLIP's.
    let moved = changed(&last);
    assert_eq!(moved.len(), 5, "{moved:?}");
    assert!(moved.iter().all(|name| name.contains("q_proj.weight")
        || name.contains("fc1.weight")
        || name == "logit_scale"));
    // Each validation is a model that the server opens.
    for epoch in ["001", "002", "003"] {
        let folder = broken.path().join("epochs").join(epoch);
        ModelFolder::open(&folder).expect("a model folder");
        assert_eq!(
            changed(&folder::read(&folder).expect("a checkpoint folder").1).len(),
            5,
            "{epoch}"
        );
    }
    let (config, average) = folder::read_run(broken.path(), RunWeights::Average).expect("reads");
    assert_eq!(
        folder::read(&broken.path().join("epochs/003")).expect("reads"),
        (config.clone(), average)
    );
    let photos = super::drawn::drawn(5, 2, super::FRAME);
    let photos: Vec<_> = photos.iter().collect();
    let vocabulary = super::Small::new(broken.path(), &more).vocabulary;
    let embedder = Embedder::new(&config, &last, &vocabulary);
    assert_eq!(embedder.photos(&photos).len(), 2 * config.clip.projection);
}
