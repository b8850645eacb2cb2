//! A backup becomes a data folder.
//!
//! Everything is written below `restoring/` in the folder and moved to its place once all of it is
//! there and right, the database last: a restore that was killed leaves a folder that no service
//! starts in. The folder itself is not renamed, because it may be a mounted volume.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use super::error::BackupError;
use super::manifest::{FORMAT, Manifest, NAME};
use crate::catalog::error::CatalogError;
use crate::catalog::store::{FILE, RESTORING, schema};
use crate::util::blocking::blocking;
use crate::util::digest::hex;
use crate::util::owner::leave_to_folder;

/// A manifest of more bytes is none: some 200 a file.
const LARGEST_MANIFEST: u64 = 1 << 30;
/// Made by whoever makes a file system, and in an empty one too.
const LOST_AND_FOUND: &str = "lost+found";
const PIECE: usize = 1 << 20;

/// Puts the backup `from` into the folder `data`, which is made, or is empty; how many products it has.
///
/// # Errors
/// [`BackupError`]; the folder is then what it was before.
pub async fn restore(from: &Path, data: &Path) -> Result<u64, BackupError> {
    let (from, data) = (from.to_owned(), data.to_owned());
    blocking(move || {
        let mut backup = Opened::open(&from)?;
        let made = !data.exists();
        fs::create_dir_all(&data).map_err(BackupError::io(&data))?;
        let restored = put(&mut backup, &data);
        if restored.is_err() && made {
            // Only when nothing is in it.
            let _ = fs::remove_dir(&data);
        }
        restored.map(|()| backup.manifest.products)
    })
    .await?
}

fn put(backup: &mut Opened, data: &Path) -> Result<(), BackupError> {
    for entry in data.read_dir().map_err(BackupError::io(data))? {
        let name = entry.map_err(BackupError::io(data))?.file_name();
        if name != LOST_AND_FOUND {
            return Err(BackupError::NotEmpty {
                folder: data.to_owned(),
                entry: name.to_string_lossy().into_owned(),
            });
        }
    }
    let staging = data.join(RESTORING);
    let made = fs::create_dir(&staging).and_then(|()| leave_to_folder(&staging));
    made.map_err(BackupError::io(&staging))?;
    let put = backup
        .extract(&staging)
        .and_then(|()| settle(&staging, data));
    if put.is_err() {
        let _ = fs::remove_dir_all(&staging);
    }
    put
}

