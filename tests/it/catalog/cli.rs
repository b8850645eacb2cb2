//! `aglet import`, the program itself, with a real (tiny, random) model.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aglet::catalog::Catalog;
use aglet::domain::ModelId;
use aglet::model::ModelFolder;

use super::Shop;
use crate::support::{runtime, tiny_model};

/// A shop whose photos are small JPEG files, no two alike.
fn shop(products: u32) -> Shop {
    let rows: Vec<(u32, &str)> = (1..=products)
        .map(|id| (id, "Puma Men Drawn Shoe"))
        .collect();
    let shop = Shop::new(&[]);
    shop.styles(&rows);
    for id in 1..=products {
        let [_, high, middle, low] = id.to_be_bytes();
        let picture = image::RgbImage::from_fn(24, 24, |x, y| {
            if (x / 8 + y / 8) % 2 == 0 {
                image::Rgb([low, middle, high])
            } else {
                image::Rgb([255 - low, 128, low])
            }
        });
        picture
            .save(shop.path(&format!("images/{id}.jpg")))
            .expect("written");
    }
    shop
}

fn import(shop: &Shop, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aglet"));
    command
        .arg("import")
        .arg("--data")
        .arg(shop.path("data"))
        .args(more);
    command
        .arg("--runtime")
        .arg(runtime())
        .args(["--device", "cpu"]);
    command.stdin(Stdio::null());
    command
}

fn kaggle(shop: &Shop, model: &Path) -> Command {
    let mut command = import(shop, &[]);
    command
        .arg("--styles")
        .arg(shop.path("styles.csv"))
        .arg("--images")
        .arg(shop.path("images"));
    command.arg("--model").arg(model);
    command
}

fn run(mut command: Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    (status.code().expect("ended by itself"), text)
}

#[test]
fn what_it_says_and_its_exit_code() {
    let shop = shop(40);
    let (code, text) = run(kaggle(&shop, &tiny_model()));
    assert!(
        code == 0 && text.contains("40 new") && text.contains("40 photos, 1 captions"),
        "{code} {text}"
    );
    let (code, text) = run(kaggle(&shop, &tiny_model()));
    assert!(
        code == 0 && text.contains("40 unchanged") && text.contains("0 photos, 0 captions"),
        "{code} {text}"
    );
    assert!(!text.contains("listed in"), "{text}");

    shop.photo(7, "no picture at all");
    shop.write(
        "rows.jsonl",
        "{\"id\": \"x\", \"title\": \"X\"}\nnonsense\n",
    );
    let (code, text) = run(kaggle(&shop, &tiny_model()));
    assert!(
        code == 3 && text.contains("rejected  0 rows, 1 photos") && text.contains("rejects-"),
        "{code} {text}"
    );
    let rows = shop.path("rows.jsonl");
    let mut lines = import(&shop, &["--skip-embedding"]);
    lines
        .arg("--products")
        .arg(rows)
        .arg("--rejects")
        .arg(shop.path("not.csv"));
    let (code, text) = run(lines);
    assert!(
        code == 3 && text.contains("rejected  1 rows") && text.contains("not.csv"),
        "{code} {text}"
    );
    let listed = std::fs::read_to_string(shop.path("not.csv")).expect("rejects");
    assert!(
        listed.starts_with("line,id,lost,reason\n2,,row,no JSON"),
        "{listed}"
    );

    // From a file, as the service takes it; a flag goes before it.
    shop.write(
        "aglet.toml",
        "data = \"nowhere\"\nmodel = \"no-model-of-the-file\"\nlog_filter = \"error\"\n",
    );
    let mut configured = import(&shop, &[]);
    configured
        .arg("--config")
        .arg(shop.path("aglet.toml"))
        .arg("--styles")
        .arg(shop.path("styles.csv"));
    let (code, text) = run(configured);
    assert!(
        code == 1 && text.contains("no-model-of-the-file"),
        "{code} {text}"
    );
    let (code, text) = run(kaggle(&shop, Path::new("no-such-model")));
    assert!(code == 1 && text.contains("no-such-model"), "{code} {text}");
    std::fs::remove_file(shop.path("styles.csv")).expect("removed");
    let (code, text) = run(kaggle(&shop, &tiny_model()));
    assert!(code == 1 && text.contains("styles.csv"), "{code} {text}");
    let (code, text) = run(import(&shop, &[]));
    assert!(code == 2 && text.contains("--feed"), "{code} {text}");
}

