//! `aglet serve` as a process of its own: what is tested with it survives an abort, and its memory
//! is its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::Response;

use super::{runtime, tiny_model};

/// Longer than anything here takes on a machine that is busy: only a test that hangs gets there.
const PATIENCE: Duration = Duration::from_mins(2);

/// The command with the tiny model, on the CPU, over `data`.
pub fn aglet(command: &str, data: &Path) -> Command {
    aglet_with(&tiny_model(), command, data)
}

/// The command with a model of one's own, on the CPU, over `data`.
pub fn aglet_with(model: &Path, command: &str, data: &Path) -> Command {
    let mut aglet = Command::new(env!("CARGO_BIN_EXE_aglet"));
    aglet
        .arg(command)
        .arg("--data")
        .arg(data)
        .arg("--model")
        .arg(model);
    aglet
        .arg("--runtime")
        .arg(runtime())
        .args(["--device", "cpu"])
        .stdin(Stdio::null());
    aglet
}

/// A running service; killed when dropped.
pub struct Service {
    pub url: String,
    /// Where the admin listener is.
    pub admin: String,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    pub agent: ureq::Agent,
}

impl Service {
    /// On a free port; comes back when it listens, which is before it is ready.
    pub fn start(data: &Path, flags: &[&str]) -> Self {
        Self::run(aglet("serve", data), flags)
    }

    /// As [`Service::start`], by a command of one's own.
    pub fn run(mut command: Command, flags: &[&str]) -> Self {
        command
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(flags)
            .env_remove("AGLET_API_KEY")
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
                seen.lock().expect("no panic").push(entry);
            }
        });
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        let mut service = Self {
            url: String::new(),
            admin: String::new(),
            child,
            log,
            reader: Some(reader),
            agent: agent.into(),
        };
        // The last that is said before it serves.
        let ready = |service: &Self| {
            let log = service.log.lock().expect("no panic");
            log.iter()
                .any(|entry| entry["message"] == "serving")
                .then_some(())
        };
        service.until("it listens", ready);
        let address = |message: &str| {
            let log = service.log();
            let entry = log.iter().find(|entry| entry["message"] == message)?;
            Some(format!("http://{}", entry["address"].as_str()?))
        };
        let (public, admin) = (address("listening"), address("admin listener"));
        service.url = public.expect("an address");
        service.admin = admin.unwrap_or_default();
        service
    }

    /// Asked at its admin listener from now on, where everything is open while there are no keys.
    pub fn at_admin(mut self) -> Self {
        self.url.clone_from(&self.admin);
        self
    }

    /// Waits for `found` to find something, as long as the process runs.
    pub fn until<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.child.try_wait().expect("status");
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "not seen: {what}\n{:#?}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let answer = self
            .agent
            .get(format!("{}{path}", self.url))
            .call()
            .expect("answers");
        (answer.status().as_u16(), json(answer))
    }

    /// The report of `/readyz`, once it says yes.
    pub fn ready(&mut self) -> Value {
        self.until("ready", |service| {
            Some(service.get("/readyz")).filter(|(status, _)| *status == 200)
        })
        .1
    }

    /// What it has logged: an object a line.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("no panic").clone()
    }

    pub fn has_logged(&self, message: &str) -> bool {
        self.log().iter().any(|entry| entry["message"] == message)
    }

    /// The most memory that it ever had, in bytes; `None` where the system does not tell.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("sh")
                .success()
        );
    }

    /// Waits for its end, however it came about.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("ended");
        self.reader.take().expect("once").join().expect("no panic");
        status
    }

    /// Ends it at once, as the system does.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.wait();
    }

    /// Ends it in order.
    pub fn end(&mut self) {
        self.terminate();
        assert!(self.wait().success(), "{:#?}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn json(answer: Response<ureq::Body>) -> Value {
    serde_json::from_reader(answer.into_body().into_reader()).expect("JSON")
}
