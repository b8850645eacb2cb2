//! What could keep a service from starting or working, found before it does: a [`Finding`] a check,
//! each with what to do.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::Access;
use serde::Serialize;

use crate::catalog::{self, Catalog, Inspected, Pgvector, PictureHosts, PicturesAt, VectorPlace};
use crate::config::Config;
use crate::encode::{Device, EncodeError, Encoder, EncoderOptions, Provider, session};
use crate::http::Bounds;
use crate::model::ModelFolder;
use crate::service::thesaurus::Thesaurus;
use crate::service::{Making, generation, in_use};
use crate::util::blocking::blocking;

/// SQLite needs some of it to open a database at all.
const LEAST_SPACE: u64 = 16 << 20;
/// Beside a saved index, which is written anew before the old one goes.
const SPACE: u64 = 256 << 20;
/// Files that are named in a finding.
const SHOWN: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, and not as well as it might.
    Warning,
    /// A service would not start, or not work.
    Fault,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl fmt::Display) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.to_string(),
            advice: None,
        }
    }

    fn warning(check: &'static str, found: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self {
            verdict: Verdict::Warning,
            advice: Some(advice.to_string()),
            ..Self::ok(check, found)
        }
    }

    /// Of an error, which says what to do itself.
    pub fn fault(check: &'static str, error: impl fmt::Display) -> Self {
        Self {
            verdict: Verdict::Fault,
            ..Self::ok(check, error)
        }
    }

    fn fault_with(
        check: &'static str,
        found: impl fmt::Display,
        advice: impl fmt::Display,
    ) -> Self {
        Self {
            verdict: Verdict::Fault,
            ..Self::warning(check, found, advice)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Fault => "fault",
        };
        write!(f, "{verdict:<8} {:<9} {}", self.check, self.found)?;
        if let Some(advice) = &self.advice {
            write!(f, ": {advice}")?;
        }
        Ok(())
    }
}

/// Whether the files and folders are there that the settings name. Starts and opens nothing.
#[must_use]
pub fn places(config: &Config) -> Vec<Finding> {
    let runtime = match session::find(&config.encoder.runtime) {
        Ok(path) => Finding::ok("runtime", path.display()),
        Err(error) => Finding::fault("runtime", error),
    };
    let model = match ModelFolder::manifest_of(&config.model) {
        Ok(_) => Finding::ok("model", config.model.display()),
        Err(error) => Finding::fault("model", error),
    };
    let mut found = vec![runtime, model, data_folder(&config.data)];
    if let Err(error) = Thesaurus::read(config.language, config.synonyms.clone()) {
        found.push(Finding::fault("synonyms", error));
    }
    found
}

/// Looks at everything that a service with these settings needs, as it would use it, and gives each
/// finding to `found` as soon as it is made. A service may run beside it.
pub async fn examine(config: &Config, mut found: impl FnMut(Finding)) {
    found(Finding::ok("settings", "every value is valid"));
    if let Err(error) = Thesaurus::read(config.language, config.synonyms.clone()) {
        found(Finding::fault("synonyms", error));
    }
    found(address("listen", config.listen));
    if let Some(admin) = config.admin_listen {
        found(address("admin_listen", admin));
    }
    found(open_files(config));
    let model = model(config, &mut found).await;
    let data = data_folder(&config.data);
    let verdict = data.verdict;
    found(data);
    if verdict == Verdict::Fault {
        return;
    }
    found(space(&config.data));
    if verdict == Verdict::Warning {
        return;
    }
    if let Some(owners) = owners(&config.data) {
        found(owners);
    }
    if let Some(pictures) = pictures(config).await {
        found(pictures);
    }
    let database = match catalog::inspect(&config.data, &config.database).await {
        Ok(database) => database,
        Err(error) => return found(Finding::fault("database", error)),
    };
    let Some(database) = database else {
        let advice = "import products, or write them over HTTP";
        return found(Finding::warning("database", "there is none yet", advice));
    };
    let current = database.schema == database.known;
    found(schema(&database));
    if let Some(model) = model.filter(|_| current) {
        for finding in index(config, &model).await {
            found(finding);
        }
    }
}

