//! Model folders: the exported graphs against transformers' values (tests/reference/clip.py), what
//! an export refuses, what an opened folder vouches for.

mod pull;

use std::fs;
use std::path::{Path, PathBuf};

use aglet::encode::session::{check_export, environment};
use aglet::model::{
    ExportError, ExportOptions, Fit, ModelError, ModelFolder, WeightType, clip_config::ConfigError,
    export,
};
use ort::session::Session;
use ort::value::Tensor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::Tokenizer;

use crate::support::clip::{pixels, random_clip, reference, tiny_config};
use crate::support::{runtime, tiny_model};

fn session(graph: &Path) -> Session {
    let mut builder = Session::builder(&environment(&runtime()).expect("ONNX Runtime"))
        .expect("builder")
        .with_intra_threads(1)
        .expect("threads");
    builder.commit_from_file(graph).expect("the graph loads")
}

/// The rows of the one output.
fn embed(
    session: &mut Session,
    input: impl Into<ort::session::SessionInputValue<'static>>,
) -> Vec<Vec<f32>> {
    let outputs = session.run(ort::inputs![input]).expect("the graph runs");
    let (shape, values) = outputs["embedding"]
        .try_extract_tensor::<f32>()
        .expect("float32");
    assert_eq!(shape.len(), 2, "batch x dimensions");
    values
        .chunks(usize::try_from(shape[1]).expect("small"))
        .map(<[f32]>::to_vec)
        .collect()
}

fn embed_text(session: &mut Session, rows: &[Vec<i64>]) -> Vec<Vec<f32>> {
    let shape = [rows.len(), rows[0].len()];
    embed(
        session,
        Tensor::from_array((shape, rows.concat())).expect("rows of one length"),
    )
}

fn embed_image(
    session: &mut Session,
    images: usize,
    size: usize,
    pixels: Vec<f32>,
) -> Vec<Vec<f32>> {
    embed(
        session,
        Tensor::from_array(([images, 3, size, size], pixels)).expect("pixels"),
    )
}

fn rows<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<Vec<T>> {
    serde_json::from_value(value.clone()).expect("rows of numbers")
}

/// Demands a cosine of 0.99999 and, which says more, every coordinate within `tolerance`.
fn assert_close(got: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.len(), expected.len(), "{what}, row {row}");
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let length = dot(got, got).sqrt();
        assert!(
            (length - 1.0).abs() < 1e-5,
            "{what}, row {row}: length {length}"
        );
        let cosine = dot(got, expected) / length / dot(expected, expected).sqrt();
        let apart = got
            .iter()
            .zip(expected)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f32::max);
        assert!(
            cosine >= 0.99999 && apart <= tolerance,
            "{what}, row {row}: cosine {cosine}, {apart} apart"
        );
    }
}

struct Exported {
    folder: ModelFolder,
    home: TempDir,
}

/// Draws, exports and opens a recorded case.
fn exported(case: &Value, options: &ExportOptions) -> Exported {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temp");
    let checkpoint = home.path().join("checkpoint");
    let (seed, dtype) = (
        case["seed"].as_u64().expect("seed"),
        case["dtype"].as_str().expect("dtype"),
    );
    random_clip(&checkpoint, &case["config"], seed, dtype);
    let target = home.path().join("models/random");
    let folder = export(&checkpoint, &target, options, |_| Ok(())).expect("exports");
    Exported { folder, home }
}

/// Every text by itself and, where padded rows make that possible, as one batch; every image; all
/// of one batch.
fn parity(name: &str, tolerance: f32, options: &ExportOptions) {
    let case = reference(name);
    let exported = exported(&case, options);
    let folder = &exported.folder;
    let (ids, text): (Vec<Vec<i64>>, _) = (rows(&case["ids"]), rows(&case["text"]));
    let mut session = session(&folder.text_graph());
    for (row, expected) in ids.iter().zip(&text) {
        let got = embed_text(&mut session, std::slice::from_ref(row));
        assert_close(
            &got,
            std::slice::from_ref(expected),
            tolerance,
            &format!("{name}, text of {}", row.len()),
        );
    }
    let longest = ids.iter().map(Vec::len).max().expect("texts");
    let pad = |with: i64| -> Vec<Vec<i64>> {
        let padded = |row: &Vec<i64>| {
            row.iter()
                .copied()
                .chain(std::iter::repeat(with))
                .take(longest)
                .collect()
        };
        ids.iter().map(padded).collect()
    };
    let end = i64::from(folder.manifest().end_of_text);
    for with in [0, end] {
        let got = embed_text(&mut session, &pad(with));
        assert_close(
            &got,
            &text,
            tolerance,
            &format!("{name}, texts as one batch padded with {with}"),
        );
    }
    let (images, size) = (
        rows(&case["image"]),
        folder.manifest().preprocessing.size as usize,
    );
    let drawn = pixels(case["seed"].as_u64().expect("seed"), images.len(), size);
    let mut session = self::session(&folder.image_graph());
    let got = embed_image(&mut session, images.len(), size, drawn.clone());
    assert_close(
        &got,
        &images,
        tolerance,
        &format!("{name}, images as one batch"),
    );
    let one = embed_image(&mut session, 1, size, drawn[..3 * size * size].to_vec());
    assert_close(&one, &images[..1], tolerance, &format!("{name}, one image"));
}

