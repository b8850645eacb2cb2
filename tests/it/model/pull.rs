//! `aglet::model::pull` against a hub on this machine that breaks, lies and redirects.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aglet::model::pull::{Progress, PullError, PullOptions, Token, pull};
use aglet::model::{ExportOptions, export};
use sha2::{Digest, Sha256};

use crate::support::clip::{random_clip, tiny_config};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a server was asked.
#[derive(Clone, Debug, Default)]
struct Seen {
    path: String,
    headers: HashMap<String, String>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Clone, Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection is closed after so many bytes of the body.
    cut: Option<usize>,
}

fn status(status: u16) -> Reply {
    Reply {
        status,
        ..Default::default()
    }
}

/// A server of bare HTTP/1.1, one request a connection: it can break where a well-behaved one would
/// not.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that hangs up early is no failure of the test.
                let _ = serve(&connection, &log, &answer);
            }
        });
        Self { address, seen }
    }

    fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().expect("no panic while held");
        seen.iter()
            .filter(|s| s.path.ends_with(path))
            .cloned()
            .collect()
    }
}

fn serve(
    mut connection: &TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &impl Fn(&Seen) -> Reply,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut seen = Seen {
        path: request.split(' ').nth(1).unwrap_or_default().to_owned(),
        ..Default::default()
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        seen.headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    log.lock().expect("no panic while held").push(seen.clone());
    let reply = answer(&seen);
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    connection.write_all(format!("{head}\r\n").as_bytes())?;
    connection.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])
}

/// A file as a storage server gives it: whole, or from where the client has it.
fn ranged(seen: &Seen, content: &[u8]) -> Reply {
    let Some(start) = seen
        .header("range")
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
    else {
        return Reply {
            status: 200,
            body: content.to_vec(),
            ..Default::default()
        };
    };
    let total = content.len();
    if start >= total {
        return Reply {
            status: 416,
            headers: vec![("Content-Range", format!("bytes */{total}"))],
            ..Default::default()
        };
    }
    let range = format!("bytes {start}-{}/{total}", total - 1);
    Reply {
        status: 206,
        headers: vec![("Content-Range", range)],
        body: content[start..].to_vec(),
        cut: None,
    }
}

/// A small file as the hub gives it.
fn small(content: &[u8]) -> Reply {
    let headers = vec![
        ("ETag", format!("\"{:x}\"", content.len())),
        ("X-Repo-Commit", COMMIT.to_owned()),
    ];
    Reply {
        status: 200,
        headers,
        body: content.to_vec(),
        cut: None,
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        .collect()
}

/// A large file as the hub gives it: elsewhere.
fn linked(content: &[u8], location: String) -> Reply {
    let hash = sha256(content);
    let headers = vec![
        ("X-Linked-Etag", format!("\"{hash}\"")),
        ("X-Linked-Size", content.len().to_string()),
        ("X-Repo-Commit", COMMIT.to_owned()),
        ("Location", location),
    ];
    Reply {
        status: 302,
        headers,
        ..Default::default()
    }
}

/// A checkpoint's files by name.
type Files = Arc<HashMap<String, Vec<u8>>>;

fn checkpoint() -> Files {
    let folder = tempfile::tempdir().expect("temp");
    random_clip(folder.path(), &tiny_config(), 3, "float32");
    let read = |e: fs::DirEntry| {
        (
            e.file_name().to_string_lossy().into_owned(),
            fs::read(e.path()).expect("reads"),
        )
    };
    Arc::new(
        fs::read_dir(folder.path())
            .expect("lists")
            .flatten()
            .map(read)
            .collect(),
    )
}

/// A hub that serves `files` itself, and the weights from `storage`.
fn hub(files: &Files, storage: &Server) -> Server {
    let (files, storage) = (Arc::clone(files), storage.address.clone());
    Server::start(move |seen| {
        let name = seen.path.rsplit('/').next().unwrap_or_default();
        match files.get(name) {
            Some(content) if name == "model.safetensors" => {
                linked(content, format!("{storage}/blob"))
            }
            Some(content) => small(content),
            None => Reply {
                headers: vec![("X-Error-Code", "EntryNotFound".to_owned())],
                ..status(404)
            },
        }
    })
}

fn storage(files: &Files) -> Server {
    let files = Arc::clone(files);
    Server::start(move |seen| ranged(seen, &files["model.safetensors"]))
}

fn options(hub: &Server) -> PullOptions {
    PullOptions {
        endpoint: hub.address.clone(),
        environment_proxy: false,
        attempts: 3,
        backoff: Duration::from_millis(1),
        silence: Duration::from_secs(20),
        ..PullOptions::new("shop/clip")
    }
}

fn run(options: &PullOptions, to: &Path) -> Result<(), PullError> {
    pull(options, to, &mut |_| {})
}

fn assert_whole(to: &Path, files: &Files) {
    for (name, content) in files.iter() {
        assert!(
            fs::read(to.join(name)).expect("there") == *content,
            "{name} differs"
        );
    }
    let left = fs::read_dir(to)
        .expect("lists")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().contains(".part"));
    assert_eq!(left.count(), 0, "parts are left");
}