/// Moves what is whole to its place, the database last.
fn settle(staging: &Path, data: &Path) -> Result<(), BackupError> {
    let io = || BackupError::io(data);
    let mut names = Vec::new();
    for entry in staging.read_dir().map_err(io())? {
        names.push(entry.map_err(io())?.file_name());
    }
    names.sort_by_key(|name| name == FILE);
    for name in names {
        let place = data.join(&name);
        if name == FILE {
            sync(data).map_err(io())?;
        }
        fs::rename(staging.join(&name), &place).map_err(io())?;
        leave_to_folder(&place).map_err(io())?;
    }
    fs::remove_dir(staging).map_err(io())?;
    sync(data).map_err(io())
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A backup whose manifest was read, and which holds what that names and nothing else.
struct Opened {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    manifest: Manifest,
}

impl Opened {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path))?;
        let none = |reason: String| BackupError::NotABackup {
            path: path.to_owned(),
            reason,
        };
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| none(e.to_string()))?;
        let manifest = manifest(path, &mut zip)?;
        if manifest.format > FORMAT {
            return Err(BackupError::Newer {
                path: path.to_owned(),
                aglet: manifest.aglet,
            });
        }
        let known = schema::known();
        if manifest.schema > known {
            let newer = CatalogError::Newer {
                path: path.to_owned(),
                found: manifest.schema,
                known,
            };
            return Err(newer.into());
        }
        let mut opened = Self {
            path: path.to_owned(),
            zip,
            manifest,
        };
        opened.check_names()?;
        Ok(opened)
    }

    /// Nothing is written before this is through.
    fn check_names(&mut self) -> Result<(), BackupError> {
        let mut named = BTreeSet::from([NAME.to_owned()]);
        for file in &self.manifest.files {
            if !file.is_sound() {
                return Err(self.foreign(&file.path, "it would lie outside the catalog"));
            }
            if !named.insert(file.path.clone()) {
                return Err(self.foreign(&file.path, "the manifest names it twice"));
            }
        }
        if !named.contains(FILE) {
            return Err(self.damaged("it has no database".to_owned()));
        }
        for index in 0..self.zip.len() {
            let looked = self.zip.by_index_raw(index).map(|entry| {
                let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
                (name, !entry.is_dir() && !entry.is_symlink())
            });
            let (name, file) = looked.map_err(|error| self.damaged(error.to_string()))?;
            if !file {
                return Err(self.foreign(&name, "it is a folder or a link"));
            }
            if !named.remove(&name) {
                return Err(self.foreign(&name, "the manifest does not name it"));
            }
        }
        match named.first() {
            None => Ok(()),
            Some(missing) => Err(self.damaged(format!("{missing} is missing"))),
        }
    }

    /// Writes all files below `folder`, each held against its sha256.
    fn extract(&mut self, folder: &Path) -> Result<(), BackupError> {
        let Self {
            path,
            zip,
            manifest,
        } = self;
        let damaged = |what: String| BackupError::Damaged {
            path: path.clone(),
            what,
        };
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for file in &manifest.files {
            let to = folder.join(&file.path);
            let parents = to.ancestors().skip(1);
            for parent in parents.take_while(|parent| *parent != folder) {
                folders.insert(parent.to_owned());
            }
            make_folders(folder, &to).map_err(BackupError::io(&to))?;
            let mut entry = zip
                .by_name(&file.path)
                .map_err(|e| damaged(format!("{}: {e}", file.path)))?;
            let io = || BackupError::io(&to);
            let mut out = File::create_new(&to).map_err(io())?;
            let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0_u64, vec![0; PIECE]);
            loop {
                let read = entry.read(&mut piece);
                let read = read.map_err(|e| damaged(format!("{}: {e}", file.path)))?;
                if read == 0 {
                    break;
                }
                bytes += read as u64;
                if bytes > file.bytes {
                    break;
                }
                hash.update(&piece[..read]);
                out.write_all(&piece[..read]).map_err(io())?;
            }
            if bytes != file.bytes || hex(&hash.finalize()) != file.sha256 {
                return Err(damaged(format!("{} is not what was backed up", file.path)));
            }
            out.set_modified(file.modified()).map_err(io())?;
            out.sync_all().map_err(io())?;
            leave_to_folder(&to).map_err(io())?;
        }
        for made in folders.iter().rev() {
            sync(made).map_err(BackupError::io(made))?;
        }
        sync(folder).map_err(BackupError::io(folder))
    }

    fn foreign(&self, entry: &str, reason: &'static str) -> BackupError {
        BackupError::Foreign {
            path: self.path.clone(),
            entry: entry.to_owned(),
            reason,
        }
    }

    fn damaged(&self, what: String) -> BackupError {
        BackupError::Damaged {
            path: self.path.clone(),
            what,
        }
    }
}

fn manifest(path: &Path, zip: &mut ZipArchive<BufReader<File>>) -> Result<Manifest, BackupError> {
    let none = |reason: &str| BackupError::NotABackup {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let entry = zip.by_name(NAME);
    let entry = entry.map_err(|_| none("it has no manifest.json"))?;
    if entry.size() > LARGEST_MANIFEST {
        return Err(none("its manifest is too large"));
    }
    let mut text = Vec::new();
    let read = entry.take(LARGEST_MANIFEST).read_to_end(&mut text);
    let damaged = |what: String| BackupError::Damaged {
        path: path.to_owned(),
        what,
    };
    read.map_err(|e| damaged(format!("manifest.json: {e}")))?;
    serde_json::from_slice(&text).map_err(|e| damaged(format!("manifest.json: {e}")))
}

/// The folders that `to` is in, below `root`.
fn make_folders(root: &Path, to: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = to.ancestors().skip(1).take_while(|p| *p != root).collect();
    missing.reverse();
    for folder in missing {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                leave_to_folder(folder)?;
            }
        }
    }
    Ok(())
}
