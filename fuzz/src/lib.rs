//! What must hold of every feed, whatever its bytes are: reading it does not panic, takes memory in
//! proportion to the input, says the lines of what was not taken, and gives products as the catalog
//! wants them, the same each time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aglet::catalog::source::{Format, Loaded, Mapping, Source, load_bytes};
use aglet::domain::text::{clean, decoded, folded, plain_text};
use aglet::domain::{MOST_PICTURES, Money, Product};
use flate2::read::MultiGzDecoder;

/// Counts the bytes that are held: libFuzzer's own limit of one allocation needs AddressSanitizer.
struct Counted;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn held(more: usize) {
    let now = HELD.fetch_add(more, Relaxed) + more;
    MOST.fetch_max(now, Relaxed);
}

// SAFETY: every call is the system's own with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        held(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        held(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Bytes that reading a feed may hold at once, beside those that grow with the feed.
const LEAST: usize = 4 << 20;
/// Bytes for each byte of a feed: products of one letter have many fields.
const EACH: usize = 512;
/// A reason names what is wrong; it does not repeat the feed.
const LONGEST_REASON: usize = 2_000;

/// The mapping of the fixtures.
#[must_use]
pub fn mapping() -> Mapping {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/it/feeds/mapping.toml"
    );
    Mapping::read(path.as_ref()).expect("the mapping of the fixtures")
}

/// Reads a feed and checks what comes out; `None`: in the format that is recognized.
///
/// # Panics
/// When something does not hold.
pub fn feed(bytes: &[u8], format: Option<Format>, mapping: Option<&Mapping>) {
    let Some(text) = unpacked(bytes) else { return };
    let source = Source {
        // Pictures are meant from there: no folder is opened.
        address: Some("https://shop.example/feeds/feed".to_owned()),
        format,
        mapping: mapping.cloned(),
        ..Source::default()
    };
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let loaded = load_bytes(&source, bytes.to_vec());
    let most = MOST.load(Relaxed) - before;
    let may = LEAST + EACH * text.len();
    assert!(
        most <= may,
        "{most} bytes were held for a feed of {}",
        text.len()
    );
    let again = load_bytes(&source, bytes.to_vec());
    match (loaded, again) {
        (Ok(loaded), Ok(again)) => {
            check(&loaded, &text);
            assert!(same(&loaded, &again), "{loaded:?} and then {again:?}");
        }
        (Err(error), Err(again)) => {
            check_reason(&error.to_string());
            assert_eq!(error.to_string(), again.to_string());
        }
        (one, other) => panic!("{one:?} and then {other:?}"),
    }
}

/// What a feed is when it is not packed; `None`: too large to be unpacked here.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    const LARGEST: u64 = 4 << 20;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Some(bytes.to_vec());
    }
    let mut text = Vec::new();
    let mut packed = MultiGzDecoder::new(Cursor::new(bytes)).take(LARGEST);
    // A file that was cut off says so when it is read.
    let _ = packed.read_to_end(&mut text);
    ((text.len() as u64) < LARGEST).then_some(text)
}

fn same(one: &Loaded, other: &Loaded) -> bool {
    let products = |loaded: &Loaded| -> Vec<Product> {
        loaded
            .products
            .iter()
            .map(|(product, _)| product.clone())
            .collect()
    };
    products(one) == products(other) && one.rejects == other.rejects && one.ignored == other.ignored
}

fn check_reason(reason: &str) {
    assert!(!reason.is_empty());
    assert!(
        reason.len() <= LONGEST_REASON,
        "{} bytes: {reason}",
        reason.len()
    );
}

fn check(loaded: &Loaded, text: &[u8]) {
    let lines = 1 + text
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count() as u64;
    for reject in &loaded.rejects {
        assert!(
            (1..=lines).contains(&reject.line),
            "line of {lines}: {reject:?}"
        );
        check_reason(&reject.reason);
        let id = reject.id.as_deref().unwrap_or_default();
        assert!(id.len() <= LONGEST_REASON, "{} bytes of an id", id.len());
    }
    let mut ids = HashSet::new();
    for (product, picture) in &loaded.products {
        assert!(picture.is_none());
        assert!(ids.insert(&product.id), "twice: {}", product.id);
        line(product.id.as_str(), 128);
        line(&product.title, Product::LONGEST_TITLE);
        if let Some(description) = &product.description {
            line(description, Product::LONGEST_DESCRIPTION);
        }
        if let Some(url) = &product.url {
            assert!(!url.is_empty() && url.chars().count() <= Product::LONGEST_URL);
            assert!(!url.contains(char::is_control), "{url:?}");
        }
        for price in [product.price, product.sale_price].into_iter().flatten() {
            assert!(price.is_finite() && price >= 0.0, "{price}");
        }
        for (name, values) in &product.attributes {
            assert!(!values.is_empty(), "{name} has no value");
            let mut folded = HashSet::new();
            for value in values {
                line(value.as_str(), 256);
                assert!(folded.insert(value.folded()), "{name} has {value} twice");
            }
        }
        product.clone().check().expect("a product");
    }
    for (name, field) in &loaded.ignored.0 {
        assert!(
            name.chars().count() <= 64 && field.rows <= lines * u64::from(MOST_PICTURES),
            "{name:?} {field:?}"
        );
    }
}

/// One line of text as the catalog keeps it.
fn line(text: &str, most: usize) {
    assert!(!text.is_empty());
    assert!(text.chars().count() <= most, "{text:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert_eq!(clean(text), text, "not clean: {text:?}");
}

/// Text and prices, as they are made of what shops write.
///
/// # Panics
/// When something does not hold.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let once = clean(&text);
    assert_eq!(clean(&once), once, "cleaned twice: {text:?}");
    assert!(once.len() <= 4 * text.len(), "{text:?}");
    let lower = folded(&once);
    assert_eq!(folded(&lower), lower, "folded twice: {text:?}");
    let plain = clean(&plain_text(&text));
    assert_eq!(clean(&plain), plain, "{text:?}");
    let _ = decoded(&text);
    for decimal in [None, Some('.'), Some(',')] {
        let Some(money) = Money::parse(&text, decimal) else {
            continue;
        };
        assert!(
            money.amount.is_finite() && money.amount >= 0.0,
            "{text:?}: {money:?}"
        );
        if let Some(currency) = &money.currency {
            assert!(currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()));
        }
    }
}