#[test]
fn a_reader_that_has_gone_changes_nothing_but_a_full_disk_does() {
    let shop = shop(3);
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let unread = |mut command: Command| {
        let status = command.stdout(closed()).stderr(closed()).status();
        status.expect("runs").code()
    };
    let mut openapi = Command::new(env!("CARGO_BIN_EXE_aglet"));
    openapi.arg("openapi");
    assert_eq!(unread(openapi), Some(0));
    assert_eq!(unread(kaggle(&shop, &tiny_model())), Some(0));
    let (code, text) = run(kaggle(&shop, &tiny_model()));
    assert!(code == 0 && text.contains("3 unchanged"), "{code} {text}");
    // The exit code is that of the work.
    shop.photo(2, "no picture at all");
    assert_eq!(unread(kaggle(&shop, &tiny_model())), Some(3));
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let mut openapi = Command::new(env!("CARGO_BIN_EXE_aglet"));
        let output = openapi.arg("openapi").stdout(full).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("standard output"),
            "{said}"
        );
    }
}

#[test]
fn too_much_removed_is_exit_code_1_and_a_pipe_is_read_twice() {
    let shop = Shop::new(&[]);
    let feed = |products: std::ops::Range<u32>, more: &[&str]| {
        let lines = products.map(|id| format!("{{\"id\": \"{id}\", \"title\": \"Shoe {id}\"}}\n"));
        shop.write("rows.jsonl", lines.collect::<String>());
        let mut import = import(&shop, &["--skip-embedding", "--products", "/dev/stdin"]);
        import.args(more);
        let file = std::fs::File::open(shop.path("rows.jsonl")).expect("opens");
        let cat = Command::new("cat")
            .stdin(file)
            .stdout(Stdio::piped())
            .spawn();
        let mut cat = cat.expect("cat");
        import.stdin(cat.stdout.take().expect("piped"));
        let said = run(import);
        cat.wait().expect("ended");
        said
    };
    let (code, text) = feed(0..300, &[]);
    assert!(code == 0 && text.contains("300 new"), "{code} {text}");
    let (code, text) = feed(0..30, &["--prune"]);
    assert!(
        code == 1 && text.contains("270 of 300") && text.contains("--max-removed 270"),
        "{code} {text}"
    );
    let (code, text) = feed(0..30, &["--prune", "--max-removed", "90%"]);
    assert!(code == 0 && text.contains("270 removed"), "{code} {text}");
    let (code, text) = feed(0..30, &["--prune", "--max-removed", "much"]);
    assert!(code == 2 && text.contains("100%"), "{code} {text}");
    let left = std::fs::read_dir(shop.path("data")).expect("a folder");
    let left: Vec<_> = left.map(|file| file.expect("a file").file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".tmp")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_it() {
    const PRODUCTS: u32 = 3000;
    let shop = shop(PRODUCTS);
    let model: ModelId = ModelFolder::open(&tiny_model())
        .expect("model")
        .id()
        .clone();
    let catalog = Catalog::open(&shop.path("data")).await.expect("opens");
    let embedded = async || catalog.counts(&model).await.expect("counts").embedded;
    let mut child = kaggle(&shop, &tiny_model())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut seen = 0;
    while seen == 0 {
        assert!(
            child.try_wait().expect("status").is_none(),
            "ended before it could be killed"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen = embedded().await;
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ended");
    let kept = embedded().await;
    assert!(
        kept >= seen && kept < u64::from(PRODUCTS),
        "{kept} of {seen}"
    );

    let (code, text) = run(kaggle(&shop, &tiny_model()));
    let rest = u64::from(PRODUCTS) - kept;
    assert!(
        code == 0 && text.contains(&format!("embedded  {rest} photos, 0 captions")),
        "{code} {text}"
    );
    assert_eq!(embedded().await, u64::from(PRODUCTS));
}
