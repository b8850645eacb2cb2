//! What holds of the feeds of every format: products come back as they were written, and a line that is
//! damaged costs itself alone.

use proptest::prelude::*;

use super::format::Format;
use super::read::{Loaded, Source, load_bytes};

/// A product that is in a feed.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    title: String,
    cents: u32,
}

impl Known {
    fn price(&self) -> String {
        format!("{}.{:02}", self.cents / 100, self.cents % 100)
    }
}

/// How a feed is written: what stands before its products, each of which is a line, and behind them.
struct Writer {
    format: Format,
    before: &'static str,
    line: fn(&Known) -> String,
    /// Between two lines.
    between: &'static str,
    after: &'static str,
}

const WRITERS: [Writer; 9] = [
    Writer {
        format: Format::Merchant,
        before: "id\ttitle\tlink\tprice\tavailability\n",
        line: |p| {
            format!(
                "{}\t{}\thttps://x/a\t{}\tin_stock",
                p.id,
                p.title,
                p.price()
            )
        },
        between: "\n",
        after: "\n",
    },
    Writer {
        format: Format::Merchant,
        before: "<?xml version=\"1.0\"?>\n<rss xmlns:g=\"http://base.google.com/ns/1.0\"><channel>\n",
        line: |p| {
            format!(
                "<item><g:id>{}</g:id><title>{}</title><g:price>{}</g:price></item>",
                p.id,
                p.title,
                p.price()
            )
        },
        between: "\n",
        after: "\n</channel></rss>\n",
    },
    Writer {
        format: Format::Shopify,
        before: "Handle,Title,Body (HTML),Vendor,Variant SKU,Variant Price\n",
        line: |p| format!("{0},\"{1}\",,N,{0},{2}", p.id, p.title, p.price()),
        between: "\n",
        after: "\n",
    },
    Writer {
        format: Format::WooCommerce,
        before: "ID,Type,SKU,Name,Published,Regular price\n",
        line: |p| format!(",simple,{},\"{}\",1,{}", p.id, p.title, p.price()),
        between: "\n",
        after: "\n",
    },
    Writer {
        format: Format::JsonLd,
        before: "{\"@context\": \"https://schema.org\", \"@graph\": [\n",
        line: |p| {
            format!(
                "{{\"@type\": \"Product\", \"sku\": {:?}, \"name\": {:?}, \"offers\": {{\"price\": {:?}}}}}",
                p.id,
                p.title,
                p.price()
            )
        },
        between: ",\n",
        after: "\n]}\n",
    },
    Writer {
        format: Format::Json,
        before: "",
        line: |p| {
            format!(
                "{{\"id\": {:?}, \"title\": {:?}, \"price\": {}}}",
                p.id,
                p.title,
                p.price()
            )
        },
        between: "\n",
        after: "\n",
    },
    Writer {
        format: Format::Json,
        before: "[\n",
        line: |p| {
            format!(
                "  {{\"title\": {:?}, \"price\": {:?}, \"id\": {:?}}}",
                p.title,
                p.price(),
                p.id
            )
        },
        between: ",\n",
        after: "\n]\n",
    },
    Writer {
        format: Format::Table,
        before: "name;price;sku\n",
        line: |p| format!("{};{};{}", p.title, p.price(), p.id),
        between: "\n",
        after: "\n",
    },
    Writer {
        format: Format::Kaggle,
        before: "id,gender,price,productDisplayName\n",
        line: |p| format!("{},Men,{},{}", p.id, p.price(), p.title),
        between: "\n",
        after: "\n",
    },
];

impl Writer {
    fn lines(&self, products: &[Known]) -> Vec<Vec<u8>> {
        products
            .iter()
            .map(|known| (self.line)(known).into_bytes())
            .collect()
    }

    fn whole(&self, lines: &[Vec<u8>]) -> Vec<u8> {
        let lines = lines.join(self.between.as_bytes());
        [self.before.as_bytes(), &lines, self.after.as_bytes()].concat()
    }
}

fn read(format: Format, bytes: Vec<u8>) -> Loaded {
    let source = Source {
        address: Some("https://shop.example/feed".to_owned()),
        format: Some(format),
        ..Source::default()
    };
    load_bytes(&source, bytes).expect("a feed")
}

/// Products whose ids are two letters or more apart: one that is damaged is none of the others.
fn products() -> impl Strategy<Value = Vec<Known>> {
    let one = (
        "[A-Za-z][a-z0-9é]{0,8}( [A-Z][a-zß]{1,6}){0,3}",
        0_u32..1_000_000,
    );
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let all = all.into_iter().enumerate();
        let known = all.map(|(number, (title, cents))| Known {
            id: format!("p{number:03}{number:03}"),
            title,
            cents,
        });
        known.collect()
    })
}

/// What may befall a line.
#[derive(Clone, Debug)]
enum Damage {
    /// A byte becomes another one.
    Flip(prop::sample::Index, u8),
    /// The rest is missing.
    Cut(prop::sample::Index),
    /// A letter too many.
    Add(prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let letters = prop::sample::select(b"\"'<>&,;\t{}[]\\:/=\xff\xc3 1".to_vec());
    prop_oneof![
        (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, with)| Damage::Flip(at, with)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), letters).prop_map(|(at, letter)| Damage::Add(at, letter)),
    ]
}