#[test]
fn a_pulled_checkpoint_is_whole_and_exports() {
    let files = checkpoint();
    let storage = storage(&files);
    let hub = hub(&files, &storage);
    let home = tempfile::tempdir().expect("temp");
    let to = home.path().join("clip");
    let options = PullOptions {
        token: Token::new("hf_secret"),
        revision: "refs/pr/1".to_owned(),
        ..options(&hub)
    };
    let mut last = HashMap::new();
    let mut progress = |at: Progress<'_>| {
        last.insert(at.file.to_owned(), (at.done, at.total));
    };
    pull(&options, &to, &mut progress).expect("pulls");
    assert_whole(&to, &files);
    let size = files["model.safetensors"].len() as u64;
    assert_eq!(last["model.safetensors"], (size, Some(size)));

    // A branch is asked for once; the rest comes from the commit that it was.
    assert_eq!(
        hub.seen("config.json")[0].path,
        "/shop/clip/resolve/refs%2Fpr%2F1/config.json"
    );
    assert_eq!(
        hub.seen("model.safetensors")[0].path,
        format!("/shop/clip/resolve/{COMMIT}/model.safetensors")
    );
    // The token goes to the hub and to nobody else.
    assert!(
        hub.seen("")
            .iter()
            .all(|s| s.header("authorization") == Some("Bearer hf_secret"))
    );
    assert_eq!(storage.seen("/blob")[0].header("authorization"), None);
    assert!(!format!("{options:?}").contains("hf_secret"));

    let folder = export(
        &to,
        &home.path().join("models/clip"),
        &ExportOptions::default(),
        |_| Ok(()),
    )
    .expect("exports");
    let source = &folder.manifest().provenance["source"];
    assert_eq!(
        (source["repository"].as_str(), source["commit"].as_str()),
        (Some("shop/clip"), Some(COMMIT))
    );
}

#[test]
fn what_is_whole_already_is_not_downloaded_again() {
    let files = checkpoint();
    let home = tempfile::tempdir().expect("temp");
    let good = storage(&files);
    run(&options(&hub(&files, &good)), home.path()).expect("pulls");
    let broken = Server::start(|_| Reply {
        body: vec![0; 1000],
        cut: Some(0),
        ..status(200)
    });
    run(&options(&hub(&files, &broken)), home.path()).expect("nothing of the weights is needed");
    assert_whole(home.path(), &files);
}

