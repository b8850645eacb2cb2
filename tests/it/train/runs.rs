//! What a run does beyond its steps: it stops, keeps the best, stays over, and repeats what it is
//! told to.

use std::path::Path;
use std::sync::Arc;

use aglet::train::data::loader::{KeptPatches, Loader};
use aglet::train::net::parameters::Parameters;
use aglet::train::run::checkpoint;
use aglet::train::run::fit::{FitError, HeldOut, Run};
use aglet::train::run::folder::{self, RunWeights};
use aglet::train::run::report::History;
use aglet::train::run::step;

use super::{Small, furthest, small_run};

/// So small a rate that no figure changes: after the first validation, nothing is better.
const STILL: [&str; 4] = [
    "lr=1e-30",
    "run.watch=loss",
    "run.keep_epochs=best",
    "run.patience=2",
];

fn history(folder: &Path) -> History {
    History::parse(&std::fs::read_to_string(folder.join("metrics.jsonl")).expect("a run's metrics"))
}

fn epochs(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("epochs"))
        .expect("epochs")
        .map(|e| e.expect("an entry").file_name());
    let mut names: Vec<String> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_without_a_new_best_stops_early_and_stays_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // Validations after two steps each: the first is the best, the next two are not better.
    assert_eq!(small_run(folder, 40, false, &STILL).len(), 6);
    let found = history(folder);
    assert_eq!(
        found.validations.iter().map(|v| v.best).collect::<Vec<_>>(),
        [true, false, false]
    );
    assert_eq!(epochs(folder), ["001"], "the best alone is kept");
    let files = || {
        ["metrics.jsonl", "last.safetensors", "best.safetensors"]
            .map(|f| std::fs::read(folder.join(f)).ok())
    };
    let before = files();
    assert!(small_run(folder, 40, true, &STILL).is_empty(), "it is over");
    assert_eq!(
        (files() == before, epochs(folder)),
        (true, vec!["001".to_owned()])
    );
    // More patience lets it go on.
    let patient = [&STILL[..3], &["run.patience=3"]].concat();
    assert_eq!(small_run(folder, 40, true, &patient).len(), 2);
    assert_eq!(
        history(folder).validations.last().map(|v| v.epoch),
        Some(4),
        "epochs are counted on"
    );
}

#[test]
fn a_run_that_reached_its_end_does_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // The last validation is none of every second step's.
    assert_eq!(
        small_run(folder, 3, false, &["run.keep_epochs=all"]).len(),
        3
    );
    let metrics = std::fs::read(folder.join("metrics.jsonl")).expect("metrics");
    assert!(small_run(folder, 3, true, &["run.keep_epochs=all"]).is_empty());
    assert_eq!(
        std::fs::read(folder.join("metrics.jsonl")).expect("metrics"),
        metrics
    );
    assert_eq!(epochs(folder), ["001", "002"]);
}

#[test]
fn the_best_checkpoint_is_the_one_with_the_best_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    small_run(
        folder,
        8,
        false,
        &["run.keep_epochs=all", "run.watch=loss", "lr=1e-2"],
    );
    let found = history(folder);
    assert_eq!(found.validations.len(), 4);
    let best = found
        .validations
        .iter()
        .min_by(|a, b| a.loss.total.total_cmp(&b.loss.total))
        .expect("validations");
    assert_eq!(found.best(), Some(best));
    let (_, kept) = folder::read_run(folder, RunWeights::Best).expect("a best checkpoint");
    let (_, epoch) =
        folder::read(&folder.join(format!("epochs/{:03}", best.epoch))).expect("its epoch");
    assert_eq!(kept, epoch);
}

#[test]
fn two_batches_of_a_step_move_the_weights_by_their_mean_gradient() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = [
        "optimizer.rule={ kind = 'sgd' }",
        "optimizer.warmup=0",
        "optimizer.clip=1e9",
        "lr=0.5",
        "run.keep_patches=1.0",
        "run.keep_epochs=none",
    ];
    let small = Small::new(folder.path(), &plain);
    let mut run = small.run(folder.path(), 1, false);
    let (source, training, weights) = (small.source(), &small.recipe.training, small.recipe.loss);
    let before = run.parameters().clone();
    let gradients = |number| {
        let batch = source.batch(number, source.config.vision.patches());
        step::gradients(&source.config, &before, &batch, weights, training).1
    };
    let (first, second) = (gradients(0), gradients(1));
    run.train(|_| {}).expect("trains");
    let mut moved = 0.0_f32;
    for (at, (now, then)) in run.parameters().0.iter().zip(&before.0).enumerate() {
        let (a, b) = (
            first[at].as_ref().expect("a gradient"),
            second[at].as_ref().expect("a gradient"),
        );
        let wanted: Vec<f32> = (0..a.len())
            .map(|i| then.values[i] - 0.5 * (a[i] + b[i]) / 2.0)
            .collect();
        assert!(furthest(&now.values, &wanted) < 1e-5, "{}", now.name);
        moved = moved.max(furthest(&now.values, &then.values));
    }
    assert!(moved > 1e-3, "nothing moved");
}