#[test]
fn tiny_equals_transformers() {
    parity("tiny", 2e-6, &ExportOptions::default());
}

#[test]
fn gelu_equals_transformers() {
    parity("tiny_gelu", 2e-6, &ExportOptions::default());
}

#[test]
fn the_older_end_of_text_equals_transformers() {
    parity("tiny_legacy_eos", 2e-6, &ExportOptions::default());
}

#[test]
fn one_layer_with_one_head_equals_transformers() {
    parity("one_layer_one_head", 2e-6, &ExportOptions::default());
}

#[test]
fn sixteen_bit_checkpoints_equal_transformers() {
    parity("tiny_float16", 2e-6, &ExportOptions::default());
    parity("tiny_bfloat16", 2e-6, &ExportOptions::default());
}

/// A float32 checkpoint stored as float16 is the float16 checkpoint.
#[test]
fn exporting_as_float16_equals_the_float16_checkpoint() {
    let options = ExportOptions {
        weights: WeightType::Float16,
        ..Default::default()
    };
    let mut case = reference("tiny_float16");
    case["dtype"] = json!("float32");
    let exported = exported(&case, &options);
    let whole = fs::metadata(exported.home.path().join("checkpoint/model.safetensors"))
        .expect("there")
        .len();
    let half = exported.folder.manifest().files["model.safetensors"].bytes;
    assert!(half < whole * 51 / 100 + 1000, "{half} of {whole} bytes");
    let got = embed_text(
        &mut session(&exported.folder.text_graph()),
        &rows(&case["ids"])[..1],
    );
    assert_close(&got, &rows(&case["text"])[..1], 2e-6, "stored as float16");
}

/// 151 million weights, all of CLIP's defaults.
#[test]
fn vit_b_32_equals_transformers() {
    parity("vit_b_32", 2e-6, &ExportOptions::default());
}

/// The references must tell the cases apart, or parity shows nothing.
#[test]
fn the_reference_cases_differ() {
    let first = |name: &str| rows::<f32>(&reference(name)["text"])[0].clone();
    let tiny = first("tiny");
    for other in ["tiny_gelu", "tiny_float16", "tiny_bfloat16"] {
        let apart = tiny
            .iter()
            .zip(first(other))
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f32::max);
        assert!(apart > 2e-5, "{other}: {apart}");
    }
}

#[test]
fn the_manifest_says_what_was_exported() {
    let folder = ModelFolder::open(&tiny_model()).expect("whole");
    let manifest = folder.manifest();
    assert_eq!(
        (
            manifest.name.as_str(),
            manifest.dimensions,
            manifest.context_length
        ),
        ("tiny", 24, 32)
    );
    assert_eq!(
        (
            manifest.end_of_text,
            manifest.preprocessing.size,
            manifest.preprocessing.fit
        ),
        (900, 48, Fit::Crop)
    );
    assert!((manifest.temperature_scale - 4.5f32.exp()).abs() < 1e-3);
    assert_eq!(manifest.files.len(), 6);
    assert_eq!(
        manifest.provenance["exported_by"],
        format!("aglet {}", env!("CARGO_PKG_VERSION"))
    );
}

/// A changeable copy of the tiny model's folder.
fn copy_of(folder: &Path) -> TempDir {
    let home = tempfile::tempdir().expect("temp");
    for entry in fs::read_dir(folder).expect("lists").flatten() {
        fs::copy(entry.path(), home.path().join(entry.file_name())).expect("copies");
    }
    home
}