/// Breaks once after a third of the weights.
#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let files = checkpoint();
    let third = files["model.safetensors"].len() / 3;
    let (content, broken) = (Arc::clone(&files), Mutex::new(false));
    let storage = Server::start(move |seen| {
        let first = !std::mem::replace(&mut *broken.lock().expect("no panic while held"), true);
        Reply {
            cut: first.then_some(third),
            ..ranged(seen, &content["model.safetensors"])
        }
    });
    let home = tempfile::tempdir().expect("temp");
    run(&options(&hub(&files, &storage)), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
    let ranges: Vec<_> = storage
        .seen("/blob")
        .iter()
        .map(|s| s.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, [None, Some(format!("bytes={third}-"))]);
}

#[test]
fn a_download_that_was_given_up_goes_on_in_the_next_run() {
    let files = checkpoint();
    let third = files["model.safetensors"].len() / 3;
    let content = Arc::clone(&files);
    let breaking = Server::start(move |seen| Reply {
        cut: Some(third),
        ..ranged(seen, &content["model.safetensors"])
    });
    let home = tempfile::tempdir().expect("temp");
    let once = PullOptions {
        attempts: 1,
        ..options(&hub(&files, &breaking))
    };
    assert!(matches!(
        run(&once, home.path()),
        Err(PullError::Interrupted { attempts: 1, .. })
    ));
    assert!(!home.path().join("model.safetensors").exists());

    let good = storage(&files);
    run(&options(&hub(&files, &good)), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
    assert_eq!(
        good.seen("/blob")[0].header("range"),
        Some(format!("bytes={third}-").as_str())
    );
}

/// Only the last rename was missing when the first run was killed.
#[test]
fn a_complete_part_only_gets_its_name() {
    let files = checkpoint();
    let (home, good) = (tempfile::tempdir().expect("temp"), storage(&files));
    let weights = home.path().join("model.safetensors");
    run(&options(&hub(&files, &good)), home.path()).expect("pulls");
    let hash = sha256(&files["model.safetensors"]);
    fs::rename(&weights, home.path().join("model.safetensors.part")).expect("renames");
    fs::write(home.path().join("model.safetensors.part.etag"), hash).expect("writes");
    run(&options(&hub(&files, &good)), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
    assert_eq!(good.seen("/blob").len(), 2);
}

#[test]
fn a_part_of_an_older_file_is_thrown_away() {
    let files = checkpoint();
    let (home, good) = (tempfile::tempdir().expect("temp"), storage(&files));
    fs::write(
        home.path().join("model.safetensors.part"),
        b"of another time",
    )
    .expect("writes");
    fs::write(home.path().join("model.safetensors.part.etag"), "another").expect("writes");
    fs::write(home.path().join("config.json.part"), b"of unknown origin").expect("writes");
    run(&options(&hub(&files, &good)), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
}

/// A server that always breaks at the same place and knows no ranges.
#[test]
fn no_progress_ends_the_attempts() {
    let files = checkpoint();
    let content = files["model.safetensors"].clone();
    let storage = Server::start(move |_| Reply {
        body: content.clone(),
        cut: Some(1000),
        ..status(200)
    });
    let home = tempfile::tempdir().expect("temp");
    let error = run(&options(&hub(&files, &storage)), home.path()).expect_err("never whole");
    assert!(
        matches!(error, PullError::Interrupted { attempts: 3, .. }),
        "{error}"
    );
    assert_eq!(storage.seen("/blob").len(), 3);
}

#[test]
fn a_busy_server_is_asked_again() {
    let files = checkpoint();
    let (content, left) = (Arc::clone(&files), Mutex::new(2));
    let storage = Server::start(move |seen| {
        let mut left = left.lock().expect("no panic while held");
        if *left > 0 {
            *left -= 1;
            return status(503);
        }
        ranged(seen, &content["model.safetensors"])
    });
    let home = tempfile::tempdir().expect("temp");
    run(&options(&hub(&files, &storage)), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
}

#[test]
fn damaged_weights_are_refused() {
    let files = checkpoint();
    let mut content = files["model.safetensors"].clone();
    content[5000] ^= 1;
    let storage = Server::start(move |seen| ranged(seen, &content));
    let home = tempfile::tempdir().expect("temp");
    let error = run(&options(&hub(&files, &storage)), home.path()).expect_err("damaged");
    assert!(
        matches!(&error, PullError::Hash { file, .. } if file == "model.safetensors"),
        "{error}"
    );
    let weights = |e: &fs::DirEntry| {
        e.file_name()
            .to_string_lossy()
            .starts_with("model.safetensors")
    };
    assert_eq!(
        fs::read_dir(home.path())
            .expect("lists")
            .flatten()
            .filter(weights)
            .count(),
        0
    );
}

#[test]
fn the_older_tokenizer_files_and_the_newer_processor_file_do() {
    let mut files = checkpoint().as_ref().clone();
    files.remove("tokenizer.json");
    files.insert("vocab.json".to_owned(), b"{}".to_vec());
    files.insert("merges.txt".to_owned(), b"#version: 0.2\n".to_vec());
    let preprocessor = files.remove("preprocessor_config.json").expect("there");
    files.insert("processor_config.json".to_owned(), preprocessor);
    let files = Arc::new(files);
    let home = tempfile::tempdir().expect("temp");
    run(&options(&hub(&files, &storage(&files))), home.path()).expect("pulls");
    assert_whole(home.path(), &files);
}

#[test]
fn what_is_not_there_is_named() {
    let without = |name: &str| {
        let mut files = checkpoint().as_ref().clone();
        files.remove(name);
        let files = Arc::new(files);
        let home = tempfile::tempdir().expect("temp");
        run(&options(&hub(&files, &storage(&files))), home.path()).expect_err("not whole")
    };
    for name in ["config.json", "preprocessor_config.json", "tokenizer.json"] {
        let error = without(name);
        assert!(
            matches!(&error, PullError::NoFile { file, .. } if file == name),
            "{error}"
        );
    }
    assert!(matches!(
        without("model.safetensors"),
        PullError::NoSafetensors { .. }
    ));
}

#[test]
fn refusals_are_told_apart() {
    let answers = |status_code: u16, code: &'static str, token: Option<Token>| {
        let hub = Server::start(move |_| Reply {
            headers: vec![("X-Error-Code", code.to_owned())],
            ..status(status_code)
        });
        let home = tempfile::tempdir().expect("temp");
        let error = run(
            &PullOptions {
                token,
                ..options(&hub)
            },
            home.path(),
        )
        .expect_err("refused");
        assert_eq!(hub.seen("").len(), 1, "asked once: {error}");
        error
    };
    let token = || Token::new("hf_secret");
    assert!(matches!(
        answers(401, "", None),
        PullError::TokenMissing { .. }
    ));
    assert!(matches!(
        answers(401, "", token()),
        PullError::TokenRefused { .. }
    ));
    assert!(matches!(
        answers(401, "GatedRepo", None),
        PullError::Forbidden { .. }
    ));
    assert!(matches!(
        answers(403, "", token()),
        PullError::Forbidden { .. }
    ));
    assert!(matches!(
        answers(404, "RepoNotFound", token()),
        PullError::NoRevision { .. }
    ));
    assert!(matches!(
        answers(404, "RevisionNotFound", None),
        PullError::NoRevision { .. }
    ));
    assert!(matches!(
        answers(418, "", None),
        PullError::Status { status: 418, .. }
    ));
    assert!(matches!(answers(302, "", None), PullError::Redirect { .. }));
    assert!(matches!(
        answers(416, "", None),
        PullError::Status { status: 416, .. }
    ));
    assert!(!answers(401, "", token()).to_string().contains("hf_secret"));
}

#[test]
fn circles_end() {
    let hub = Server::start(|seen| Reply {
        headers: vec![("Location", seen.path.clone())],
        ..status(302)
    });
    let home = tempfile::tempdir().expect("temp");
    assert!(matches!(
        run(&options(&hub), home.path()),
        Err(PullError::Redirect { .. })
    ));
}
