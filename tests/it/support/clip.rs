//! CLIP checkpoints with weights from a counter-based generator, which tests/reference/clip.py
//! draws bit for bit too.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aglet::model::{ClipConfig, ExportOptions, export};
use half::{bf16, f16};
use serde_json::{Value, json};

/// Its vocabulary of 901 tokens is small; the start token is 899, the end token 900.
pub const TOKENIZER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/reference/clip/tokenizer.json"
);

/// The exported model folder of a tiny random CLIP (24 dimensions, 48 px, 32 tokens): loads in
/// milliseconds, and its embeddings mean nothing. Made once a process, safe under parallel tests.
pub fn tiny_model() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny-model");
        remove_leftovers(&root);
        let home = root.join(std::process::id().to_string());
        let checkpoint = home.join("checkpoint");
        random_clip(&checkpoint, &tiny_config(), 7, "float32");
        let options = ExportOptions {
            replace: true,
            ..Default::default()
        };
        export(&checkpoint, &home.join("tiny"), &options, |_| Ok(()))
            .expect("the tiny model exports");
        home.join("tiny")
    });
    made.clone()
}

/// The `config.json` of [`tiny_model`].
pub fn tiny_config() -> Value {
    reference("tiny")["config"].clone()
}

/// A recorded case of tests/reference/clip/.
pub fn reference(case: &str) -> Value {
    let path = format!(
        "{}/tests/reference/clip/{case}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_slice(&text).expect("a reference file is JSON")
}

/// Folders of processes that have ended.
fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // Another test process may be removing the same one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes a checkpoint as Hugging Face's `save_pretrained` lays it out: config.json,
/// preprocessor_config.json, tokenizer.json, model.safetensors. `dtype`: float32, float16 or
/// bfloat16.
pub fn random_clip(folder: &Path, config: &Value, seed: u64, dtype: &str) {
    fs::create_dir_all(folder).expect("folder");
    fs::write(folder.join("config.json"), config.to_string()).expect("writes");
    let parsed = ClipConfig::parse(config.to_string().as_bytes()).expect("a CLIP config");
    let size = parsed.vision.image_size;
    let preprocessor = json!({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": size},
        "crop_size": {"height": size, "width": size}});
    fs::write(
        folder.join("preprocessor_config.json"),
        preprocessor.to_string(),
    )
    .expect("writes");
    fs::copy(TOKENIZER, folder.join("tokenizer.json")).expect("copies");
    write_weights(
        &folder.join("model.safetensors"),
        &tensors(&parsed),
        seed,
        dtype,
    );
}

/// `n` values in [-2, 2): the reference's pixels, already normalized, `images x 3 x size x size`.
pub fn pixels(seed: u64, images: usize, size: usize) -> Vec<f32> {
    uniform(seed, "pixel_values")
        .map(|v| v * 2.0)
        .take(images * 3 * size * size)
        .collect()
}

fn write_weights(path: &Path, tensors: &[(String, Vec<usize>)], seed: u64, dtype: &str) {
    let (name, width) = match dtype {
        "float32" => ("F32", 4),
        "float16" => ("F16", 2),
        "bfloat16" => ("BF16", 2),
        other => panic!("no type {other}"),
    };
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (tensor, shape) in tensors {
        let bytes = shape.iter().product::<usize>() * width;
        header.insert(
            tensor.clone(),
            json!({"dtype": name, "shape": shape, "data_offsets": [end, end + bytes]}),
        );
        end += bytes;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("creates"));
    out.write_all(&(header.len() as u64).to_le_bytes())
        .expect("writes");
    out.write_all(&header).expect("writes");
    for (tensor, shape) in tensors {
        let values = weight(seed, tensor, shape);
        let bytes: Vec<u8> = match dtype {
            "float32" => values.flat_map(f32::to_le_bytes).collect(),
            "float16" => values
                .flat_map(|v| f16::from_f32(v).to_le_bytes())
                .collect(),
            _ => values
                .flat_map(|v| bf16::from_f32(v).to_le_bytes())
                .collect(),
        };
        out.write_all(&bytes).expect("writes");
    }
    out.flush().expect("writes");
}

/// Names and shapes of all tensors.
fn tensors(config: &ClipConfig) -> Vec<(String, Vec<usize>)> {
    let mut out = vec![("logit_scale".to_owned(), vec![])];
    let mut add = |name: String, shape: &[usize]| out.push((name, shape.to_vec()));
    let (text, vision) = (&config.text, &config.vision);
    let patch = vision.patch_size;
    add(
        "text_model.embeddings.token_embedding.weight".into(),
        &[text.vocabulary, text.tower.width],
    );
    add(
        "text_model.embeddings.position_embedding.weight".into(),
        &[text.context_length, text.tower.width],
    );
    add(
        "vision_model.embeddings.class_embedding".into(),
        &[vision.tower.width],
    );
    add(
        "vision_model.embeddings.patch_embedding.weight".into(),
        &[vision.tower.width, 3, patch, patch],
    );
    let positions = vision.grid() * vision.grid() + 1;
    add(
        "vision_model.embeddings.position_embedding.weight".into(),
        &[positions, vision.tower.width],
    );
    add(
        "text_projection.weight".into(),
        &[config.projection, text.tower.width],
    );
    add(
        "visual_projection.weight".into(),
        &[config.projection, vision.tower.width],
    );
    let mut norms = vec![("text_model.final_layer_norm".to_owned(), text.tower.width)];
    norms.push(("vision_model.pre_layrnorm".to_owned(), vision.tower.width));
    norms.push(("vision_model.post_layernorm".to_owned(), vision.tower.width));
    for (model, tower) in [("text_model", &text.tower), ("vision_model", &vision.tower)] {
        let (width, inner) = (tower.width, tower.feed_forward);
        for layer in 0..tower.layers {
            let prefix = format!("{model}.encoder.layers.{layer}");
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                add(format!("{prefix}.self_attn.{part}.weight"), &[width, width]);
                add(format!("{prefix}.self_attn.{part}.bias"), &[width]);
            }
            add(format!("{prefix}.mlp.fc1.weight"), &[inner, width]);
            add(format!("{prefix}.mlp.fc1.bias"), &[inner]);
            add(format!("{prefix}.mlp.fc2.weight"), &[width, inner]);
            add(format!("{prefix}.mlp.fc2.bias"), &[width]);
            norms.extend(
                ["layer_norm1", "layer_norm2"].map(|norm| (format!("{prefix}.{norm}"), width)),
            );
        }
    }
    for (norm, width) in norms {
        add(format!("{norm}.weight"), &[width]);
        add(format!("{norm}.bias"), &[width]);
    }
    out
}