#[test]
fn a_changed_folder_is_refused() {
    let open = |home: &TempDir| ModelFolder::open(home.path()).expect_err("changed");
    let home = copy_of(&tiny_model());
    assert!(ModelFolder::open(home.path()).is_ok());
    let weights = home.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&weights, &bytes).expect("writes");
    assert!(matches!(open(&home), ModelError::Hash { path, .. } if path == weights));
    fs::write(&weights, &bytes[1..]).expect("writes");
    assert!(matches!(open(&home), ModelError::Size { .. }));
    fs::remove_file(&weights).expect("removes");
    assert!(matches!(open(&home), ModelError::MissingFile { .. }));
    fs::write(home.path().join("model.json"), r#"{"format": 2}"#).expect("writes");
    assert!(open(&home).to_string().contains("format is 2"));
    fs::remove_file(home.path().join("model.json")).expect("removes");
    assert!(
        open(&home)
            .to_string()
            .contains("aglet model export --from")
    );
    let nowhere = ModelFolder::open(&home.path().join("nowhere")).expect_err("nothing there");
    assert!(matches!(nowhere, ModelError::NoFolder { .. }));
}

/// A tiny checkpoint to spoil, and where its export would go.
fn checkpoint() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().expect("temp");
    let (from, to) = (
        home.path().join("checkpoint"),
        home.path().join("models/spoiled"),
    );
    random_clip(&from, &tiny_config(), 1, "float32");
    (home, from, to)
}

/// Exports a spoiled checkpoint; nothing may be left of it.
fn refused(from: &Path, to: &Path) -> ExportError {
    let error = export(from, to, &ExportOptions::default(), |_| Ok(())).expect_err("spoiled");
    let parent = to.parent().expect("has one");
    let left = fs::read_dir(parent).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{} is not empty after {error}", parent.display());
    error
}

#[test]
fn checkpoints_that_cannot_be_served_are_named() {
    let (_home, from, to) = checkpoint();
    let nowhere = from.join("nowhere");
    assert!(matches!(
        refused(&nowhere, &to),
        ExportError::NoCheckpoint { .. }
    ));

    let mut config = tiny_config();
    config["model_type"] = json!("siglip");
    fs::write(from.join("config.json"), config.to_string()).expect("writes");
    let siglip = refused(&from, &to);
    assert!(
        matches!(&siglip, ExportError::Config { source: ConfigError::ModelType { found }, .. } if found == "siglip")
    );

    config = tiny_config();
    config["text_config"]["intermediate_size"] = json!(81);
    fs::write(from.join("config.json"), config.to_string()).expect("writes");
    assert!(
        refused(&from, &to)
            .to_string()
            .contains("text_model.encoder.layers.0.mlp.fc1.weight")
    );

    config = tiny_config();
    config["text_config"]["eos_token_id"] = json!(7);
    fs::write(from.join("config.json"), config.to_string()).expect("writes");
    assert!(
        refused(&from, &to)
            .to_string()
            .contains("eos_token_id is 7")
    );

    config = tiny_config();
    config["text_config"]["vocab_size"] = json!(900);
    fs::write(from.join("config.json"), config.to_string()).expect("writes");
    assert!(refused(&from, &to).to_string().contains("ids up to 900"));

    fs::write(from.join("config.json"), tiny_config().to_string()).expect("writes");
    fs::rename(from.join("tokenizer.json"), from.join("aside.json")).expect("renames");
    assert!(
        refused(&from, &to)
            .to_string()
            .contains("vocab.json and merges.txt")
    );
    fs::rename(from.join("aside.json"), from.join("tokenizer.json")).expect("renames");

    fs::remove_file(from.join("preprocessor_config.json")).expect("removes");
    assert!(matches!(
        refused(&from, &to),
        ExportError::Missing {
            name: "preprocessor_config.json",
            ..
        }
    ));
    fs::write(
        from.join("preprocessor_config.json"),
        r#"{"size": 48, "crop_size": 48, "resample": 2}"#,
    )
    .expect("writes");
    assert!(refused(&from, &to).to_string().contains("bicubic"));
    fs::write(
        from.join("preprocessor_config.json"),
        r#"{"size": 48, "crop_size": 48}"#,
    )
    .expect("writes");

    fs::rename(
        from.join("model.safetensors"),
        from.join("pytorch_model.bin"),
    )
    .expect("renames");
    let pickle = refused(&from, &to);
    assert!(matches!(pickle, ExportError::PickleOnly { .. }));
    assert!(pickle.to_string().contains("CLIPModel.from_pretrained"));
    fs::write(from.join("model.safetensors.index.json"), "{}").expect("writes");
    assert!(matches!(refused(&from, &to), ExportError::Sharded { .. }));
    fs::rename(
        from.join("pytorch_model.bin"),
        from.join("model.safetensors"),
    )
    .expect("renames");
    assert!(
        export(&from, &to, &ExportOptions::default(), |_| Ok(())).is_ok(),
        "whole again"
    );
}

