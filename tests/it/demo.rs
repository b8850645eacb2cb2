//! The demonstration catalog: the layout, the same bytes for the same seed, and refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use aglet::demo::{self, Category, DemoError, HEIGHT, LACE_COLORS, Plan, WIDTH};

fn plan(out: &Path, products: u64) -> Plan<'_> {
    Plan {
        out,
        products,
        seed: 7,
        force: false,
        threads: 2,
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let images = folder.join("images");
    let names = [folder, &images]
        .into_iter()
        .flat_map(|f| fs::read_dir(f).expect("a folder"));
    names
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.is_file())
        .map(|p| {
            (
                p.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                fs::read(&p).expect("a file"),
            )
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_products_do_not_depend_on_their_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let (few, again, more) = (
        folder.path().join("few"),
        folder.path().join("again"),
        folder.path().join("more"),
    );
    demo::write(&plan(&few, 6), |_| {}).expect("written");
    demo::write(
        &Plan {
            threads: 1,
            ..plan(&again, 6)
        },
        |_| {},
    )
    .expect("written");
    demo::write(&plan(&more, 9), |_| {}).expect("written");
    let (few, again, more) = (files(&few), files(&again), files(&more));
    assert_eq!(few.len(), 8, "six photos and two tables");
    assert_eq!(few, again);
    for (name, bytes) in few
        .iter()
        .filter(|(n, _)| Path::new(n).extension().is_some_and(|e| e == "jpg"))
    {
        assert_eq!(Some(bytes), more.get(name), "{name}");
    }
    assert_ne!(
        demo::draw(7, 0),
        demo::draw(8, 0),
        "another seed draws others"
    );
}

#[test]
fn the_layout_is_kaggles() {
    let folder = tempfile::tempdir().expect("a folder");
    demo::write(&plan(folder.path(), 5), |_| {}).expect("written");
    let read = |name: &str| {
        let mut reader = csv::Reader::from_path(folder.path().join(name)).expect("a table");
        let header: Vec<String> = reader
            .headers()
            .expect("a header")
            .iter()
            .map(str::to_owned)
            .collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row")).collect();
        (header.join(","), rows)
    };
    let (header, styles) = read("styles.csv");
    assert_eq!(
        header,
        "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,price,sale_price,currency,productDisplayName"
    );
    let (header, laces) = read("shoelaces.csv");
    assert_eq!(header, "id,shoelace_colour,basis");
    assert_eq!((styles.len(), laces.len()), (5, 5));
    for (i, (style, lace)) in (0..).zip(styles.iter().zip(&laces)) {
        let product = demo::draw(7, i);
        assert_eq!(&style[0], product.id.to_string());
        assert_eq!(&style[0], &lace[0]);
        assert_eq!(
            (&style[4], &style[5]),
            (product.category.name(), product.color.name)
        );
        assert_eq!(&lace[1], product.shoelace_color());
        let cents = |text: &str| text.replace('.', "").parse::<u32>().ok();
        assert_eq!(cents(&style[9]), Some(product.price));
        assert_eq!((cents(&style[10]), &style[11]), (product.sale_price, "EUR"));
        assert!(product.sale_price.is_none_or(|sale| sale < product.price));
        assert!(
            style[12].contains(&style[4]) && style[12].contains(&style[5]),
            "{}",
            &style[12]
        );
        let photo =
            image::open(folder.path().join(format!("images/{}.jpg", &style[0]))).expect("a photo");
        assert_eq!((photo.width(), photo.height()), (WIDTH, HEIGHT));
    }
}

#[test]
fn a_folder_that_holds_something_is_left_alone_without_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().join("mine.txt");
    fs::write(&mine, "mine").expect("written");
    let refused = demo::write(&plan(folder.path(), 1), |_| {});
    assert!(
        matches!(refused, Err(DemoError::NotEmpty { .. })),
        "{refused:?}"
    );
    assert_eq!(files_in(folder.path()), 1);
    demo::write(
        &Plan {
            force: true,
            ..plan(folder.path(), 1)
        },
        |_| {},
    )
    .expect("written");
    assert_eq!(fs::read(&mine).expect("still there"), b"mine");
    assert!(folder.path().join("styles.csv").is_file());
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    let error =
        demo::write(&plan(&file.join("below"), 1), |_| {}).expect_err("a file is no folder");
    assert!(
        matches!(&error, DemoError::Io { path, .. } if path.starts_with(&file)),
        "{error}"
    );
}

/// What the retrieval suite needs of the 600 products that `make run` draws: questions that five or
/// more products answer, that few do, and that none does; and laces whose color cannot be guessed
/// from the shoe's.
#[test]
fn six_hundred_products_answer_questions_of_every_level() {
    let mut pairs: BTreeMap<(Category, &str), usize> = BTreeMap::new();
    let mut shoes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for product in (0..600).map(|i| demo::draw(1, i)) {
        assert!(product.laces.is_none() || product.category.has_laces());
        *pairs
            .entry((product.category, product.shoelace_color()))
            .or_default() += 1;
        shoes
            .entry(product.shoelace_color())
            .or_default()
            .insert(product.color.name);
    }
    let laced = Category::ALL.into_iter().filter(|c| c.has_laces());
    let counts: Vec<usize> = laced
        .flat_map(|c| LACE_COLORS.iter().map(move |l| (c, l.name)))
        .map(|pair| pairs.get(&pair).copied().unwrap_or(0))
        .collect();
    for level in [5..=usize::MAX, 1..=4, 0..=0] {
        assert!(
            counts.iter().filter(|&n| level.contains(n)).count() >= 5,
            "{level:?} in {counts:?}"
        );
    }
    for lace in LACE_COLORS {
        assert!(
            shoes[lace.name].len() >= 6,
            "{} laces on {:?}",
            lace.name,
            shoes[lace.name]
        );
    }
    for category in Category::ALL {
        let count: usize = pairs
            .iter()
            .filter(|((c, _), _)| *c == category)
            .map(|(_, n)| n)
            .sum();
        assert!(count >= 15, "{count} {}", category.name());
    }
}

/// The laces' color is to be seen, not only written down: the same shoe with other laces differs in
/// a few percent of its pixels, and those pixels have the color that was asked for.
#[test]
fn laces_are_seen_in_their_color() {
    let laced = (0..200)
        .map(|i| demo::draw(3, i))
        .filter(|p| p.laces.is_some());
    let mut seen = 0;
    for mut product in laced.take(24) {
        let color = |name: &str| LACE_COLORS.iter().find(|c| c.name == name);
        product.laces = color("red");
        let red = demo::render(&product);
        product.laces = color("green");
        let green = demo::render(&product);
        let reds = red
            .pixels()
            .zip(green.pixels())
            .filter(|(r, g)| r.0[0] > g.0[0].saturating_add(40))
            .count();
        let greens = red
            .pixels()
            .zip(green.pixels())
            .filter(|(r, g)| g.0[1] > r.0[1].saturating_add(30))
            .count();
        let enough = (WIDTH * HEIGHT) as usize / 250;
        if reds > enough && greens > enough {
            seen += 1;
        }
    }
    assert!(seen >= 22, "only {seen} of 24");
}
