//! An index at rest: written whole or not at all, and read only when every byte is what was
//! written.
//!
//! A folder holds two files:
//!
//! - `graph-DIGEST.usearch`: the vectors and the graph, named by the first 16 digits of its sha256;
//! - `index.head`: what they are of, and everything else. Layout: the 8 bytes of [`MAGIC`]; the
//!   length of the header (u32); the header (JSON, [`Head`]); the product keys (u32 each,
//!   ascending); the bitmaps of the attributes' values in the header's order (Roaring's portable
//!   format); the sha256 of everything before it. Numbers are little endian.
//!
//! The graph is written first, under a temporary name, synced and renamed; then the head likewise.
//! The rename of the head is the moment from which the new snapshot counts: killed before it, the
//! old one still does. What a killed save leaves behind is swept away by the next one.
//!
//! A snapshot that is damaged, cut short or of something else is [`Unusable`]: the caller rebuilds.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::filter::{AttributeTable, Carriers};
use super::index::{self, Index};
use super::{IndexVersion, SearchError};
use crate::domain::{AttributeName, ModelId, ProductKey};

/// The last byte is the format's version.
const MAGIC: &[u8; 8] = b"AGLETIX1";
const HEAD: &str = "index.head";
const TEMPORARY: &str = ".tmp";

/// What a snapshot is made of.
pub(super) struct Parts<'a> {
    pub version: &'a IndexVersion,
    pub keys: &'a [ProductKey],
    pub index: &'a Index,
    pub attributes: &'a AttributeTable,
}