#[test]
fn a_failed_check_leaves_nothing_and_a_target_stays_unless_replaced() {
    let (_home, from, to) = checkpoint();
    let failed = export(&from, &to, &ExportOptions::default(), |folder| {
        assert!(
            folder.text_graph().is_file(),
            "the check sees the whole folder"
        );
        Err("no finite embedding".into())
    });
    assert!(matches!(failed, Err(ExportError::Check { .. })));
    assert_eq!(
        fs::read_dir(to.parent().expect("has one"))
            .expect("lists")
            .count(),
        0
    );

    let first = export(&from, &to, &ExportOptions::default(), |_| Ok(())).expect("exports");
    random_clip(&from, &tiny_config(), 2, "float32");
    let again = export(&from, &to, &ExportOptions::default(), |_| Ok(()));
    assert!(matches!(again, Err(ExportError::TargetExists { .. })));
    assert_eq!(ModelFolder::open(&to).expect("whole").id(), first.id());
    fs::write(to.join("MODEL_CARD.md"), "what it is").expect("writes");
    let replace = ExportOptions {
        replace: true,
        ..Default::default()
    };
    let second = export(&from, &to, &replace, |_| Ok(())).expect("replaces");
    assert_ne!(second.id(), first.id());
    assert_eq!(ModelFolder::open(&to).expect("whole").id(), second.id());
    assert_eq!(
        fs::read_dir(to.parent().expect("has one"))
            .expect("lists")
            .count(),
        1,
        "nothing hidden is left"
    );
    assert_eq!(
        fs::read_to_string(to.join("MODEL_CARD.md")).expect("still there"),
        "what it is"
    );
}

/// Weights that are no numbers fit every shape: only running the result tells.
#[test]
fn an_export_that_computes_nonsense_is_refused() {
    let (_home, from, to) = checkpoint();
    let weights = from.join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    // The last tensor is the vision tower's last normalization.
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).expect("writes");
    let check = |folder: &ModelFolder| check_export(folder, &runtime()).map_err(Into::into);
    let error = export(&from, &to, &ExportOptions::default(), check).expect_err("NaN");
    assert!(matches!(&error, ExportError::Check { .. }), "{error}");
    assert_eq!(
        fs::read_dir(to.parent().expect("has one"))
            .expect("lists")
            .count(),
        0
    );
}

#[test]
fn the_command_exports_and_shows() {
    let (home, from, to) = checkpoint();
    let aglet = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aglet"));
        let output = command
            .args(arguments)
            .env("AGLET_RUNTIME", fs::canonicalize(runtime()).expect("there"))
            .current_dir(home.path())
            .output();
        let output = output.expect("runs");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), said)
    };
    let (from, to) = (from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8"));
    let export = [
        "model", "export", "--from", from, "--to", to, "--dtype", "float16",
    ];
    let (done, said) = aglet(&export);
    assert!(done && said.contains("24 dimensions"), "{said}");
    let (done, said) = aglet(&["model", "show", to]);
    assert!(done && said.contains("up to 32 tokens"), "{said}");
    let (done, said) = aglet(&export);
    assert!(!done && said.contains("--replace"), "{said}");
    let (done, said) = aglet(&["model", "show", from]);
    assert!(
        !done && said.contains("aglet model export --from"),
        "{said}"
    );
}

