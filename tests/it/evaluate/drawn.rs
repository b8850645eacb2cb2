//! Data in the layouts that benchmarks come in, drawn small, and the models of a comparison.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aglet::demo;
use aglet::domain::AttributeValue;
use aglet::evaluate::benchmark::document::{Document, Outcome};
#[cfg(feature = "train")]
use aglet::evaluate::data::data_set;
use aglet::evaluate::data::labeled_catalog::LabeledCatalog;
use aglet::evaluate::data::suite::Suite;
use aglet::evaluate::data::suite_build::{self, SuiteOptions, default_prompt};
use image::{Rgb, RgbImage};

use super::{aglet, name, path, suite, write_catalog};
use crate::support::clip::{random_clip, tiny_config, tiny_model};

/// The 17 classes of In-shop, with whose clothes they are of.
const IN_SHOP: [(&str, &str); 23] = [
    ("MEN", "Denim"),
    ("MEN", "Jackets_Vests"),
    ("MEN", "Pants"),
    ("MEN", "Shirts_Polos"),
    ("MEN", "Shorts"),
    ("MEN", "Suiting"),
    ("MEN", "Sweaters"),
    ("MEN", "Sweatshirts_Hoodies"),
    ("MEN", "Tees_Tanks"),
    ("WOMEN", "Blouses_Shirts"),
    ("WOMEN", "Cardigans"),
    ("WOMEN", "Denim"),
    ("WOMEN", "Dresses"),
    ("WOMEN", "Graphic_Tees"),
    ("WOMEN", "Jackets_Coats"),
    ("WOMEN", "Leggings"),
    ("WOMEN", "Pants"),
    ("WOMEN", "Rompers_Jumpsuits"),
    ("WOMEN", "Shorts"),
    ("WOMEN", "Skirts"),
    ("WOMEN", "Sweaters"),
    ("WOMEN", "Sweatshirts_Hoodies"),
    ("WOMEN", "Tees_Tanks"),
];

fn photo(file: &Path, number: usize) {
    std::fs::create_dir_all(file.parent().expect("below")).expect("a folder");
    let level = |k: usize| u8::try_from(number * k % 256).expect("below 256");
    let ground = Rgb([level(37), level(91), level(53)]);
    RgbImage::from_fn(32, 44, |x, y| {
        if (x / 4 + y / 4) % 2 == 0 {
            ground
        } else {
            Rgb([255, 255, 255])
        }
    })
    .save(file)
    .expect("written");
}

/// `Eval/list_eval_partition.txt` with its columns padded as in the original, and `Img/img/..` for
/// the test part.
fn in_shop(folder: &Path) {
    let mut rows = String::new();
    let mut count = 0;
    for (number, (who, class)) in IN_SHOP.iter().enumerate() {
        let item = format!("id_{number:08}");
        for (view, status) in [
            ("01_1_front", "train"),
            ("02_1_front", "query"),
            ("02_3_back", "gallery"),
        ] {
            let image = format!("img/{who}/{class}/{item}/{view}.jpg");
            let _ = writeln!(rows, "{image:<72} {item} {status}");
            count += 1;
            if status != "train" {
                photo(&folder.join("Img").join(image), number);
            }
        }
    }
    std::fs::create_dir_all(folder.join("Eval")).expect("a folder");
    let text = format!("{count}\nimage_name item_id evaluation_status\n{rows}");
    std::fs::write(folder.join("Eval/list_eval_partition.txt"), text).expect("written");
}

/// A retailer's export: 65 categories, two photos each.
fn retailer(folder: &Path) -> PathBuf {
    let mut rows = "sku,name,category,image\n".to_owned();
    for number in 0..130 {
        let category = number / 2;
        let image = format!("photos/{number}.jpg");
        photo(&folder.join(&image), number);
        let _ = writeln!(
            rows,
            "{number},\"A thing, no. {number}\",\"Category {category:02}, small\",{image}"
        );
    }
    std::fs::write(folder.join("articles.csv"), rows).expect("written");
    folder.join("articles.csv")
}

