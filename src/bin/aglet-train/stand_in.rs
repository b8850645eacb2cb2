//! `aglet-train stand-in`: a checkpoint with the files, names and shapes of FashionCLIP's and
//! random weights, to try a recipe on where the real one cannot be fetched.

use std::path::PathBuf;

use aglet::train::data::product::{self, Frame};
use aglet::train::data::vocabulary;
use aglet::train::net::fused::Activation;
use aglet::train::net::parameters::{ClipConfig, Parameters, TowerConfig};
use aglet::train::run::checkpoint::Precision;
use aglet::train::run::folder;
use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

/// Write a ViT-B/32 with random weights in FashionCLIP's layout: it has learned nothing
#[derive(Args)]
pub struct StandInArgs {
    /// The checkpoint folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &StandInArgs) -> anyhow::Result<()> {
    let tower = |width, heads| TowerConfig {
        width,
        layers: 12,
        heads,
        mlp: width * 4,
    };
    let config = ClipConfig {
        vision: tower(768, 12),
        image_size: 224,
        trim: false,
        views: vec![224],
        patch: 32,
        text: tower(512, 8),
        vocabulary: 49_408,
        context: 77,
        projection: 512,
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    };
    let words = words(args.seed, config.vocabulary)?;
    let parameters = Parameters::random(&config, args.seed);
    folder::write(&args.out, &config, &parameters, &words, Precision::F32)?;
    // FashionCLIP's own config leaves out what is CLIPConfig's default and keeps the end's id of
    // old transformers.
    let text = serde_json::json!({
        "architectures": ["CLIPModel"], "model_type": "clip", "initializer_factor": 1.0, "projection_dim": 512,
        "logit_scale_init_value": 2.6592, "torch_dtype": "float32",
        "text_config": {"model_type": "clip_text_model", "eos_token_id": 2}, "vision_config": {"model_type": "clip_vision_model"},
    });
    let file = args.out.join("config.json");
    std::fs::write(&file, format!("{text:#}\n")).with_context(|| file.display().to_string())?;
    let preprocessor = serde_json::json!({
        "feature_extractor_type": "CLIPFeatureExtractor", "do_resize": true, "size": 224, "resample": 3,
        "do_center_crop": true, "crop_size": 224, "do_normalize": true, "image_mean": product::MEAN,
        "image_std": product::STD,
    });
    let file = args.out.join("preprocessor_config.json");
    std::fs::write(&file, format!("{preprocessor:#}\n"))
        .with_context(|| file.display().to_string())?;
    eprintln!(
        "{} random parameters in {}",
        parameters.count(),
        args.out.display()
    );
    Ok(())
}

/// A tokenizer.json whose marks have the two highest ids, as in OpenAI's. That vocabulary is not at
/// hand; one learned from a few captions has fewer words of the same kind, and the ids between stay
/// unused.
fn words(seed: u64, size: usize) -> anyhow::Result<String> {
    let texts = product::sample_captions(
        &product::drawn(
            seed,
            400,
            Frame {
                edge: 8,
                trim: false,
            },
        ),
        seed,
    );
    let mut json: Value =
        serde_json::from_str(&vocabulary::learn(texts.iter().map(String::as_str), 4000)?)?;
    let marks = [
        ("<|startoftext|>", "cls", size - 2),
        ("<|endoftext|>", "sep", size - 1),
    ];
    for (at, (mark, side, id)) in marks.into_iter().enumerate() {
        json["model"]["vocab"][mark] = id.into();
        json["added_tokens"][at]["id"] = id.into();
        json["post_processor"][side][1] = id.into();
    }
    Ok(json.to_string())
}
