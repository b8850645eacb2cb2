//! A data folder becomes a backup.
//!
//! The database is copied by SQLite itself (`VACUUM INTO`): one state of it, whatever is written
//! meanwhile, and without the room of deleted rows. Uploads are copied after it, so that each one
//! that the copy names is there.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::error::BackupError;
use super::manifest::{FORMAT, FileEntry, Manifest, NAME, PICTURES};
use crate::catalog::error::CatalogError;
use crate::catalog::media::upload::{self, IMPORTED, UPLOADS};
use crate::catalog::media::{PicturePlace, read};
use crate::catalog::store::{FILE, as_it_is};
use crate::util::blocking::blocking;
use crate::util::digest::hex;

/// The migration since which pictures are a table of their own, and there are uploads.
const PICTURES_TABLE: i64 = 6;
/// Read and written at a time.
const PIECE: usize = 1 << 20;

#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions {
    /// With the pictures that the shop keeps elsewhere.
    pub pictures: bool,
    /// Pictures that came over HTTP are not in the data folder, and so not in the backup.
    pub kept_elsewhere: bool,
    /// Replace a file of this name.
    pub force: bool,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    pub products: u64,
    pub uploads: u64,
    pub pictures: u64,
    /// Pictures that should be in it and could not be read.
    pub missing: u64,
    /// Of the file.
    pub bytes: u64,
}

