//! An index at rest: written whole or not at all, and read only when every byte is what was
//! written, by whom it says.
//!
//! Each model has a folder of its own, named by the first 16 digits of its id, so that two services
//! with different models share a data folder without meeting. It holds three files:
//!
//! - `graph-DIGEST.usearch`: the vectors and the graph, named by the first 16 digits of its digest;
//! - `index.head`: what they are of, and everything else. Layout: the 8 bytes of [`MAGIC`]; the
//!   length of the header (u32); the header (JSON, [`Head`]); the product keys (u32 each,
//!   ascending); the bitmaps (Roaring's portable format, each after its length) of the dead slots and
//!   of the stale nodes; the slot of each node, and of each vector that the graph does not hold (u32);
//!   these vectors (bf16); the picture of each vector, slot by slot (u8); the bitmaps of the
//!   attributes' values in the header's order; the prices and the date of each product (f64, f64, i64; not a number and the least
//!   number where there is none); the words (`lexical/stored`); the sha256 of everything before it. Numbers are little
//!   endian;
//! - `save.lock`: held by whoever saves.
//!
//! The graph's digest is a sha256 over what the graph is of (the database, the catalog's state, the
//! model, the share of words, the keys) and then its bytes: a head never fits another one's graph.
//!
//! The graph is written first, under a name that nobody else has, synced and renamed; then the head
//! likewise. The rename of the head is the moment from which the new files count: killed before it,
//! the old ones still do. What a killed save leaves behind is removed by the next one.
//!
//! An index whose vectors are elsewhere has no graph. In the place of what belongs to one, its head has
//! eight bitmaps: for each bit of the number of a slot's vectors the slots that have it.
//!
//! Files that are damaged, cut short or of something else are [`Unusable`]: the caller rebuilds.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::columns::table::{Carriers, Values};
use super::columns::{AttributeTable, Columns};
use super::distant::{self, port::Distant};
use super::graph::{self, Index, Rest};
use super::inner::Content;
use super::lexical::{Language, Lexicon, stored};
use super::place::VectorIndex;
use super::values::{IndexVersion, Saved, SearchError};
use super::vectors::IndexError;
use crate::domain::{AttributeName, ModelId, ProductFields, ProductKey};
use crate::util::digest::{hex, sha256};

/// The last byte is the format's version.
const MAGIC: &[u8; 8] = b"AGLETIX6";
const HEAD: &str = "index.head";
const TEMPORARY: &str = ".tmp";
const LOCK: &str = "save.lock";

/// What a snapshot is made of.
pub(super) struct Parts<'a> {
    pub version: &'a IndexVersion,
    pub saved: &'a Saved,
    pub keys: &'a [ProductKey],
    pub dead: &'a RoaringBitmap,
    pub index: &'a VectorIndex,
    pub columns: &'a Columns,
    pub lexicon: &'a Lexicon,
}

/// What a snapshot gives back.
pub(super) struct Restored {
    pub version: IndexVersion,
    pub saved: Saved,
    pub content: Content,
}