impl Damage {
    fn to(&self, line: &mut Vec<u8>) {
        match self {
            Self::Flip(at, with) => {
                let at = at.index(line.len());
                // A file with a zero byte is no text: that is said of all of it.
                if line[at] != *with {
                    line[at] ^= with;
                }
            }
            Self::Cut(at) => line.truncate(at.index(line.len())),
            Self::Add(at, letter) => line.insert(at.index(line.len()), *letter),
        }
    }
}

fn is(product: &crate::domain::Product, known: &Known) -> bool {
    let price = known.price().parse::<f64>().ok();
    product.id.as_str() == known.id && product.title == known.title && product.price == price
}

proptest! {
    #[test]
    fn products_come_back_as_they_were_written(products in products()) {
        for writer in &WRITERS {
            let loaded = read(writer.format, writer.whole(&writer.lines(&products)));
            prop_assert!(loaded.rejects.is_empty(), "{} {:?}", writer.format, loaded.rejects);
            prop_assert_eq!(loaded.products.len(), products.len(), "{}", writer.format);
            for ((product, _), known) in loaded.products.iter().zip(&products) {
                prop_assert!(is(product, known), "{}: {product:?} is not {known:?}", writer.format);
            }
        }
    }

    #[test]
    fn a_damaged_line_costs_itself_alone(
        products in products(), place in any::<prop::sample::Index>(), damage in damage()
    ) {
        let place = place.index(products.len());
        for writer in &WRITERS {
            let mut lines = writer.lines(&products);
            damage.to(&mut lines[place]);
            let whole = writer.whole(&lines);
            let count = 1 + whole.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
            let text = String::from_utf8_lossy(&whole).into_owned();
            let loaded = read(writer.format, whole);
            for reject in &loaded.rejects {
                prop_assert!((1..=count).contains(&reject.line), "{reject:?} of\n{text}");
            }
            for (_, known) in products.iter().enumerate().filter(|(at, _)| *at != place) {
                let came = loaded.products.iter().any(|(product, _)| is(product, known));
                prop_assert!(came, "{}: {known:?} is lost, {:?} of\n{text}", writer.format, loaded.rejects);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let source = |format| Source {
            address: Some("https://shop.example/feed".to_owned()),
            format,
            ..Source::default()
        };
        for writer in &WRITERS {
            let whole = [writer.before.as_bytes(), &bytes].concat();
            let count = 1 + whole.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
            for format in [Some(writer.format), None] {
                let Ok(loaded) = load_bytes(&source(format), whole.clone()) else { continue };
                for reject in &loaded.rejects {
                    prop_assert!((1..=count).contains(&reject.line), "{reject:?}");
                }
            }
        }
    }
}

/// Rows that were read in time that grows with the square of their length: a MiB took minutes or more.
#[test]
fn what_a_row_costs_grows_with_its_length() {
    let many = |one: &str, bytes: usize| one.repeat(bytes / one.len());
    let numbers: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let half = 500 << 10;
    for (format, feed, products) in [
        (
            Format::Json,
            format!(
                "{{\"id\": 1, \"title\": \"x\", \"attributes\": {{\"tags\": {numbers:?}}}, \"images\": {numbers:?}}}"
            ),
            1,
        ),
        (Format::Json, format!("[\n{}", many("{\n", half)), 0),
        (
            Format::Json,
            format!(
                "{{\"id\": 1, \"title\": \"x\", \"description\": {:?}}}",
                many("<p x=", half / 10)
            ),
            1,
        ),
        (
            Format::Json,
            format!(
                "{{\"id\": 1, \"title\": \"x\", \"description\": \"<script>{}\"}}",
                many("</script", half)
            ),
            1,
        ),
        (
            Format::Merchant,
            format!("id\ttitle\tproduct_type\n1\tx\t{}\n", numbers.join(",")),
            1,
        ),
        (
            Format::Merchant,
            format!(
                "<rss><channel><item><id>1</id><title>x</title><description>{}{}</description></item></channel></rss>",
                many("<br>", half),
                many("</i>", half / 2)
            ),
            1,
        ),
        (
            Format::Shopify,
            format!(
                "Handle,Title,Option1 Name,Option1 Value,Variant SKU\n{}",
                numbers
                    .iter()
                    .take(20_000)
                    .flat_map(|number| ["h,x,Size,", number.as_str(), ",s", number.as_str(), "\n"])
                    .collect::<String>()
            ),
            20_000,
        ),
    ] {
        let loaded = read(format, feed.into_bytes());
        assert_eq!(
            loaded.products.len(),
            products,
            "{format}: {:?}",
            loaded.rejects.first()
        );
        assert!(
            loaded
                .rejects
                .iter()
                .all(|reject| reject.reason.chars().count() <= 402)
        );
    }
}

#[test]
fn damage_that_was_found_by_fuzzing_costs_itself() {
    // Two spaces, with a control character between them.
    let feed = "id\ttitle\tlink\tprice\n1\tA \u{2} B\thttps://x/\t1\n"
        .as_bytes()
        .to_vec();
    let loaded = read(Format::Merchant, feed);
    assert_eq!(loaded.products[0].0.title, "A B");
    // An end that is none, and an item in it.
    let feed =
        "<rss><item><id>1</id><title>A</title></item <item><id>2</id><title>B</title></item></rss>";
    let loaded = read(Format::Merchant, feed.as_bytes().to_vec());
    let ids: Vec<&str> = loaded
        .products
        .iter()
        .map(|(product, _)| product.id.as_str())
        .collect();
    assert!(ids.contains(&"2"), "{ids:?} {:?}", loaded.rejects);
}
