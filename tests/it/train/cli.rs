//! From a catalog to a served model with the two programs alone: `prepare`, `fit` twice (from
//! random weights, then fine-tuned at a larger input with replay), `score`, `export`, and `aglet
//! model export`.

use std::path::Path;
use std::process::Command;

use aglet::evaluate::data::split::validates;

use crate::support::runtime;

const SMALL: &str = "
    [model]
    image_size = 32
    vision = { width = 64, layers = 1 }
    text = { width = 64, layers = 1 }
    vocabulary = 700
    [data]
    batch = 8
    drawn = 8
    drawn_per_batch = 2
    replay_per_batch = 0
    [optimizer]
    warmup = 1
    [run]
    epochs = 1.0
    keep_patches = 1.0
";

const LACES: &str = "
    [training]
    image_size = 48
    trim = true
    views = [48, 54]
    [data]
    batch = 12
    drawn = 8
    drawn_per_batch = 2
    replay_per_batch = 4
    validation = 10
    [loss]
    labels = 0.5
    values = 1.0
    [optimizer]
    warmup = 1
    [run]
    epochs = 1.0
    keep_patches = 1.0
    watch = 'attribute'
    [attribute]
    name = 'shoelace_color'
    prompts = ['{} shoelaces']
    absent = 'none'
    absent_prompts = ['no shoelaces']
    sampling = { balance = 0.5, contrast = 2 }
";

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    said(program, arguments).map(|(result, _)| result)
}

/// The result, and what is said beside it.
fn said(program: &str, arguments: &[&str]) -> Result<(String, String), String> {
    let out = Command::new(program)
        .args(arguments)
        .output()
        .expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() {
        Ok((text(&out.stdout), text(&out.stderr)))
    } else {
        Err(text(&out.stderr))
    }
}

