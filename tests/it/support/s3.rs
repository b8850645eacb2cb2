//! A real server that speaks S3, moto's, that `make s3` has fetched.
//!
//! It keeps everything in memory, and does not look at signatures: what is not signed at all it
//! refuses, unless the bucket is made public.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::skipped::skipped;

const PATIENCE: Duration = Duration::from_mins(1);

/// A server, gone when dropped.
pub struct S3 {
    folder: TempDir,
    child: Child,
    port: u16,
    agent: ureq::Agent,
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".s3/venv/bin/python")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl S3 {
    /// Without it the test is noted as skipped.
    pub fn start(test: &str) -> Option<Self> {
        Self::begin(test, None)
    }

    /// By TLS, with this certificate and this key.
    pub fn start_secure(test: &str, certificate: &Path, key: &Path) -> Option<Self> {
        Self::begin(test, Some((certificate, key)))
    }

    fn begin(test: &str, tls: Option<(&Path, &Path)>) -> Option<Self> {
        if !python().with_file_name("moto_server").is_file() {
            skipped(test, "no server of S3: `make s3` fetches it");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut command = Command::new(python());
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/serve.py"))
            .arg(port.to_string())
            .current_dir(folder.path());
        if let Some((certificate, key)) = tls {
            command.arg(certificate).arg(key);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let server = Self {
            folder,
            child,
            port,
            agent: agent.build().into(),
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "it does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        self.put(name, "");
    }

    /// Lets everybody read a bucket.
    pub fn open(&self, bucket: &str) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{bucket}/*")}]});
        self.put(&format!("{bucket}?policy"), &policy.to_string());
    }

    /// Writes an object, or what else a path stands for.
    pub fn put(&self, path: &str, body: &str) {
        let url = format!("{}/{path}", self.url());
        let put = self.agent.put(url).send(body).expect("answers");
        assert!(put.status().is_success(), "{path}: {}", put.status());
    }

    /// The keys of a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let url = format!("{}/{bucket}?list-type=2", self.url());
        // It is enough to seem to be somebody.
        let signed = "AWS4-HMAC-SHA256 Credential=a/20261130/us-east-1/s3/aws4_request, \
                      SignedHeaders=host, Signature=b";
        let list = self.agent.get(url).header("authorization", signed);
        let mut listed = list.call().expect("answers");
        let text = listed.body_mut().read_to_string().expect("text");
        let keys = text.split("<Key>").skip(1);
        let keys = keys.filter_map(|rest| rest.split_once("</Key>"));
        let mut keys: Vec<String> = keys.map(|(key, _)| key.to_owned()).collect();
        keys.sort_unstable();
        keys
    }

    /// What is written from now on was written so many seconds ago.
    pub fn age(&self, seconds: u64) {
        std::fs::write(self.folder.path().join("age"), seconds.to_string()).expect("written");
    }

    /// It takes connections and says nothing.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("sh").success());
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a server that can be cut.
pub struct Way {
    pub port: u16,
    open: Arc<AtomicBool>,
}

impl Way {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = listener.local_addr().expect("an address").port();
        let open = Arc::new(AtomicBool::new(true));
        let passes = open.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let to = TcpStream::connect(("127.0.0.1", port));
                if let (true, Ok(to)) = (passes.load(Ordering::SeqCst), to) {
                    pass(&from, &to);
                    pass(&to, &from);
                }
            }
        });
        Self { port: here, open }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Who connects from now on is left alone.
    pub fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn pass(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a handle");
    let mut to = to.try_clone().expect("a handle");
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.flush();
        let _ = to.shutdown(Shutdown::Write);
    });
}