/// What a snapshot gives back.
pub(super) struct Restored {
    pub keys: Vec<ProductKey>,
    pub index: Index,
    pub attributes: AttributeTable,
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
    Index(#[from] index::IndexError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

#[derive(Serialize, Deserialize)]
struct Head {
    catalog: u64,
    model: ModelId,
    words_percent: u8,
    dimensions: usize,
    count: usize,
    /// Of usearch: its files are not promised to be read by another version.
    library: String,
    graph_bytes: u64,
    graph_sha256: String,
    attributes: Vec<HeadAttribute>,
}

#[derive(Serialize, Deserialize)]
struct HeadAttribute {
    name: AttributeName,
    values: Vec<HeadValue>,
}

#[derive(Serialize, Deserialize)]
struct HeadValue {
    folded: String,
    spelling: String,
    /// Length of its bitmap.
    bytes: usize,
}

/// Writes `parts` to `folder`, in place of what was there.
///
/// # Errors
/// When the folder cannot be written to; what was there before still counts then.
pub(super) fn save(folder: &Path, parts: &Parts<'_>) -> Result<(), SearchError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SearchError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    sweep(folder, |name| name.ends_with(TEMPORARY));

    let temporary = folder.join(format!("graph{TEMPORARY}"));
    parts.index.save(&temporary)?;
    // Opened for writing: on some systems only such a handle can be synced.
    let file = File::options()
        .read(true)
        .write(true)
        .open(&temporary)
        .map_err(io(&temporary))?;
    file.sync_all().map_err(io(&temporary))?;
    let (graph_bytes, graph_sha256) = digest(file).map_err(io(&temporary))?;
    let graph = folder.join(graph_name(&graph_sha256));
    fs::rename(&temporary, &graph).map_err(io(&graph))?;

    let head = head_bytes(parts, graph_bytes, graph_sha256).map_err(io(folder))?;
    let temporary = folder.join(format!("{HEAD}{TEMPORARY}"));
    write_synced(&temporary, &head).map_err(io(&temporary))?;
    // The graph's name must be on disk before the head that speaks of it.
    sync_folder(folder).map_err(io(folder))?;
    fs::rename(&temporary, folder.join(HEAD)).map_err(io(folder))?;
    sync_folder(folder).map_err(io(folder))?;

    sweep(folder, |name| {
        name.starts_with("graph-") && Some(name) != graph.file_name().and_then(|n| n.to_str())
    });
    Ok(())
}

/// Reads the snapshot in `folder` when it is whole, of `version` and of `dimensions`.
pub(super) fn restore(
    folder: &Path,
    version: &IndexVersion,
    dimensions: usize,
) -> Result<Restored, Unusable> {
    let path = folder.join(HEAD);
    let bytes = fs::read(&path).map_err(unreadable(&path))?;
    let (head, mut rest) = parse_head(&bytes)?;
    let other = |what| Err(Unusable::Other { what });
    if head.model != version.model {
        return other("model");
    }
    if head.catalog != version.catalog {
        return other("state of the catalog");
    }
    if head.words_percent != version.words_percent {
        return other("share of words");
    }
    if head.dimensions != dimensions {
        return other("number of dimensions");
    }
    if head.library != index::library_version() {
        return other("version of usearch");
    }
    let keys = parse_keys(&mut rest, head.count)?;
    let attributes = parse_attributes(&mut rest, head.attributes, head.count)?;

    let path = folder.join(graph_name(&head.graph_sha256));
    let file = File::open(&path).map_err(unreadable(&path))?;
    let (length, sha256) = digest(file).map_err(unreadable(&path))?;
    if length != head.graph_bytes || sha256 != head.graph_sha256 {
        return Err(Unusable::Damaged {
            what: "the graph's file",
        });
    }
    let index = Index::load(&path, dimensions, head.count)?;
    Ok(Restored {
        keys,
        index,
        attributes,
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

fn head_bytes(parts: &Parts<'_>, graph_bytes: u64, graph_sha256: String) -> io::Result<Vec<u8>> {
    let mut attributes = Vec::new();
    let mut bitmaps = Vec::new();
    for (name, values) in &parts.attributes.0 {
        let mut of_name = HeadAttribute {
            name: name.clone(),
            values: Vec::with_capacity(values.len()),
        };
        for (folded, Carriers { spelling, slots }) in values {
            let bytes = slots.serialized_size();
            slots.serialize_into(&mut bitmaps)?;
            of_name.values.push(HeadValue {
                folded: folded.clone(),
                spelling: spelling.clone(),
                bytes,
            });
        }
        attributes.push(of_name);
    }
    let head = serde_json::to_vec(&Head {
        catalog: parts.version.catalog,
        model: parts.version.model.clone(),
        words_percent: parts.version.words_percent,
        dimensions: parts.index.dimensions(),
        count: parts.keys.len(),
        library: index::library_version().to_owned(),
        graph_bytes,
        graph_sha256,
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
    bytes.extend(bitmaps);
    let sha256 = Sha256::digest(&bytes);
    bytes.extend(sha256);
    Ok(bytes)
}

/// The header, and the bytes between it and the digest.
fn parse_head(bytes: &[u8]) -> Result<(Head, &[u8]), Unusable> {
    let damaged = Unusable::Damaged { what: HEAD };
    let Some((content, sha256)) = bytes.split_last_chunk::<32>() else {
        return Err(damaged);
    };
    if Sha256::digest(content)[..] != sha256[..] {
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

fn parse_attributes(
    rest: &mut &[u8],
    heads: Vec<HeadAttribute>,
    count: usize,
) -> Result<AttributeTable, Unusable> {
    let damaged = || Unusable::Damaged { what: "a bitmap" };
    let mut table = AttributeTable::default();
    for attribute in heads {
        let values = table.0.entry(attribute.name).or_default();
        for HeadValue {
            folded,
            spelling,
            bytes,
        } in attribute.values
        {
            let (bitmap, after) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
            *rest = after;
            let slots = RoaringBitmap::deserialize_from(bitmap).map_err(|_| damaged())?;
            if slots.max().is_some_and(|slot| slot as usize >= count) {
                return Err(damaged());
            }
            values.insert(folded, Carriers { spelling, slots });
        }
    }
    if rest.is_empty() {
        Ok(table)
    } else {
        Err(damaged())
    }
}

/// Length and sha256 of a file, read in pieces: it may be as large as the memory that is left.
fn digest(mut file: File) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        hasher.update(&piece[..read]);
    }
    let hex = hasher
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
            }
            hex
        });
    Ok((length, hex))
}

fn graph_name(sha256: &str) -> String {
    format!("graph-{}.usearch", sha256.get(..16).unwrap_or(sha256))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "a stale file of the index stays");
        }
    }
}