/// Whether the pictures that are kept can be reached; `None` where they are in the data folder.
async fn pictures(config: &Config) -> Option<Finding> {
    let options = &config.pictures;
    if options.at == PicturesAt::Uploads {
        return None;
    }
    let place = options.at.to_string();
    Some(match catalog::check_pictures(&config.data, options).await {
        Ok(()) => Finding::ok("pictures", format!("{place} answers")),
        Err(error) => {
            let advice = "the service does not start without them: see the setting `pictures`";
            Finding::fault_with("pictures", error, advice)
        }
    })
}

fn address(setting: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("address", format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let advice = "another service cannot start there; one that runs already is no fault";
            Finding::warning("address", format!("{address} is taken"), advice)
        }
        Err(error) => Finding::fault_with(
            "address",
            format!("{address} cannot be listened on ({error})"),
            format!("name another one with the setting {setting}"),
        ),
    }
}

/// The limit is raised as the service raises it.
fn open_files(config: &Config) -> Finding {
    let asked = config.max_connections;
    let possible = Bounds::within_files(asked, config.drain).connections;
    let found = format!("{possible} connections at a time");
    if possible < asked {
        let advice = format!(
            "the limit of open files allows no more, max_connections is {asked}: raise the limit \
             (ulimit -Hn, LimitNOFILE), or lower the setting"
        );
        return Finding::warning("files", found, advice);
    }
    Finding::ok("files", found)
}

/// Runs what blocks; why it did not succeed, in words.
async fn run<T: Send + 'static, E: fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The runtime, the model, what it runs on, and whether it embeds. The model's folder, when it is
/// whole.
async fn model(config: &Config, found: &mut impl FnMut(Finding)) -> Option<ModelFolder> {
    let path = config.encoder.runtime.clone();
    let opened = run(move || {
        session::environment(&path)?;
        session::find(&path)
    });
    let runtime = match opened.await {
        Ok(path) => {
            let text = format!("{} is loaded, and its version fits", path.display());
            found(Finding::ok("runtime", text));
            Some(path)
        }
        Err(error) => {
            found(Finding::fault("runtime", error));
            None
        }
    };
    let path = config.model.clone();
    let folder = match run(move || ModelFolder::open(&path)).await {
        Ok(folder) => folder,
        Err(error) => {
            found(Finding::fault("model", error));
            return None;
        }
    };
    let (name, id) = (&folder.manifest().name, folder.id().short());
    found(Finding::ok("model", format!("{name} ({id}) is whole")));
    if let Some(runtime) = runtime {
        embed(config, &folder, &runtime, found).await;
    }
    Some(folder)
}

async fn embed(
    config: &Config,
    folder: &ModelFolder,
    runtime: &Path,
    found: &mut impl FnMut(Finding),
) {
    // One session of each is enough to see.
    let options = EncoderOptions {
        text_sessions: 1,
        image_sessions: 1,
        ..config.encoder.clone()
    };
    let loaded = folder.clone();
    let encoder = match run(move || Encoder::start(&loaded, &options)).await {
        Ok(encoder) => encoder,
        Err(error) => return found(Finding::fault("device", error)),
    };
    found(device(&encoder, runtime));
    let start = Instant::now();
    found(match encoder.probe().await {
        Ok(()) => {
            let took = start.elapsed().as_millis();
            Finding::ok("embedding", format!("words and a photo in {took} ms"))
        }
        Err(error) => broken(&error),
    });
    encoder.shutdown().await;
}

fn broken(error: &EncodeError) -> Finding {
    let advice = "make the model folder anew, or take another runtime";
    Finding::fault_with("embedding", error, advice)
}

fn device(encoder: &Encoder, runtime: &Path) -> Finding {
    let status = encoder.status();
    let name = match status.provider {
        Provider::Cpu => "the CPU",
        Provider::Cuda => "CUDA",
    };
    match status.fallback {
        Some(reason) if status.asked == Device::Auto && has_cuda(runtime) => {
            let advice = format!("ONNX Runtime for CUDA is there and does not work: {reason}");
            Finding::warning("device", name, advice)
        }
        _ => Finding::ok("device", name),
    }
}