#[test]
fn benchmarks_in_their_own_layouts() {
    let root = tempfile::tempdir().expect("a folder");
    let (deep, own) = (root.path().join("in-shop"), root.path().join("retailer"));
    in_shop(&deep);
    let table = retailer(&own);
    for number in 0..6 {
        photo(
            &root
                .path()
                .join(format!("folders/Class {}/{number}.png", number % 3)),
            number,
        );
    }
    std::fs::remove_file(own.join("photos/7.jpg")).expect("removed");
    let (json, model) = (root.path().join("r.json"), tiny_model());
    let classes = format!("classes:{}", path(&root.path().join("folders")));
    let csv = format!("csv:{}", path(&table));
    let output = aglet(&[
        "evaluate",
        "benchmark",
        "--model",
        path(&model),
        "--device",
        "cpu",
        "--in-shop",
        path(&deep),
        "--labeled",
        &csv,
        "--labeled",
        &classes,
        "--json",
        path(&json),
        "--min-share",
        "articles.macro_f1=0",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document = Document::load(&json).expect("a result");
    let seen = document.parts.iter().map(|part| match &part.outcome {
        Outcome::ZeroShot(result) => (
            part.prefix.as_str(),
            result.classes.len(),
            result.top.images,
            result.left_out,
            result.top.rank_score_max,
        ),
        _ => panic!("no labeled set"),
    });
    let expected = [
        ("deepfashion_in_shop", 17, 46, 0, 230),
        ("articles", 65, 129, 1, 645),
        ("folders", 3, 6, 0, 30),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    for figure in ["accuracy", "top_5", "rank_score", "macro_f1", "weighted_f1"] {
        assert!(
            document
                .figure(&format!("deepfashion_in_shop.{figure}"))
                .is_some(),
            "{figure}"
        );
    }

    std::fs::write(&table, "sku,price\n1,2\n").expect("written");
    let refused = aglet(&[
        "evaluate",
        "benchmark",
        "--model",
        path(&model),
        "--labeled",
        &csv,
    ]);
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        error.contains("articles.csv, line 1: no column called image"),
        "{error}"
    );
}

/// Fails when the demonstration catalog is drawn otherwise than the bundled suite was built on.
/// Then build it anew: docs/evaluation.md says how.
#[test]
fn the_bundled_suite_is_that_of_the_demonstration_catalog() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = folder.path().join("demo");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    demo::write(
        &demo::Plan {
            out: &demo,
            products: 600,
            seed: 1,
            force: false,
            threads,
        },
        |_| {},
    )
    .expect("drawn");
    let detail = name("shoelace_color");
    let options = SuiteOptions {
        name: "drawn shoes".to_owned(),
        main: name("category"),
        prompt: default_prompt(&detail),
        detail,
        without: vec![AttributeValue::new("none").expect("value")],
        results: 5,
        per_level: Some(6),
        seed: 1,
        filters: std::collections::BTreeMap::new(),
        held_out: false,
        words: false,
    };
    let catalog = LabeledCatalog::at(&demo, &[], None).expect("a catalog");
    let drawn = suite_build::of_catalog(&options, &catalog).expect("something to ask");
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/retrieval");
    let suite = Suite::load(&bundled.join("suite.json")).expect("consistent");
    assert_eq!(suite.pool.sha256, drawn.pool.sha256, "other products");
    assert!(suite == drawn, "other cases");
    suite_build::save(&drawn, &catalog, &folder.path().join("suite.json")).expect("written");
    let mut photos = 0;
    for entry in std::fs::read_dir(folder.path().join("images")).expect("photos") {
        let file = entry.expect("an entry");
        let ours = std::fs::read(bundled.join("images").join(file.file_name())).expect("bundled");
        assert!(
            ours == std::fs::read(file.path()).expect("a photo"),
            "{}",
            file.file_name().display()
        );
        photos += 1;
    }
    let beside = std::fs::read_dir(bundled.join("images"))
        .expect("photos")
        .count();
    assert_eq!(photos, beside, "photos that no case asks with");
}

/// A checkpoint in Hugging Face's layout with weights drawn by the seed.
fn checkpoint(folder: &Path, seed: u64) {
    random_clip(folder, &tiny_config(), seed, "float32");
}

#[test]
fn models_and_checkpoints_are_compared_by_the_command() {
    let root = tempfile::tempdir().expect("a folder");
    write_catalog(root.path(), 200);
    let catalog = LabeledCatalog::at(root.path(), &[], None).expect("a catalog");
    suite(&catalog, root.path());
    let at = |name: &str| root.path().join(name);
    for (epoch, seed) in [("run/epochs/001", 11), ("run/epochs/002", 12)] {
        checkpoint(&at(epoch), seed);
    }
    std::fs::write(at("run/config.json"), "{}").expect("written");
    std::fs::write(at("run/last.safetensors"), "state").expect("written");
    let recipe =
        "[compare]\ntolerance = 0.5\n[compare.weights]\n\"retrieval.a\" = 2.0\n[run]\nsteps = 3\n";
    std::fs::write(at("run/recipe.toml"), recipe).expect("written");
    let (suite, model, cache) = (at("suite.json"), tiny_model(), at("cache"));
    let (csv, markdown, html) = (at("out/t.csv"), at("out/t.md"), at("out/too/t.html"));
    let run = at("run");
    let compare = || {
        aglet(&[
            "evaluate",
            "compare",
            path(&model),
            path(&run),
            "--catalog",
            path(root.path()),
            "--suite",
            path(&suite),
            "--no-catalog-benchmark",
            "--device",
            "cpu",
            "--cache",
            path(&cache),
            "--csv",
            path(&csv),
            "--markdown",
            path(&markdown),
            "--html",
            path(&html),
        ])
    };
    let output = compare();
    let (table, doing) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{doing}");
    assert!(!doing.contains("is known"), "{doing}");
    assert!(
        table.contains("run/epochs/002") && table.contains("has the largest 2 x retrieval.a"),
        "{table}"
    );
    let rows = std::fs::read_to_string(&csv).expect("a table");
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(rows.starts_with("model,sum,retrieval.a,"), "{rows}");
    assert!(rows.contains("pretest.macro_f1"), "{rows}");
    assert!(
        std::fs::read_to_string(&markdown)
            .expect("a table")
            .contains("\n- ")
    );
    let html = std::fs::read_to_string(&html).expect("a report");
    assert!(
        html.contains("epochs/002 against ") && html.contains("retrieval.text.c"),
        "each against the base"
    );

    let again = compare();
    let doing = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(doing.matches("is known").count(), 6, "{doing}");
    assert_eq!(String::from_utf8_lossy(&again.stdout), table);
}

#[test]
fn a_data_set_is_asked_whole_and_a_run_on_one_is_doubted_elsewhere() {
    let root = tempfile::tempdir().expect("a folder");
    write_catalog(root.path(), 60);
    let at = |name: &str| root.path().join(name);
    // As `aglet-train prepare --test ..` writes it: its split asks nobody which products are held
    // out elsewhere.
    let line = |number: u32| {
        let laces = ["white", "black", "red"][number as usize % 3];
        let image = format!(r#"{{"file": "../photos/{number}.png"}}"#);
        let attributes =
            format!(r#"{{"category": ["Casual Shoes"], "shoelace_color": ["{laces}"]}}"#);
        format!(
            r#"{{"id": "{number}", "title": "Shoe {number}", "image": {image}, "attributes": {attributes}}}"#
        ) + "\n"
    };
    std::fs::create_dir(at("set")).expect("a folder");
    for (name, text) in [
        ("set/captions.toml", String::new()),
        ("set/test.jsonl", (0..20).map(line).collect()),
        ("set/train.jsonl", (20..60).map(line).collect()),
    ] {
        std::fs::write(at(name), text).expect("written");
    }
    checkpoint(&at("run/epochs/001"), 11);
    std::fs::write(at("run/config.json"), "{}").expect("written");
    std::fs::write(at("run/last.safetensors"), "state").expect("written");
    let recipe = "[attribute]\nname = \"shoelace_color\"\nprompts = [\"{} laces\"]\n";
    std::fs::write(at("run/recipe.toml"), recipe).expect("written");
    let (run, model, cache) = (at("run"), tiny_model(), at("cache"));
    let compare = |catalog: &Path| {
        let given = [
            "evaluate",
            "compare",
            path(&model),
            path(&run),
            "--device",
            "cpu",
            "--cache",
            path(&cache),
        ];
        let output = aglet(&[&given[..], &["--catalog", path(catalog)]].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let doubt = "run was trained on a data set of `aglet-train prepare`";
    let asked = compare(&at("set"));
    assert!(
        !asked.contains(doubt) && asked.contains("WARNING: nothing is guarded"),
        "{asked}"
    );
    let files = std::fs::read_dir(&cache)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let kept: Vec<String> = files
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    for whole in [
        "shoelace_color, of the data set: 20 images",
        r#""among":"held_out","products":20"#,
    ] {
        assert_eq!(
            kept.iter().filter(|text| text.contains(whole)).count(),
            2,
            "{whole}, of each model"
        );
    }
    assert_eq!(
        compare(root.path()).matches(doubt).count(),
        1,
        "one line a run"
    );
}

#[cfg(feature = "train")]
mod with_training {
    use std::process::Command;

    use aglet::catalog::source::Source;
    use aglet::evaluate::data::data_set::Side;
    use aglet::model::ClipConfig;
    use aglet::train::data::set::templates::{self, Templates};
    use aglet::train::data::set::{prepare, split};
    use aglet::train::net::parameters::Parameters;
    use aglet::train::run::checkpoint::{self, StoredFloat};

    use super::*;
    use crate::support;

    #[test]
    fn a_run_is_compared_by_its_best_weights() {
        let root = tempfile::tempdir().expect("a folder");
        let run = root.path().join("run");
        checkpoint(&run, 3);
        let config = ClipConfig::parse(tiny_config().to_string().as_bytes()).expect("a config");
        std::fs::remove_file(run.join("model.safetensors")).expect("removed");
        std::fs::remove_file(run.join("preprocessor_config.json")).expect("removed");
        let best = run.join("best.safetensors");
        checkpoint::write_weights(&best, &Parameters::random(&config, 5), StoredFloat::F32)
            .expect("written");
        write_catalog(root.path(), 60);
        let colors = format!("set:{}@color", path(root.path()));
        let cache = root.path().join("cache");
        let compare = |program: &str| {
            Command::new(program)
                .args(if program.ends_with("train") {
                    &["compare"][..]
                } else {
                    &["evaluate", "compare"]
                })
                .args([
                    path(&tiny_model()),
                    path(&run),
                    "--labeled",
                    &colors,
                    "--device",
                    "cpu",
                ])
                .args(["--cache", path(&cache)])
                .env("AGLET_RUNTIME", support::runtime())
                .output()
                .expect("runs")
        };
        let output = compare(env!("CARGO_BIN_EXE_aglet-train"));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = table
            .lines()
            .filter(|l| l.ends_with('%') && !l.contains(" is out: "));
        assert_eq!(rows.count(), 2, "{table}");
        assert!(
            table.contains("nothing that the rule weighs was measured"),
            "{table}"
        );
        assert_eq!(
            String::from_utf8_lossy(&compare(env!("CARGO_BIN_EXE_aglet")).stdout),
            table,
            "both programs"
        );
    }

    #[test]
    fn a_prepared_data_set_is_read_as_it_was_written() {
        let root = tempfile::tempdir().expect("a folder");
        write_catalog(root.path(), 60);
        let out = root.path().join("set");
        let plan = prepare::Preparation {
            source: Source::feed(root.path().join("products.jsonl"), Vec::new()),
            filters: Vec::new(),
            labels: Vec::new(),
            require: vec![name("shoelace_color")],
            class: name("category"),
            test: split::TestSide::Part(0.5),
            validation: 0.1,
            seed: 1,
            templates: Templates::parse(templates::DEFAULT).expect("the default"),
        };
        prepare::prepare(&plan, &out, |_, _| {}).expect("prepared");
        for side in [Side::Test, Side::Validation, Side::Train] {
            let written = data_set::read_side(&out, side).expect("readable");
            let file = out.join(format!("{side}.jsonl"));
            assert_eq!(data_set::side_at(&file).as_ref(), Some(&file));
            let catalog = LabeledCatalog::at(&file, &[], None).expect("readable");
            assert_eq!(catalog.products.len(), written.len());
            for (labeled, entry) in catalog.products.iter().zip(&written) {
                assert_eq!(labeled.product.id.as_str(), entry.id);
                let laces = entry.attributes["shoelace_color"]
                    .first()
                    .map(String::as_str);
                assert_eq!(labeled.product.attribute("shoelace_color"), laces);
                assert!(
                    catalog
                        .picture(labeled)
                        .expect("a picture")
                        .starts_with(b"\x89PNG")
                );
            }
        }
        let (json, model, laces) = (
            root.path().join("r.json"),
            tiny_model(),
            format!("set:{}@shoelace_color", path(&out)),
        );
        let output = aglet(&[
            "evaluate",
            "classify",
            "--model",
            path(&model),
            "--data",
            &laces,
            "--json",
            path(&json),
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let document = Document::load(&json).expect("a result");
        let Outcome::ZeroShot(result) = &document.parts[0].outcome else {
            panic!("a labeled set")
        };
        assert_eq!(
            result.top.images,
            data_set::read_side(&out, Side::Test)
                .expect("readable")
                .len()
        );
        assert_eq!(
            result.prompts.templates,
            ["{category} with {} shoelaces"],
            "the attribute's own"
        );
    }
}