/// The same scales as `weight` in tests/reference/clip.py.
fn weight(seed: u64, name: &str, shape: &[usize]) -> impl Iterator<Item = f32> {
    let (mut factor, mut offset) = (0.25, 0.0);
    if name == "logit_scale" {
        (factor, offset) = (0.0, 4.5);
    } else if name.contains("norm") {
        offset = if name.ends_with("weight") { 1.0 } else { 0.0 };
    } else if name.contains("embedding") && !name.contains("patch") {
        factor = 0.5;
    } else if !name.ends_with("bias") {
        let fan_in: usize = shape[1..].iter().product();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a matrix has some thousand columns"
        )]
        let fan_in = fan_in as f32;
        factor = 2.0 / fan_in.sqrt();
    }
    uniform(seed, name)
        .map(move |u| u * factor + offset)
        .take(shape.iter().product())
}

/// Numbers in [-1, 1): splitmix64 of a key and a counter; the key is the seed and the name's
/// CRC-32.
fn uniform(seed: u64, name: &str) -> impl Iterator<Item = f32> {
    let key = (seed << 32 | u64::from(crc32(name.as_bytes()))).wrapping_mul(0xD134_2543_DE82_EF95);
    (1u64..).map(move |i| {
        let mut x = key.wrapping_add(i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
        let top = (x >> 40) as f32;
        top * f32::powi(2.0, -23) - 1.0
    })
}

/// The CRC of zip and PNG, bit by bit: names are short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