fn has_cuda(runtime: &Path) -> bool {
    let name = format!("{}onnxruntime_providers_cuda", std::env::consts::DLL_PREFIX);
    let library = format!("{name}{}", std::env::consts::DLL_SUFFIX);
    runtime.with_file_name(library).is_file()
}

/// Room for the database's log and for an index that is saved.
fn space(data: &Path) -> Finding {
    let folder = if data.is_dir() {
        data.to_owned()
    } else {
        parent(data)
    };
    let free = match rustix::fs::statvfs(&folder) {
        Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
        Err(error) => {
            let found = format!("{}: {error}", folder.display());
            return Finding::fault("space", found);
        }
    };
    let wanted = SPACE + bytes_below(&data.join("index"));
    let found = format!("{} MB are free", free / 1_000_000);
    let advice = format!(
        "free some, {} MB are needed to save an index",
        wanted.div_ceil(1_000_000)
    );
    match free {
        ..LEAST_SPACE => Finding::fault_with("space", found, advice),
        free if free < wanted => Finding::warning("space", found, advice),
        _ => Finding::ok("space", found),
    }
}

/// Of what cannot be read, nothing.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else {
        return 0;
    };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Whether the files of the folder can be written to; `None` when there are none.
fn owners(data: &Path) -> Option<Finding> {
    let owner = data.metadata().ok()?.uid();
    let (mut closed, mut others, mut all) = (Vec::new(), Vec::new(), 0);
    for entry in data.read_dir().ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        all += 1;
        if rustix::fs::access(entry.path(), Access::WRITE_OK).is_err() {
            closed.push(name);
        } else if entry.metadata().is_ok_and(|file| file.uid() != owner) {
            others.push(name);
        }
    }
    let advice = format!(
        "give all of it to one user: chown -R {owner} {}",
        data.display()
    );
    let shown = |mut names: Vec<String>| {
        names.sort_unstable();
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        names.truncate(SHOWN);
        format!("{}{more}", names.join(", "))
    };
    if !closed.is_empty() {
        let found = format!("{} cannot be written to", shown(closed));
        return Some(Finding::fault_with("owner", found, advice));
    }
    if !others.is_empty() {
        let found = format!("{} belong to another user than their folder", shown(others));
        return Some(Finding::warning("owner", found, advice));
    }
    (all > 0).then(|| Finding::ok("owner", format!("all files are of user {owner}")))
}

fn schema(database: &Inspected) -> Finding {
    let found = format!(
        "{} products in {} MB, whole, schema {}",
        database.products,
        database.bytes.div_ceil(1_000_000),
        database.schema
    );
    if database.schema < database.known {
        let advice = format!(
            "the start brings it to schema {}, which an older version cannot read: make a backup before",
            database.known
        );
        return Finding::warning("database", found, advice);
    }
    Finding::ok("database", found)
}