fn lines(folder: &str, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(folder).join(file)).expect("a file");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_catalog_becomes_a_model_that_the_server_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| {
        folder
            .path()
            .join(name)
            .to_str()
            .expect("a path in words")
            .to_owned()
    };
    let (aglet, train) = (
        env!("CARGO_BIN_EXE_aglet"),
        env!("CARGO_BIN_EXE_aglet-train"),
    );
    let (shop, set, base, tuned) = (at("shop"), at("set"), at("base"), at("tuned"));
    std::fs::write(at("small.toml"), SMALL).expect("written");
    std::fs::write(at("laces.toml"), LACES).expect("written");

    run(
        aglet,
        &["demo", "--out", &shop, "--products", "60", "--seed", "3"],
    )
    .expect("draws");
    let prepare = [
        "prepare",
        "--data",
        &shop,
        "--require",
        "shoelace_color",
        "--class",
        "shoelace_color",
    ];
    run(
        train,
        &[
            &prepare[..],
            &["--test", "0.25", "--validation", "0.2", "--out", &set],
        ]
        .concat(),
    )
    .expect("prepares");

    let fit = |recipe: &str, rest: &[&str]| {
        run(train, &[&["fit", "--recipe", recipe][..], rest].concat())
    };
    fit(&at("small.toml"), &["--data", &set, "--out", &base]).expect("trains");
    run(
        train,
        &["export", "--run", &base, "--to", &at("checkpoint")],
    )
    .expect("exports");

    let from = [
        "--data",
        &set,
        "--from",
        &at("checkpoint"),
        "--out",
        &tuned,
        "--set",
        "loss.keep_words=5.0",
    ];
    let refused = fit(&at("laces.toml"), &from).expect_err("nothing that could be kept");
    assert!(refused.contains("--replay"), "{refused}");
    let recipe = at("laces.toml");
    let replay = [
        &["fit", "--recipe", &recipe][..],
        &from,
        &["--replay", &shop],
    ]
    .concat();
    let (_, noted) = said(train, &replay).expect("fine-tunes");
    // Held out of the catalog, but trained on in the set, which was split otherwise: such a product
    // judges nothing.
    let judges: Vec<String> = lines(&shop, "styles.csv")
        .iter()
        .filter_map(|line| {
            line.split(',')
                .next()
                .filter(|id| validates(id))
                .map(str::to_owned)
        })
        .collect();
    let trained = lines(&set, "train.jsonl");
    let is_trained = |id: &&String| {
        trained
            .iter()
            .any(|line| line.contains(&format!("\"id\":\"{id}\"")))
    };
    let left = judges.iter().filter(|id| !is_trained(id)).count();
    assert!(left > 0 && left < judges.len(), "{judges:?}");
    assert!(
        noted.contains(&format!(" {left} held out")),
        "{left} of {judges:?}: {noted}"
    );
    run(
        train,
        &[
            "export",
            "--run",
            &tuned,
            "--to",
            &at("tuned_checkpoint"),
            "--float16",
        ],
    )
    .expect("exports");
    let score = [
        "score",
        "--model",
        &at("tuned_checkpoint"),
        "--data",
        &set,
        "--recipe",
        &at("laces.toml"),
    ];
    let found: serde_json::Value =
        serde_json::from_str(&run(train, &score).expect("measures")).expect("JSON");
    let tested = lines(&set, "test.jsonl").len();
    assert!(
        tested > 5 && found["scores"]["attribute"]["products"] == tested,
        "{tested} {found}"
    );
    assert_eq!(found["guess"]["products"], tested, "{found}");

    // Between the base, brought to the larger input, and the tuned model, as the validation side
    // likes it.
    let sweep = [
        "interpolate",
        "--base",
        &at("checkpoint"),
        "--tuned",
        &at("tuned_checkpoint"),
        "--alphas",
        "0.5,1",
    ];
    let exam = [
        "--data",
        &set,
        "--recipe",
        &at("laces.toml"),
        "--table",
        &at("sweep.json"),
        "--out",
        &at("mixed"),
    ];
    let found = run(train, &[&sweep[..], &exam].concat()).expect("mixes");
    assert!(found.contains("best"), "{found}");
    let table = std::fs::read_to_string(at("sweep.json")).expect("a table");
    let table: serde_json::Value = serde_json::from_str(&table).expect("JSON");
    assert_eq!(table["rows"].as_array().map(Vec::len), Some(3), "{table}");
    assert!(Path::new(&at("mixed")).join("model.safetensors").is_file());
    let soup = |with: &str| {
        let tuned = [
            "--tuned",
            &at("tuned_checkpoint"),
            &at(with),
            "--alphas",
            "1",
            "--out",
            &at("soup"),
        ];
        run(
            train,
            &[&["interpolate", "--base", &at("checkpoint")][..], &tuned].concat(),
        )
    };
    soup("mixed").expect("a mean of two");
    let refused = soup("checkpoint").expect_err("of another input");
    assert!(refused.contains("more than its weights"), "{refused}");
    run(train, &["report", "--run", &tuned]).expect("draws");
    assert!(Path::new(&tuned).join("report.html").is_file());

    let library = runtime();
    let library = ["--runtime", library.to_str().expect("a path in words")];
    let export = [
        "model",
        "export",
        "--from",
        &at("tuned_checkpoint"),
        "--to",
        &at("model"),
    ];
    run(aglet, &[&export[..], &library].concat()).expect("exports");
    let manifest =
        std::fs::read_to_string(Path::new(&at("model")).join("model.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["preprocessing"]["size"], 48, "{manifest}");
    assert_eq!(
        manifest["preprocessing"]["views"],
        serde_json::json!([48, 54]),
        "{manifest}"
    );
    assert_eq!(manifest["preprocessing"]["fit"], "trim", "{manifest}");

    // What cannot be is said in words.
    let other = [
        "--set",
        "training.views=[112]",
        "--data",
        &shop,
        "--out",
        &at("other"),
    ];
    let refused = fit(&at("laces.toml"), &other).expect_err("no data set");
    assert!(refused.contains("aglet-train prepare"), "{refused}");
    let odd = [
        "--set",
        "training.image_size=50",
        "--data",
        &set,
        "--from",
        &at("checkpoint"),
        "--out",
        &at("odd"),
    ];
    let refused = fit(&at("laces.toml"), &odd).expect_err("no multiple of the patch");
    assert!(refused.contains("50 pixels"), "{refused}");
    let small = [
        "--set",
        "training.views=[47]",
        "--data",
        &set,
        "--from",
        &at("checkpoint"),
        "--out",
        &at("odd"),
    ];
    let refused = fit(&at("laces.toml"), &small).expect_err("less than what is seen");
    assert!(refused.contains("training.views"), "{refused}");
    let collar = [
        "--set",
        "attribute.name=collar",
        "--data",
        &set,
        "--from",
        &at("checkpoint"),
        "--out",
        &at("odd"),
    ];
    let refused = fit(&at("laces.toml"), &collar).expect_err("no product has one");
    assert!(
        refused.contains("collar") && refused.contains("shoelace_color"),
        "{refused}"
    );
    run(
        train,
        &[&prepare[..], &["--validation", "0", "--out", &at("blind")]].concat(),
    )
    .expect("prepares");
    let refused = fit(
        &at("small.toml"),
        &["--data", &at("blind"), "--out", &at("odd")],
    )
    .expect_err("nothing to ask");
    assert!(refused.contains("validation side"), "{refused}");

    // A run that is there is not written over, and one that is over stays as it is.
    let again = ["--data", set.as_str(), "--out", base.as_str()];
    let refused = fit(&at("small.toml"), &again).expect_err("there is a run");
    assert!(refused.contains("--resume"), "{refused}");
    let metrics = || std::fs::read(Path::new(&base).join("metrics.jsonl")).expect("metrics");
    let before = metrics();
    fit(&at("small.toml"), &[&again[..], &["--resume"]].concat()).expect("nothing to do");
    assert_eq!(metrics(), before);
}
