//! `aglet doctor`: a line a check, and a fault for whatever a service would not start or work with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::service::{Service, aglet, aglet_with};
use crate::support::skipped::skipped;
use crate::support::tiny_model;

/// A folder with a catalog of three products, none embedded.
fn catalog(folder: &Path) -> PathBuf {
    let row = |id| format!("{}\n", json!({"id": id, "title": format!("Boot {id}")}));
    let rows: String = ["1", "2", "3"].map(row).concat();
    fs::write(folder.join("rows.jsonl"), rows).expect("written");
    let data = folder.join("data");
    let mut import = aglet("import", &data);
    import.arg("--skip-embedding").arg("--products");
    let output = import.arg(folder.join("rows.jsonl")).output();
    assert!(output.expect("runs").status.success());
    data
}

/// The exit code, and what each check found, by its name.
fn examine(mut command: Command) -> (Option<i32>, Vec<Value>) {
    let output = command.args(["--listen", "0", "--json"]).output();
    let output = output.expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| {
        panic!("{e}: {said} {}", String::from_utf8_lossy(&output.stderr));
    });
    let findings = said["findings"].as_array().expect("findings").clone();
    (output.status.code(), findings)
}

/// A fault of this check and no other, which says this.
fn fault(command: Command, check: &str, says: &str) {
    let (code, findings) = examine(command);
    let faults: Vec<&Value> = findings
        .iter()
        .filter(|f| f["verdict"] == "fault")
        .collect();
    assert!(
        code == Some(1) && faults.len() == 1 && faults[0]["check"] == check,
        "{check}: {code:?} {findings:#?}"
    );
    let text = format!("{} {}", faults[0]["found"], faults[0]["advice"]);
    assert!(text.contains(says), "{check}: {text}");
}

fn warns(command: Command, check: &str) -> bool {
    let (code, findings) = examine(command);
    assert_eq!(code, Some(0), "{findings:#?}");
    let warned = |finding: &Value| finding["verdict"] == "warning" && finding["advice"].is_string();
    let mut of = findings.iter().filter(|finding| finding["check"] == check);
    of.any(warned)
}

#[test]
fn a_good_folder_is_good_and_what_is_missing_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(warns(aglet("doctor", &folder.path().join("new")), "data"));
    assert!(!folder.path().join("new").exists(), "nothing is made");
    assert!(warns(aglet("doctor", folder.path()), "database"));
    let data = catalog(folder.path());
    assert!(warns(aglet("doctor", &data), "embedded"));
    assert!(warns(aglet("doctor", &data), "index"));

    let mut service = Service::start(&data, &[]);
    service.ready();
    service.until("the index is saved", |service| {
        service
            .has_logged("the index is what the catalog says; changes are followed")
            .then_some(())
    });
    // Beside a running service; its address is taken.
    let taken = service.url.trim_start_matches("http://").to_owned();
    let mut beside = aglet("doctor", &data);
    let output = beside.args(["--listen", &taken]).output().expect("runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{lines}");
    let warning = lines.lines().find(|line| line.starts_with("warning"));
    assert!(warning.is_some_and(|l| l.contains("is taken")), "{lines}");
    let good: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("ok"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let checks = [
        "settings",
        "address",
        "files",
        "runtime",
        "model",
        "device",
        "embedding",
        "data",
        "space",
        "owner",
        "database",
        "embedded",
        "index",
        "keys",
    ];
    assert_eq!(good, checks, "{lines}");
    assert_eq!(lines.lines().count(), checks.len() + 1, "{lines}");
    service.end();
    let (code, findings) = examine(aglet("doctor", &data));
    let good = findings.iter().all(|finding| finding["verdict"] == "ok");
    assert!(code == Some(0) && good, "{findings:#?}");
    let mut few = aglet("doctor", &data);
    few.args(["--max-connections", "1048576"]);
    let limited = Command::new("sh").args(["-c", "ulimit -Hn"]).output();
    let limited = String::from_utf8_lossy(&limited.expect("sh").stdout).into_owned();
    if limited
        .trim()
        .parse::<u64>()
        .is_ok_and(|limit| limit < 1 << 20)
    {
        assert!(warns(few, "files"));
    }
}

#[test]
fn what_would_keep_a_service_from_starting_is_a_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = catalog(folder.path());
    let doctor = || aglet("doctor", &data);

    // A model with one wrong byte, and none.
    let model = folder.path().join("model");
    fs::create_dir(&model).expect("a folder");
    for file in fs::read_dir(tiny_model()).expect("reads") {
        let file = file.expect("a file");
        fs::copy(file.path(), model.join(file.file_name())).expect("copied");
    }
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&weights, bytes).expect("written");
    fault(aglet_with(&model, "doctor", &data), "model", "sha256");
    fault(
        aglet_with(&data, "doctor", &data),
        "model",
        "aglet model export",
    );

    let mut without_runtime = Command::new(env!("CARGO_BIN_EXE_aglet"));
    without_runtime.arg("doctor").arg("--data").arg(&data);
    without_runtime.arg("--model").arg(tiny_model());
    without_runtime.args(["--device", "cpu"]);
    without_runtime.arg("--runtime").arg(&data);
    fault(without_runtime, "runtime", "make runtime");

    let mut wrong = doctor();
    wrong.args(["--queue", "0", "--words-percent", "101"]);
    let (code, findings) = examine(wrong);
    let settings = findings.iter().filter(|f| f["check"] == "settings");
    assert!(code == Some(1) && settings.count() == 2, "{findings:#?}");
    let mut synonyms = doctor();
    synonyms.args(["--synonyms", "no-such-file"]);
    fault(synonyms, "synonyms", "no-such-file");

    fault(
        aglet("doctor", &folder.path().join("no/where")),
        "data",
        "nor its parent",
    );
    fault(
        aglet("doctor", &folder.path().join("rows.jsonl")),
        "data",
        "is no folder",
    );

    // The database: of a newer version, damaged, lost.
    let database = data.join("catalog.sqlite");
    let good = fs::read(&database).expect("reads");
    let mut bytes = good.clone();
    bytes[..4096].fill(0x5a);
    fs::write(&database, &bytes).expect("written");
    fault(doctor(), "database", "restore");
    // A page of a table: the head is whole, so that only reading all of it finds out.
    let mut bytes = good.clone();
    let last = bytes.len() - 4096;
    for page in (8192..=last).step_by(4096) {
        bytes[page..page + 4096].fill(0x5a);
    }
    fs::write(&database, &bytes).expect("written");
    fault(doctor(), "database", "damaged");
    fs::remove_file(&database).expect("removed");
    fs::create_dir_all(data.join("index/63c3e4d780f0")).expect("a folder");
    fault(doctor(), "database", "no database");
    fs::remove_dir_all(data.join("index")).expect("removed");
    fs::write(&database, &good).expect("written");
    assert!(warns(doctor(), "index"), "it was whole before");

    // A file of another user.
    #[cfg(target_os = "linux")]
    if std::os::unix::fs::chown(data.join("writer.lock"), Some(10_001), None).is_ok() {
        assert!(warns(doctor(), "owner"));
    } else {
        skipped(
            "what_would_keep_a_service_from_starting_is_a_fault",
            "it is not run as root",
        );
    }
}