/// The ids that transformers' CLIPTokenizer gives, from tokenizer.json and from the older pair of
/// files.
#[test]
fn tokens_equal_transformers() {
    let (_home, from, to) = checkpoint();
    let whole: Value =
        serde_json::from_slice(&fs::read(from.join("tokenizer.json")).expect("reads"))
            .expect("JSON");
    let merges = whole["model"]["merges"].as_array().expect("merges").iter();
    let merges: Vec<_> = merges
        .map(|m| {
            format!(
                "{} {}\n",
                m[0].as_str().expect(""),
                m[1].as_str().expect("")
            )
        })
        .collect();
    fs::write(from.join("vocab.json"), whole["model"]["vocab"].to_string()).expect("writes");
    fs::write(
        from.join("merges.txt"),
        format!("#version: 0.2\n{}", merges.concat()),
    )
    .expect("writes");
    fs::remove_file(from.join("tokenizer.json")).expect("removes");
    let built = export(&from, &to, &ExportOptions::default(), |_| Ok(())).expect("exports");
    let given = ModelFolder::open(&tiny_model()).expect("whole");
    for folder in [built, given] {
        let tokenizer = Tokenizer::from_file(folder.tokenizer()).expect("loads");
        for row in reference("tokens").as_array().expect("rows") {
            let text = row["text"].as_str().expect("text");
            let mut ids = tokenizer
                .encode(text, true)
                .expect("encodes")
                .get_ids()
                .to_vec();
            if ids.len() > 32 {
                ids.truncate(31);
                ids.push(900);
            }
            assert_eq!(json!(ids), row["ids"], "{text:?}");
        }
    }
}

#[test]
fn what_a_tokenizer_says_of_the_length_of_texts_decides_nothing() {
    let (_home, from, to) = checkpoint();
    let plain = export(&from, &to, &ExportOptions::default(), |_| Ok(())).expect("exports");
    let path = from.join("tokenizer.json");
    let mut tokenizer: Value =
        serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    let end = plain.manifest().end_of_text;
    let length = plain.manifest().context_length;
    for (strategy, direction, longest) in [
        (json!({"Fixed": length}), "Right", length),
        (json!("BatchLongest"), "Left", 2),
        (json!({"Fixed": 7}), "Left", 3),
    ] {
        tokenizer["padding"] = json!({"strategy": strategy, "direction": direction, "pad_to_multiple_of": null,
            "pad_id": end, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
        tokenizer["truncation"] = json!({"direction": "Right", "max_length": longest, "strategy": "LongestFirst", "stride": 0});
        fs::write(&path, tokenizer.to_string()).expect("writes");
        let to = to.with_file_name(format!("padded-{direction}-{longest}"));
        let padded = export(&from, &to, &ExportOptions::default(), |_| Ok(())).expect("exports");
        assert_eq!(padded.manifest().end_of_text, end);
    }
}

#[test]
fn git_lfs_pointers_and_folders_of_sentence_transformers_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    for name in [
        "model.safetensors",
        "tokenizer.json",
        "config.json",
        "preprocessor_config.json",
    ] {
        let (_home, from, to) = checkpoint();
        fs::write(from.join(name), pointer).expect("writes");
        let error = refused(&from, &to).to_string();
        assert!(
            error.contains("Git LFS") && error.contains("git lfs pull"),
            "{name}: {error}"
        );
        assert!(error.contains(name), "{name}: {error}");
    }
    let (_home, from, to) = checkpoint();
    export(&from, &to, &ExportOptions::default(), |_| Ok(())).expect("exports");
    for name in [
        "model.safetensors",
        "text.onnx",
        "tokenizer.json",
        "model.json",
    ] {
        let path = to.join(name);
        let whole = fs::read(&path).expect("reads");
        fs::write(&path, pointer).expect("writes");
        let error = ModelFolder::open(&to).expect_err("a pointer");
        assert!(
            matches!(error, ModelError::LfsPointer { .. }),
            "{name}: {error}"
        );
        fs::write(&path, whole).expect("writes");
    }
    // The layout of sentence-transformers: the checkpoint is in a folder of its own.
    let home = tempfile::tempdir().expect("temp");
    let (outer, inner) = (
        home.path().join("clip"),
        home.path().join("clip/0_CLIPModel"),
    );
    random_clip(&inner, &tiny_config(), 1, "float32");
    fs::write(outer.join("modules.json"), "[]").expect("writes");
    let to = home.path().join("models/m");
    for error in [
        refused(&outer, &to).to_string(),
        ModelFolder::open(&outer)
            .expect_err("no model folder")
            .to_string(),
    ] {
        assert!(
            error.contains("sentence-transformers") && error.contains("0_CLIPModel"),
            "{error}"
        );
    }
    export(&inner, &to, &ExportOptions::default(), |_| Ok(())).expect("the inner one is exported");
}