/// Writes a backup of the catalog in the folder `data` to the file `to`. A service and an import may
/// run beside it.
///
/// # Errors
/// [`BackupError`]; there is no file then, or the one that was there before.
pub async fn back_up(
    data: &Path,
    to: &Path,
    options: BackupOptions,
) -> Result<Backup, BackupError> {
    if !data.join(FILE).is_file() {
        return Err(BackupError::NoCatalog(data.to_owned()));
    }
    if to.is_dir() {
        return Err(BackupError::Folder(to.to_owned()));
    }
    if to.exists() && !options.force {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let data = data.canonicalize().map_err(BackupError::io(data))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    // Both are removed in whatever way this ends, but for a kill.
    let temporary = tempfile::Builder::new()
        .prefix(".aglet-backup-")
        .tempdir_in(&folder)
        .map_err(BackupError::io(&folder))?;
    let copy = temporary.path().join(FILE);
    let (schema, products) = copy_database(&data, &copy).await?;
    if options.pictures && schema < PICTURES_TABLE {
        return Err(BackupError::OldPictures(data));
    }
    let outside = if options.pictures {
        move_pictures(&data, &copy).await?
    } else {
        Vec::new()
    };
    let named = if schema < PICTURES_TABLE || options.kept_elsewhere {
        Vec::new()
    } else {
        uploads_of(&copy).await?
    };
    let manifest = Manifest {
        format: FORMAT,
        aglet: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        products,
        files: Vec::new(),
    };
    let (to, force) = (to.to_owned(), options.force);
    blocking(move || {
        let mut archive = Archive::begin(&folder, manifest)?;
        archive.add(FILE, File::open(&copy).map_err(BackupError::io(&copy))?)?;
        let (uploads, lost) = add_uploads(&mut archive, &data, &named)?;
        let (pictures, missing) = add_pictures(&mut archive, &outside)?;
        let bytes = archive.end(&to, force)?;
        drop(temporary);
        Ok(Backup {
            products,
            uploads,
            pictures,
            missing: missing + lost,
            bytes,
        })
    })
    .await?
}

/// Copies the database to `copy`; the last migration of it, and how many products it has.
async fn copy_database(data: &Path, copy: &Path) -> Result<(i64, u64), BackupError> {
    let (mut database, schema) = as_it_is::open(data).await?;
    let error = |error: sqlx::Error| -> BackupError {
        match as_it_is::error(error, copy) {
            CatalogError::Full { path } => BackupError::Full(path),
            other => other.into(),
        }
    };
    sqlx::query("VACUUM INTO ?")
        .bind(copy.to_string_lossy().into_owned())
        .execute(&mut database)
        .await
        .map_err(error)?;
    database.close().await.map_err(error)?;
    let mut copied = as_it_is::open_file(copy).await.map_err(error)?;
    let products: i64 = sqlx::query_scalar("SELECT count(*) FROM products")
        .fetch_one(&mut copied)
        .await
        .map_err(error)?;
    copied.close().await.map_err(error)?;
    Ok((schema, products.unsigned_abs()))
}

/// The uploads that a database names, by their paths in the data folder.
async fn uploads_of(copy: &Path) -> Result<Vec<String>, BackupError> {
    let read = async {
        let mut database = as_it_is::open_file(copy).await?;
        let uploads = sqlx::query_scalar("SELECT DISTINCT file FROM pictures WHERE root IN (?, ?)")
            .bind(UPLOADS)
            .bind(IMPORTED)
            .fetch_all(&mut database)
            .await?;
        database.close().await?;
        Ok(uploads)
    };
    read.await.map_err(|e| as_it_is::error(e, copy).into())
}

/// A picture that is no upload, or an archive of them: what it is opened by, and its path in the backup.
type Outside = (PicturePlace, String);

/// Writes into the copied database that the pictures are in the data folder, where a restore puts
/// them; gives those that are to be put there.
async fn move_pictures(data: &Path, copy: &Path) -> Result<Vec<Outside>, BackupError> {
    let moved = async {
        let mut database = as_it_is::open_file(copy).await?;
        let moved = rewrite(data, &mut database).await?;
        database.close().await?;
        Ok(moved)
    };
    moved.await.map_err(|e| as_it_is::error(e, copy).into())
}

async fn rewrite(
    data: &Path,
    database: &mut SqliteConnection,
) -> Result<Vec<Outside>, sqlx::Error> {
    let sql = "SELECT product, number, file, member, root FROM pictures
               WHERE file IS NOT NULL AND root IS NOT ? AND root IS NOT ? ORDER BY product, number";
    let rows = sqlx::query(sql)
        .bind(UPLOADS)
        .bind(IMPORTED)
        .fetch_all(&mut *database)
        .await?;
    let mut folders: HashMap<PathBuf, usize> = HashMap::new();
    let mut moved: HashMap<String, Outside> = HashMap::new();
    let mut change = database.begin().await?;
    for row in rows {
        let file: String = row.try_get("file")?;
        let member: Option<String> = row.try_get("member")?;
        let root: Option<String> = row.try_get("root")?;
        let path = data.join(file);
        let folder = match root.map(|root| data.join(root)) {
            Some(root) if path.starts_with(&root) => root,
            _ => path.parent().unwrap_or(data).to_owned(),
        };
        let name = path.strip_prefix(&folder).unwrap_or(&path).to_owned();
        let number = folders.len() + 1;
        let number = *folders.entry(folder.clone()).or_insert(number);
        let new_root = format!("{PICTURES}/{number}");
        let new_file = format!("{new_root}/{}", name.display());
        let sql = "UPDATE pictures SET file = ?, root = ? WHERE product = ? AND number = ?";
        sqlx::query(sql)
            .bind(&new_file)
            .bind(member.is_none().then_some(&new_root))
            .bind(row.try_get::<i64, _>("product")?)
            .bind(row.try_get::<i64, _>("number")?)
            .execute(&mut *change)
            .await?;
        let place = match member {
            Some(member) => PicturePlace::Zip {
                archive: path,
                member,
            },
            None => PicturePlace::File { folder, name },
        };
        moved.insert(new_file.clone(), (place, new_file));
    }
    change.commit().await?;
    let mut moved: Vec<Outside> = moved.into_values().collect();
    moved.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    Ok(moved)
}

/// How many, and how many of those that the database names are not there.
fn add_uploads(
    archive: &mut Archive,
    data: &Path,
    named: &[String],
) -> Result<(u64, u64), BackupError> {
    let mut added = 0;
    for path in upload::all(data)? {
        let Ok(below) = path.strip_prefix(data) else {
            continue;
        };
        match File::open(&path) {
            Ok(file) => archive.add(&below.to_string_lossy(), file)?,
            // Swept meanwhile: no product shows it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(BackupError::io(&path)(error)),
        }
        added += 1;
    }
    let files = archive.manifest.files.iter();
    let there: HashSet<&str> = files.map(|file| file.path.as_str()).collect();
    let lost = named.iter().filter(|path| !there.contains(path.as_str()));
    Ok((added, lost.count() as u64))
}

/// How many, and how many could not be read.
fn add_pictures(archive: &mut Archive, outside: &[Outside]) -> Result<(u64, u64), BackupError> {
    let (mut added, mut missing) = (0, 0);
    for (place, name) in outside {
        let opened = match place {
            PicturePlace::File { .. } => {
                read::open(place).map(|opened| opened.map(|(file, ..)| file))
            }
            PicturePlace::Zip { archive, .. } => open_archive(archive),
        };
        match opened {
            Ok(Some(file)) => {
                archive.add(name, file)?;
                added += 1;
            }
            Ok(None) => missing += 1,
            Err(error) => {
                tracing::warn!(%error, "a picture is not in the backup");
                missing += 1;
            }
        }
    }
    Ok((added, missing))
}

/// An archive of pictures, whole; `None` when it is not there, or is something else.
fn open_archive(path: &Path) -> Result<Option<File>, CatalogError> {
    if !path.is_file() {
        return Ok(None);
    }
    let file = File::open(path).map_err(|e| CatalogError::io(path, e))?;
    Ok(Some(file))
}

/// The archive, under a temporary name.
struct Archive {
    file: PathBuf,
    folder: PathBuf,
    zip: ZipWriter<BufWriter<NamedTempFile>>,
    manifest: Manifest,
}

impl Archive {
    fn begin(folder: &Path, manifest: Manifest) -> Result<Self, BackupError> {
        let file = tempfile::Builder::new()
            .prefix(".aglet-backup-")
            .tempfile_in(folder)
            .map_err(BackupError::io(folder))?;
        Ok(Self {
            file: file.path().to_owned(),
            folder: folder.to_owned(),
            zip: ZipWriter::new(BufWriter::with_capacity(PIECE, file)),
            manifest,
        })
    }

    fn start(&mut self, name: &str) -> Result<(), BackupError> {
        // Pictures are compressed already.
        let options = if name.starts_with(UPLOADS) || name.starts_with(PICTURES) {
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
        } else {
            SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .compression_level(Some(1))
        };
        let started = self.zip.start_file(name, options.large_file(true));
        started.map_err(|e| BackupError::io(&self.folder)(e.into()))
    }

    fn add(&mut self, name: &str, mut from: File) -> Result<(), BackupError> {
        let modified = from.metadata().and_then(|data| data.modified());
        let modified = modified.map_err(BackupError::io(name.as_ref()))?;
        self.start(name)?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
        loop {
            let read = from
                .read(&mut piece)
                .map_err(BackupError::io(name.as_ref()))?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            bytes += read as u64;
            let written = self.zip.write_all(&piece[..read]);
            written.map_err(BackupError::io(&self.folder))?;
        }
        self.manifest.files.push(FileEntry {
            path: name.to_owned(),
            bytes,
            sha256: hex(&hash.finalize()),
            modified: modified
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO),
        });
        Ok(())
    }

    /// Writes the manifest, and gives the archive its name; its length.
    fn end(mut self, to: &Path, force: bool) -> Result<u64, BackupError> {
        let manifest = serde_json::to_vec_pretty(&self.manifest).map_err(io::Error::from);
        let manifest = manifest.map_err(BackupError::io(&self.file))?;
        self.start(NAME)?;
        let io = || BackupError::io(&self.folder);
        self.zip.write_all(&manifest).map_err(io())?;
        let buffered = self.zip.finish().map_err(|e| io()(e.into()))?;
        let file = buffered.into_inner().map_err(|e| io()(e.into_error()))?;
        file.as_file().sync_all().map_err(io())?;
        let bytes = file.as_file().metadata().map_err(io())?.len();
        let named = if force {
            file.persist(to)
        } else {
            file.persist_noclobber(to)
        };
        named.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => BackupError::io(to)(error.error),
        })?;
        let folder = fs::File::open(&self.folder);
        folder.and_then(|folder| folder.sync_all()).map_err(io())?;
        Ok(bytes)
    }
}
