//! `aglet-train`: the training companion.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use aglet::evaluate::split::held_out;
use aglet::train::captions;
use aglet::train::dataset::{self, Drawing, Source};
use aglet::train::dice::{Dice, Purpose};
use aglet::train::fit::{Metric, Plan, Run};
use aglet::train::fused::Activation;
use aglet::train::network::{ClipConfig, Parameters, TowerConfig};
use aglet::train::optimizer::Rule;
use aglet::train::vocabulary::{self, Vocabulary};
use clap::Parser;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    resume: bool,
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[arg(long, default_value_t = 256)]
    width: usize,
    #[arg(long, default_value_t = 6)]
    layers: usize,
    #[arg(long, default_value_t = 3)]
    text_layers: usize,
    #[arg(long, default_value_t = 112)]
    size: usize,
    #[arg(long, default_value_t = 16)]
    patch: usize,
    #[arg(long, default_value_t = 1e-3)]
    rate: f32,
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    #[arg(long, default_value_t = u64::MAX)]
    steps: u64,
    #[arg(long, default_value_t = 0.5)]
    keep: f32,
    #[arg(long, default_value_t = 0.66)]
    keep_until: f32,
    #[arg(long, default_value_t = 1500)]
    validation: usize,
    #[arg(long, default_value_t = 2000)]
    drawn: u64,
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let start = std::time::Instant::now();
    let mut products = dataset::read(&args.data)?;
    if args.limit > 0 {
        products.truncate(args.limit);
    }
    eprintln!("{} products in {:.1} s", products.len(), start.elapsed().as_secs_f32());
    let (held, trained): (Vec<_>, Vec<_>) = products.into_iter().partition(|p| held_out(&p.id.to_string()));
    std::fs::create_dir_all(&args.out)?;
    let file = args.out.join("tokenizer.json");
    if !(args.resume && file.exists()) {
        let mut texts: Vec<String> = Vec::new();
        for (at, product) in trained.iter().enumerate() {
            let mut dice = Dice::new(1, Purpose::Weights, at as u64 + 1);
            for _ in 0..3 {
                texts.push(captions::document(&product.facts, &mut dice).text);
                texts.push(captions::query(&product.facts, &mut dice).text);
            }
        }
        let colors: HashSet<&str> = [
            "black", "white", "grey", "brown", "beige", "blue", "red", "green", "yellow", "orange", "pink", "purple",
            "multi",
        ]
        .into();
        for color in &colors {
            texts.extend((0..500).map(|_| format!("{color} shoelaces, with {color} laces, stripes, dots")));
        }
        std::fs::write(&file, vocabulary::learn(texts.iter().map(String::as_str), 6000)?)?;
    }
    let context = 32;
    let vocabulary = Vocabulary::open(&file, context)?;
    eprintln!(
        "{} trained, {} held out, {} tokens, {:.1} s",
        trained.len(),
        held.len(),
        vocabulary.size(),
        start.elapsed().as_secs_f32()
    );
    let tower = |layers| TowerConfig { width: args.width, layers, heads: args.width / 64, mlp: args.width * 4 };
    let config = ClipConfig {
        vision: tower(args.layers),
        image_size: args.size,
        patch: args.patch,
        text: tower(args.text_layers),
        vocabulary: vocabulary.size(),
        context,
        projection: args.width,
        activation: Activation::QuickGelu,
        epsilon: 1e-5,
    };
    std::fs::write(args.out.join("config.json"), serde_json::to_string_pretty(&config.to_hugging_face())?)?;
    let drawn = dataset::drawn(7, args.drawn);
    eprintln!("{} drawn, {:.1} s", drawn.len(), start.elapsed().as_secs_f32());
    let drawing = Drawing { seed: 1, batch: args.batch, drawn: args.batch / 12, crop: 0.8, flip: true };
    let source = Source { products: trained, drawn, vocabulary, config, drawing };
    let plan = Plan {
        seed: 1,
        rule: Rule::Adamw { beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.1 },
        rate: args.rate,
        warmup: 100,
        steps: args.steps,
        time: Some(Duration::from_secs_f64(args.minutes * 60.0)),
        keep_patches: args.keep,
        keep_until: args.keep_until,
        clip: 1.0,
        average: 0.995,
        text_weight: 0.25,
        likeness_weight: 0.25,
        validate_every: source.steps_per_epoch() / 2,
    };
    let mut validation = held;
    validation.sort_by_key(|p| p.id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    validation.truncate(args.validation);
    let per_epoch = source.steps_per_epoch();
    let mut run = Run::new(plan, &args.out, source, validation, args.resume)?;
    eprintln!("{} parameters, {per_epoch} steps an epoch", Parameters::count(run.parameters()));
    run.train(|metric| match metric {
        Metric::Step { step, seconds, loss, described, asked, texts, likeness, rate, gradient_norm, logit_scale, images_per_second, waited } => {
            if *step % 10 == 0 || *step < 5 {
                eprintln!("step {step} {seconds:.0}s loss {loss:.3} (doc {described:.3} ask {asked:.3} text {texts:.3} like {likeness:.3}) lr {rate:.2e} norm {gradient_norm:.2} scale {logit_scale:.1} {images_per_second:.1} images/s, waited {waited:.2} s");
            }
        }
        Metric::Validation { .. } => eprintln!("{}", serde_json::to_string(metric).unwrap_or_default()),
    })?;
    Ok(())
}