/// How far the catalog is embedded by the model, and whether the saved index is of both.
async fn index(config: &Config, folder: &ModelFolder) -> Vec<Finding> {
    let making = Making {
        words_percent: config.words_percent,
        language: config.language,
        types: config.types.clone(),
    };
    let look = async {
        let catalog =
            Catalog::open_with(&config.data, &config.database, PictureHosts::default()).await?;
        let pgvector = match config.vectors {
            VectorPlace::Memory => None,
            VectorPlace::Pgvector => {
                catalog.look_at_vectors();
                catalog.pgvector().await?
            }
        };
        let (path, served) = in_use(&catalog, &config.model).await?;
        let chosen = (path != config.model).then(|| ModelFolder::open(&path));
        let folder = match &chosen {
            None => folder,
            Some(Ok(chosen)) => chosen,
            Some(Err(error)) => {
                let advice = "bring it back, or set `model` to another folder than it is now";
                let found = Finding::fault_with("chosen", error, advice);
                return Ok(Err(found));
            }
        };
        let counts = catalog.counts(folder.id()).await?;
        let dimensions = folder.manifest().dimensions;
        let making = making.with_words(served.words_percent);
        let saved = generation::saved(&catalog, folder.id(), dimensions, &making).await?;
        let keys = catalog.api_keys().await?.len();
        catalog.close().await;
        Ok::<_, generation::GenerationError>(Ok((counts, saved, keys, path, pgvector)))
    };
    let (counts, saved, keys, path, pgvector) = match look.await {
        Ok(Ok(found)) => found,
        Ok(Err(finding)) => return vec![finding],
        Err(error) => return vec![Finding::fault("index", error)],
    };
    let all = counts.products;
    let embedded = if counts.pending > 0 {
        let found = format!("{} of {all} products wait for this model", counts.pending);
        Finding::warning(
            "embedded",
            found,
            "the service embeds them, and is ready then",
        )
    } else {
        Finding::ok(
            "embedded",
            format!("nothing of {all} products waits for this model"),
        )
    };
    let index = match saved {
        Some((index, _)) => Finding::ok(
            "index",
            format!("{} products, of this model and database", index.len()),
        ),
        None if all == 0 => Finding::ok("index", "none, and there are no products"),
        None => Finding::warning(
            "index",
            "no saved index fits the model, the database and the settings",
            "the start builds one, and the service is ready then",
        ),
    };
    let mut all = vec![embedded, index, open_to(config, keys)];
    all.extend(pgvector.as_ref().map(vectors));
    if path != config.model {
        let found = format!("{} answers (aglet model status)", path.display());
        all.insert(0, Finding::ok("chosen", found));
    }
    all
}

/// Whether the server can keep vectors.
fn vectors(found: &Pgvector) -> Finding {
    match (&found.installed, &found.available) {
        (Some(version), _) => Finding::ok("vectors", format!("pgvector {version}")),
        (None, Some(version)) => {
            let found = format!("pgvector {version} can be made, and is not yet");
            let advice = "the first start makes it (CREATE EXTENSION vector), if its user may";
            Finding::warning("vectors", found, advice)
        }
        (None, None) => {
            let advice = "install pgvector on the server, or set vectors = memory";
            Finding::fault_with("vectors", "the server has no pgvector", advice)
        }
    }
}

/// Who may do what without a key.
fn open_to(config: &Config, keys: usize) -> Finding {
    let others = |address: &SocketAddr| !address.ip().is_loopback();
    if keys > 0 {
        return Finding::ok("keys", format!("{keys}"));
    }
    let advice = "make one with `aglet key create`";
    if config.admin_listen.as_ref().is_some_and(others) {
        let found = "there are none: whoever reaches the admin listener may write";
        return Finding::warning("keys", found, advice);
    }
    if others(&config.listen) {
        let found = "there are none: whoever reaches the service may search";
        return Finding::warning("keys", found, advice);
    }
    Finding::ok(
        "keys",
        "there are none, and none but this machine is listened to",
    )
}

/// Whether the data folder is there, or can be made, and can be written to.
fn data_folder(data: &Path) -> Finding {
    let shown = data.display();
    let (folder, made) = if data.exists() {
        (data.to_owned(), false)
    } else {
        (parent(data), true)
    };
    if !folder.is_dir() {
        let found = if made {
            format!("neither {shown} nor its parent is there")
        } else {
            format!("{shown} is no folder")
        };
        return Finding::fault_with("data", found, "make it, or name another one with --data");
    }
    if let Err(error) = rustix::fs::access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
        let user = rustix::process::geteuid().as_raw();
        let found = format!(
            "{} cannot be written to by user {user} ({error})",
            folder.display()
        );
        let advice = if error == rustix::io::Errno::ROFS {
            "mount it so that it can be written to"
        } else {
            "give it to the user that the service runs as, or run the service as its owner"
        };
        return Finding::fault_with("data", found, advice);
    }
    if made {
        let advice = "the first start makes it, empty; look whether its name is right";
        return Finding::warning("data", format!("{shown} is not there"), advice);
    }
    Finding::ok("data", shown)
}

/// The folder that a path is in.
fn parent(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}
