//! A real server of PostgreSQL, that `make postgres` has fetched.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use aglet::catalog::Database;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::skipped::skipped;

/// Who runs a server when the tests are root's: it refuses to be.
const NOBODY: u32 = 65_534;
/// The server whose databases the tests of a child process use: see [`database`].
pub const SHARED: &str = "AGLET_TEST_POSTGRES";

/// A server with its data, gone when dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".postgres/package/pginstall/bin")
}

/// A program of PostgreSQL, as somebody who may run a server.
fn program(name: &str) -> Command {
    let path = programs().join(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    command
        .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
        .arg(path);
    command
}

fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("runs");
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Postgres {
    /// Without the programs the test is noted as skipped.
    pub fn start(test: &str) -> Option<Self> {
        if !programs().join("postgres").is_file() {
            skipped(test, "no PostgreSQL: `make postgres` fetches it");
            return None;
        }
        let tried = program("postgres").arg("--version").output();
        if !tried.is_ok_and(|output| output.status.success()) {
            skipped(
                test,
                "PostgreSQL refuses to be root, and nobody else may run it in this folder",
            );
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut made = program("initdb");
        made.arg("-D").arg(folder.path().join("data"));
        made.args(["-A", "trust", "-U", "postgres", "--no-sync"]);
        run(made);
        let server = Self { folder, port };
        server.go_on();
        Some(server)
    }

    /// Starts it, or starts it again.
    pub fn go_on(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=400",
            self.port,
            self.folder.path().display()
        );
        let mut start = self.control();
        start.arg("-l").arg(self.folder.path().join("log"));
        start.args(["-o", &options, "-w", "start"]);
        run(start);
    }

    /// Ends it as a power failure does.
    pub fn stop(&self) {
        let mut stop = self.control();
        stop.args(["-m", "immediate", "-w", "stop"]);
        run(stop);
    }

    fn control(&self) -> Command {
        let mut control = program("pg_ctl");
        control.arg("-D").arg(self.folder.path().join("data"));
        // It keeps what it inherits, and whoever reads the test's output would wait for it.
        control.stdout(Stdio::null()).stderr(Stdio::null());
        control
    }

    /// The address of the server, without a database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    /// A door in front of it that takes connections by TLS alone, as a server does that was built with
    /// it, which the fetched one was not: the port, and its certificate for 127.0.0.1, which is its own
    /// root. It is open for as long as the test runs.
    pub fn secured(&self) -> (u16, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("they go together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let door = TcpListener::bind("127.0.0.1:0").expect("a port");
        door.set_nonblocking(true).expect("set");
        let (port, server) = (door.local_addr().expect("bound").port(), self.port);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let door = tokio::net::TcpListener::from_std(door).expect("listens");
                while let Ok((client, _)) = door.accept().await {
                    tokio::spawn(through(client, acceptor.clone(), server));
                }
            });
        });
        (port, made.cert.pem())
    }

    /// The one number that a statement answers in the database of that name.
    pub fn ask(&self, database: &str, sql: &str) -> i64 {
        let output = Command::new(programs().join("psql"))
            .arg(format!("{}/{database}", self.url()))
            .args(["-qtAc", sql])
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        said.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// Runs a statement, or several, in the database of that name.
    pub fn run(&self, database: &str, sql: &str) {
        let mut psql = Command::new(programs().join("psql"));
        psql.arg(format!("{}/{database}", self.url())).arg("-qtA");
        for sql in sql.split("; ") {
            psql.args(["-c", sql]);
        }
        run(psql);
    }

    /// The program that asks a server.
    pub fn psql() -> PathBuf {
        programs().join("psql")
    }

    /// A new database, by its address.
    pub fn database(&self, name: &str) -> String {
        create(&self.url(), name);
        format!("{}/{name}", self.url())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.control();
        stop.args(["-m", "immediate", "-w", "stop"]);
        let _ = stop.status();
    }
}

/// What a client asks first that wants TLS
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>, `SSLRequest`).
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

async fn through(mut client: TcpStream, acceptor: TlsAcceptor, server: u16) -> io::Result<()> {
    let mut asked = [0; 8];
    client.read_exact(&mut asked).await?;
    if asked != TLS_REQUEST {
        return Ok(());
    }
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Makes a database where there is none of that name.
fn create(url: &str, name: &str) {
    let mut psql = Command::new(programs().join("psql"));
    psql.arg(format!("{url}/postgres")).args([
        "-qtAc",
        &format!("CREATE DATABASE {name} TEMPLATE template0"),
    ]);
    let output = psql.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || said.contains("already exists"),
        "{said}"
    );
}

/// The database of a test's data folder: in the folder, or where the tests are run over PostgreSQL one of
/// its own on that server.
pub fn database(data: &Path) -> Database {
    let Ok(url) = std::env::var(SHARED) else {
        return Database::Folder;
    };
    let name: String = data.to_string_lossy().to_lowercase();
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let name = format!("t{}", &name[name.len().saturating_sub(40)..]);
    create(&url, &name);
    format!("{url}/{name}").parse().expect("an address")
}

/// A connection to that database.
pub async fn raw(data: &Path) -> sqlx::AnyConnection {
    sqlx::any::install_default_drivers();
    let url = match database(data) {
        Database::Folder => {
            let file = data.join("catalog.sqlite");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
            sqlx::ConnectOptions::to_url_lossy(&options).to_string()
        }
        Database::Server(url) => url,
    };
    let options: sqlx::any::AnyConnectOptions = url.parse().expect("an address");
    sqlx::ConnectOptions::connect(&options)
        .await
        .expect("connects")
}