/// Why a snapshot was left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("{what} is damaged")]
    Damaged { what: &'static str },
    #[error("it is of another {what}")]
    Other { what: &'static str },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[derive(Serialize, Deserialize)]
struct Head {
    store: String,
    catalog: u64,
    whole: bool,
    model: ModelId,
    words_percent: u8,
    language: Language,
    dimensions: usize,
    count: usize,
    /// Of the graph.
    nodes: usize,
    /// Vectors that the graph does not hold.
    delta: usize,
    /// Of usearch: its files are not promised to be read by another version.
    library: String,
    /// Whether the vectors are elsewhere.
    #[serde(default)]
    distant: bool,
    graph_bytes: u64,
    graph_digest: String,
    attributes: Vec<HeadAttribute>,
}

impl Head {
    fn version(&self) -> IndexVersion {
        IndexVersion {
            catalog: self.catalog,
            model: self.model.clone(),
            words_percent: self.words_percent,
            language: self.language,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct HeadAttribute {
    name: AttributeName,
    values: Vec<HeadValue>,
}

#[derive(Serialize, Deserialize)]
struct HeadValue {
    folded: String,
    /// Each way to write it, with the length of its bitmap.
    spellings: Vec<(String, usize)>,
    /// Length of the bitmap of all.
    bytes: usize,
}

/// Writes `parts` below `root`, in place of what was there of the same model.
///
/// # Errors
/// When the folder cannot be written to; what was there before still counts then.
pub(super) fn save(root: &Path, parts: &Parts<'_>) -> Result<(), SearchError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SearchError::Io { path, source }
    };
    let folder = root.join(parts.version.model.short());
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    let lock = folder.join(LOCK);
    let alone = File::options()
        .create(true)
        .append(true)
        .open(&lock)
        .map_err(io(&lock))?;
    alone.lock().map_err(io(&lock))?;
    // Nobody else saves now: what is temporary was left behind.
    sweep(&folder, |name| name.ends_with(TEMPORARY));

    let temporary = || {
        tempfile::Builder::new()
            .prefix("graph-")
            .suffix(TEMPORARY)
            .tempfile_in(&folder)
            .map_err(io(&folder))
    };
    let mut graph_file = temporary()?;
    // Empty where the vectors are elsewhere.
    parts.index.save(graph_file.path())?;
    graph_file.as_file().sync_all().map_err(io(&folder))?;
    graph_file.rewind().map_err(io(&folder))?;
    let (graph_bytes, graph_digest) = digest(
        &subject(parts.version, &parts.saved.store, parts.keys),
        graph_file.as_file_mut(),
    )
    .map_err(io(&folder))?;
    let graph = folder.join(graph_name(&graph_digest));
    graph_file
        .persist(&graph)
        .map_err(|error| io(&graph)(error.error))?;

    let head = head_bytes(parts, graph_bytes, graph_digest).map_err(io(&folder))?;
    let mut head_file = temporary()?;
    head_file
        .write_all(&head)
        .and_then(|()| head_file.as_file().sync_all())
        .map_err(io(&folder))?;
    // The graph's name must be on disk before the head that speaks of it.
    sync_folder(&folder).map_err(io(&folder))?;
    head_file
        .persist(folder.join(HEAD))
        .map_err(|error| io(&folder)(error.error))?;
    sync_folder(&folder).map_err(io(&folder))?;

    sweep(&folder, |name| {
        name.starts_with("graph-") && Some(name) != graph.file_name().and_then(|n| n.to_str())
    });
    // Of versions that kept one index for all models.
    sweep(root, |_| true);
    Ok(())
}

/// Reads what was saved below `root` when it is whole, of the model and the share of words of
/// `expected`, of the database `store`, and not of a later state of it.
pub(super) fn restore(
    root: &Path,
    expected: &IndexVersion,
    dimensions: usize,
    store: &str,
    distant: Option<Arc<dyn Distant>>,
) -> Result<Restored, Unusable> {
    let folder = root.join(expected.model.short());
    let path = folder.join(HEAD);
    let bytes = fs::read(&path).map_err(unreadable(&path))?;
    let (head, mut rest) = parse_head(&bytes)?;
    let other = |what| Err(Unusable::Other { what });
    if head.model != expected.model {
        return other("model");
    }
    if head.store != store {
        return other("database");
    }
    if head.catalog > expected.catalog {
        return other("state of the catalog, which is older than it");
    }
    if head.words_percent != expected.words_percent {
        return other("share of words");
    }
    if head.language != expected.language {
        return other("language");
    }
    if head.dimensions != dimensions {
        return other("number of dimensions");
    }
    if head.distant != distant.is_some() {
        return other("place of the vectors");
    }
    if head.library != graph::library_version() {
        return other("version of usearch");
    }
    let version = head.version();
    let saved = Saved {
        store: head.store.clone(),
        whole: head.whole,
    };
    let keys = parse_keys(&mut rest, head.count)?;
    let dead = parse_slots(&mut rest, head.count)?;
    let beside_graph = parse_beside_graph(&mut rest, &head)?;
    let distant = match distant {
        None => None,
        Some(distant) => {
            let mut digits = std::array::from_fn(|_| RoaringBitmap::new());
            for digit in &mut digits {
                *digit = parse_slots(&mut rest, head.count)?;
            }
            Some(distant::index::Index::new(distant, dimensions).restored(digits))
        }
    };
    let attributes = parse_attributes(&mut rest, head.attributes, head.count)?;
    let fields = parse_fields(&mut rest, head.count)?;
    let damaged = || Unusable::Damaged { what: "the words" };
    let lexicon = stored::read(&mut rest, head.language, head.count).ok_or_else(damaged)?;
    if !rest.is_empty() {
        return Err(damaged());
    }

    let path = folder.join(graph_name(&head.graph_digest));
    let mut file = File::open(&path).map_err(unreadable(&path))?;
    let subject = subject(&version, &saved.store, &keys);
    let (length, digest) = digest(&subject, &mut file).map_err(unreadable(&path))?;
    if length != head.graph_bytes || digest != head.graph_digest {
        return Err(Unusable::Damaged {
            what: "the graph's file",
        });
    }
    let count = u32::try_from(head.count).unwrap_or(u32::MAX);
    let index = match distant {
        None => VectorIndex::Here(Index::load(&path, dimensions, count, beside_graph)?),
        Some(index) => VectorIndex::Distant(index),
    };
    Ok(Restored {
        version,
        saved,
        content: Content {
            keys,
            dead,
            index,
            attributes,
            fields,
            lexicon,
        },
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Unusable + '_ {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => Unusable::Missing,
        _ => Unusable::Io {
            path: path.to_owned(),
            source,
        },
    }
}

fn head_bytes(parts: &Parts<'_>, graph_bytes: u64, graph_digest: String) -> io::Result<Vec<u8>> {
    let mut attributes = Vec::new();
    let mut bitmaps = Vec::new();
    for (name, values) in &parts.columns.table().0 {
        let mut of_name = HeadAttribute {
            name: name.clone(),
            values: Vec::with_capacity(values.len()),
        };
        for (folded, carriers) in &**values {
            carriers.slots().serialize_into(&mut bitmaps)?;
            let mut spellings = Vec::new();
            for (spelling, slots) in carriers.spellings() {
                slots.serialize_into(&mut bitmaps)?;
                spellings.push((spelling.clone(), slots.serialized_size()));
            }
            of_name.values.push(HeadValue {
                folded: folded.clone(),
                spellings,
                bytes: carriers.slots().serialized_size(),
            });
        }
        attributes.push(of_name);
    }
    let (beside_graph, digits) = match parts.index {
        VectorIndex::Here(index) => (index.rest(), &[][..]),
        VectorIndex::Distant(index) => (Rest::of_new(0), &index.digits()[..]),
    };
    let head = serde_json::to_vec(&Head {
        store: parts.saved.store.clone(),
        catalog: parts.version.catalog,
        whole: parts.saved.whole,
        model: parts.version.model.clone(),
        words_percent: parts.version.words_percent,
        language: parts.version.language,
        dimensions: parts.index.dimensions(),
        count: parts.keys.len(),
        nodes: beside_graph.slots.len(),
        delta: beside_graph.delta.len(),
        library: graph::library_version().to_owned(),
        distant: matches!(parts.index, VectorIndex::Distant(_)),
        graph_bytes,
        graph_digest,
        attributes,
    })?;
    let length = u32::try_from(head.len())
        .map_err(|_| io::Error::other("the header outgrew its length field"))?;
    let mut bytes = Vec::with_capacity(head.len() + 4 * parts.keys.len() + bitmaps.len() + 64);
    bytes.extend(MAGIC);
    bytes.extend(length.to_le_bytes());
    bytes.extend(head);
    for key in parts.keys {
        bytes.extend(key.0.to_le_bytes());
    }
    let Rest {
        slots,
        stale,
        delta,
        rows,
        pictures,
    } = beside_graph;
    for bitmap in [parts.dead, &stale] {
        write_slots(bitmap, &mut bytes)?;
    }
    let slots = slots.iter().chain(&delta);
    bytes.extend(slots.flat_map(|slot| slot.to_le_bytes()));
    bytes.extend(rows.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(pictures);
    for bitmap in digits {
        write_slots(bitmap, &mut bytes)?;
    }
    bytes.extend(bitmaps);
    for slot in (0..).take(parts.keys.len()) {
        let ProductFields {
            price,
            sale_price,
            created,
        } = parts.columns.fields_of(slot);
        for price in [price, sale_price] {
            bytes.extend(price.unwrap_or(f64::NAN).to_le_bytes());
        }
        bytes.extend(created.unwrap_or(i64::MIN).to_le_bytes());
    }
    stored::write(parts.lexicon, &mut bytes)?;
    let sha256 = sha256(&bytes);
    bytes.extend(sha256);
    Ok(bytes)
}

/// A bitmap after its length.
fn write_slots(bitmap: &RoaringBitmap, bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(bitmap.serialized_size());
    let length = length.map_err(|_| io::Error::other("a bitmap outgrew its length field"))?;
    bytes.extend(length.to_le_bytes());
    bitmap.serialize_into(bytes)
}

/// The header, and the bytes between it and the digest.
fn parse_head(bytes: &[u8]) -> Result<(Head, &[u8]), Unusable> {
    let damaged = Unusable::Damaged { what: HEAD };
    let Some((content, sha256)) = bytes.split_last_chunk::<32>() else {
        return Err(damaged);
    };
    if self::sha256(content) != *sha256 {
        return Err(damaged);
    }
    let Some(content) = content.strip_prefix(MAGIC) else {
        return Err(Unusable::Other { what: "format" });
    };
    let Some((length, content)) = content.split_first_chunk::<4>() else {
        return Err(damaged);
    };
    let Some((head, rest)) = content.split_at_checked(u32::from_le_bytes(*length) as usize) else {
        return Err(damaged);
    };
    serde_json::from_slice(head)
        .map(|head| (head, rest))
        .map_err(|_| damaged)
}

fn parse_keys(rest: &mut &[u8], count: usize) -> Result<Vec<ProductKey>, Unusable> {
    let damaged = Unusable::Damaged {
        what: "the list of keys",
    };
    let Some((keys, after)) = count
        .checked_mul(4)
        .and_then(|length| rest.split_at_checked(length))
    else {
        return Err(damaged);
    };
    *rest = after;
    let (keys, _) = keys.as_chunks::<4>();
    let keys: Vec<_> = keys
        .iter()
        .map(|key| ProductKey(u32::from_le_bytes(*key)))
        .collect();
    if keys.is_sorted_by(|a, b| a < b) {
        Ok(keys)
    } else {
        Err(damaged)
    }
}

/// A bitmap after its length.
fn parse_slots(rest: &mut &[u8], count: usize) -> Result<RoaringBitmap, Unusable> {
    let damaged = || Unusable::Damaged { what: "a bitmap" };
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    *rest = after;
    parse_bitmap(rest, u32::from_le_bytes(*length) as usize, count)
}

/// A bitmap of so many bytes.
fn parse_bitmap(rest: &mut &[u8], bytes: usize, count: usize) -> Result<RoaringBitmap, Unusable> {
    let damaged = || Unusable::Damaged { what: "a bitmap" };
    let (bitmap, after) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
    *rest = after;
    let slots = RoaringBitmap::deserialize_from(bitmap).map_err(|_| damaged())?;
    if slots.max().is_some_and(|slot| slot as usize >= count) {
        return Err(damaged());
    }
    Ok(slots)
}

fn parse_beside_graph(rest: &mut &[u8], head: &Head) -> Result<Rest, Unusable> {
    let damaged = || Unusable::Damaged {
        what: "what is beside the graph",
    };
    let stale = parse_slots(rest, head.nodes)?;
    let mut take = |length: Option<usize>| {
        let (taken, after) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(damaged)?;
        *rest = after;
        Ok::<_, Unusable>(taken)
    };
    let slots = |bytes: &[u8]| {
        let slots = bytes.as_chunks::<4>().0.iter();
        slots.map(|slot| u32::from_le_bytes(*slot)).collect()
    };
    let of_nodes: Vec<u32> = slots(take(head.nodes.checked_mul(4))?);
    let delta: Vec<u32> = slots(take(head.delta.checked_mul(4))?);
    let values = head.delta.checked_mul(head.dimensions);
    let values = take(values.and_then(|values| values.checked_mul(2)))?;
    let values = values.as_chunks::<2>().0.iter();
    // Each vector is that of a node, or of the delta.
    let vectors = usize::try_from(stale.len()).ok();
    let vectors = vectors.and_then(|stale| head.nodes.checked_sub(stale)?.checked_add(head.delta));
    let pictures = take(vectors)?.to_vec();
    Ok(Rest {
        slots: of_nodes,
        stale,
        delta,
        rows: values.map(|value| u16::from_le_bytes(*value)).collect(),
        pictures,
    })
}

fn parse_attributes(
    rest: &mut &[u8],
    heads: Vec<HeadAttribute>,
    count: usize,
) -> Result<AttributeTable, Unusable> {
    let damaged = || Unusable::Damaged { what: "a bitmap" };
    let mut table = AttributeTable::default();
    for attribute in heads {
        let mut values = Values::new();
        for HeadValue {
            folded,
            spellings: of_spellings,
            bytes,
        } in attribute.values
        {
            let slots = parse_bitmap(rest, bytes, count)?;
            let mut spellings = Vec::new();
            for (spelling, bytes) in of_spellings {
                spellings.push((spelling, parse_bitmap(rest, bytes, count)?));
            }
            let carriers = Carriers::restored(slots, spellings).ok_or_else(damaged)?;
            values.insert(folded, Arc::new(carriers));
        }
        table.0.insert(attribute.name, Arc::new(values));
    }
    Ok(table)
}

/// The prices and the date of each product: 24 bytes.
fn parse_fields(rest: &mut &[u8], count: usize) -> Result<Vec<ProductFields>, Unusable> {
    let damaged = Unusable::Damaged { what: "the prices" };
    let Some((fields, after)) = count
        .checked_mul(24)
        .and_then(|length| rest.split_at_checked(length))
    else {
        return Err(damaged);
    };
    *rest = after;
    let (numbers, _) = fields.as_chunks::<8>();
    let (products, _) = numbers.as_chunks::<3>();
    let price = |bytes: [u8; 8]| Some(f64::from_le_bytes(bytes)).filter(|price| price.is_finite());
    let fields = products.iter().map(|[price_of, sale_price, created]| {
        let created = i64::from_le_bytes(*created);
        ProductFields {
            price: price(*price_of),
            sale_price: price(*sale_price),
            created: (created != i64::MIN).then_some(created),
        }
    });
    Ok(fields.collect())
}

/// What a graph is of, as its digest begins.
fn subject(version: &IndexVersion, store: &str, keys: &[ProductKey]) -> Vec<u8> {
    let IndexVersion {
        catalog,
        model,
        words_percent,
        language,
    } = version;
    let keys: Vec<u8> = keys.iter().flat_map(|key| key.0.to_le_bytes()).collect();
    let keys = hex(&sha256(&keys));
    format!("{store}\n{catalog}\n{model}\n{words_percent}\n{language}\n{keys}\n").into_bytes()
}

/// Length of a file, and the sha256 of `subject` and its bytes; read in pieces: it may be as large
/// as the memory that is left.
fn digest(subject: &[u8], file: &mut File) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new_with_prefix(subject);
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((length, hex(&hash.finalize())));
        }
        length += read as u64;
        hash.update(&piece[..read]);
    }
}

fn graph_name(digest: &str) -> String {
    format!("graph-{}.usearch", digest.get(..16).unwrap_or(digest))
}

/// A rename is on disk only once its folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// Removes files of ours that no head speaks of. One that cannot be removed only costs space.
fn sweep(folder: &Path, stale: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let ours = name.starts_with("graph") || name.starts_with(HEAD);
        if ours
            && stale(name)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "a stale file of the index stays");
        }
    }
}