#[test]
fn a_part_that_is_frozen_is_bit_for_bit_what_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let frozen = [
        "training.text=false",
        "training.logit_scale=false",
        "lr=1e-2",
    ];
    small_run(folder.path(), 4, false, &frozen);
    for which in [RunWeights::Last, RunWeights::Average, RunWeights::Best] {
        let (config, now) = folder::read_run(folder.path(), which).expect("a checkpoint");
        let then = Parameters::random(&config.clip, 1);
        for (now, then) in now.0.iter().zip(&then.0) {
            let still = now.name.starts_with("text_model") || now.name == "logit_scale";
            let same = now
                .values
                .iter()
                .zip(&then.values)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            // The keys' biases shift all scores alike: what moves them is noise, or nothing.
            assert!(
                still == same || now.name.ends_with("k_proj.bias"),
                "{}",
                now.name
            );
        }
    }
}

#[test]
fn whole_images_begin_at_a_batch_of_a_number_and_not_of_a_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Arc::new(Small::new(folder.path(), &[]).source());
    let kept = |full_from| KeptPatches {
        few: 2,
        all: source.config.vision.patches(),
        full_from,
    };
    let loader = Loader::start(Arc::clone(&source), 3, kept(5));
    let found: Vec<usize> = (0..4).map(|_| loader.next().images.kept).collect();
    assert_eq!(found, [2, 2, 4, 4]);
    // Told while the next one is number 4, with two begun beyond it: from number 7 on, however the
    // threads run.
    let loader = Loader::start(Arc::clone(&source), 3, kept(100));
    let mut found = vec![loader.next().images.kept];
    assert_eq!(loader.fill(4), 7);
    found.extend((0..5).map(|_| loader.next().images.kept));
    assert_eq!(found, [2, 2, 2, 2, 4, 4]);
    assert_eq!(loader.fill(9), 7, "once decided, it stays");
}

#[test]
fn a_run_that_fills_its_images_halfway_resumes_as_the_unbroken_one() {
    let (whole, broken) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    let more = [
        "run.keep_patches=0.5",
        "run.keep_until=0.4",
        "run.keep_epochs=none",
    ];
    let unbroken = small_run(whole.path(), 6, false, &more);
    // As a kill leaves it: the checkpoint of the second step, of a run of six.
    let mut run = Small::new(broken.path(), &more).run(broken.path(), 6, false);
    let checkpoint = broken.path().join("last.safetensors");
    let mut saved = None;
    run.train(|_| {
        if saved.is_none() {
            saved = std::fs::read(&checkpoint).ok();
        }
    })
    .expect("trains");
    std::fs::write(&checkpoint, saved.expect("a checkpoint after two steps")).expect("put back");
    assert_eq!(small_run(broken.path(), 6, true, &more), unbroken[2..]);
}

#[test]
fn a_folder_that_holds_a_run_is_not_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = Small::new(folder.path(), &["run.keep_epochs=none"]);
    std::fs::write(folder.path().join("last.safetensors"), "a run's").expect("written");
    let held = || HeldOut {
        products: super::labeled(5, 4),
        general: Vec::new(),
        classes: None,
    };
    let refused = Run::new(
        small.recipe.plan(4),
        folder.path(),
        small.config(),
        small.source(),
        held(),
        None,
        false,
    )
    .err();
    let refused = refused.expect("refused");
    assert!(
        matches!(refused, FitError::Exists { .. }) && refused.to_string().contains("--resume"),
        "{refused}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    let none = HeldOut {
        products: Vec::new(),
        ..held()
    };
    let refused = Run::new(
        small.recipe.plan(4),
        empty.path(),
        small.config(),
        small.source(),
        none,
        None,
        false,
    )
    .err();
    assert!(
        matches!(refused, Some(FitError::NoProduct(_))),
        "nothing to validate on"
    );
}

#[test]
fn a_checkpoint_of_an_older_run_counts_its_epochs_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    small_run(folder, 2, false, &["run.keep_epochs=all"]);
    let path = folder.join("last.safetensors");
    let (arrays, mut metadata) = checkpoint::read(&path).expect("a checkpoint");
    let mut state: serde_json::Value = serde_json::from_str(&metadata["run"]).expect("a state");
    let fields = state.as_object_mut().expect("fields");
    assert_eq!(fields["epoch"], 1);
    for field in ["epoch", "full_from"] {
        fields.remove(field);
    }
    // Its schedule counted every validation.
    fields["epochs"] = 1.into();
    metadata.insert("run".to_owned(), state.to_string());
    let arrays: Vec<_> = arrays
        .values()
        .map(|a| (a.name.clone(), a.shape.as_slice(), a.values.as_slice()))
        .collect();
    checkpoint::write(&path, &arrays, metadata, checkpoint::StoredFloat::F32).expect("written");
    small_run(folder, 4, true, &["run.keep_epochs=all"]);
    assert_eq!(epochs(folder), ["001", "002"]);
}
