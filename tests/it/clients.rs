//! Clients that are generated from the OpenAPI document, in TypeScript and in Python: their types are
//! checked, and they are used on a running service. What they do is in `tests/clients/use.*`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::service::{Service, aglet_with, json};
use crate::support::skipped::skipped;

const DOCUMENT: &str = "openapi/openapi.json";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    here(path).to_str().expect("UTF-8").to_owned()
}

/// A folder with a copy of `files`, below the one that holds the generator. Without that the test is
/// noted as skipped.
fn folder(test: &str, language: &str, files: &[&str]) -> Option<TempDir> {
    let home = here(".clients");
    if !home.join(format!("{language}.made")).is_file() {
        let reason = format!("no generator of {language} clients: `make clients` fetches it");
        skipped(test, &reason);
        return None;
    }
    let folder = tempfile::tempdir_in(home).expect("a folder");
    for name in files {
        let from = here("tests/clients").join(name);
        std::fs::copy(from, folder.path().join(name)).expect("copied");
    }
    let picture = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([if (x / 8 + y / 8) % 2 == 0 { 200 } else { 20 }; 3])
    });
    picture
        .save(folder.path().join("picture.png"))
        .expect("written");
    Some(folder)
}

/// Runs a command in the folder, to its good end.
fn run(folder: &TempDir, command: &[&str]) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a command in the folder with the address of a service, which is empty, a key and a picture.
fn use_service(folder: &TempDir, command: &[&str]) {
    let serve = aglet_with(
        &here("models/aglet-small"),
        "serve",
        &folder.path().join("data"),
    );
    let mut service = Service::run(serve, &[]);
    service.ready();
    let made = service
        .agent
        .post(format!("{}/admin/keys", service.admin))
        .header("content-type", "application/json")
        .send(r#"{"name": "a client", "scope": "write"}"#);
    let key = json(made.expect("answers"))["key"].clone();
    let key = key.as_str().expect("a key");
    run(
        folder,
        &[command, &[&service.url, key, "picture.png"]].concat(),
    );
    service.end();
}

#[test]
fn a_generated_typescript_client_does_what_a_shop_does() {
    let test = "a_generated_typescript_client_does_what_a_shop_does";
    let Some(folder) = folder(test, "typescript", &["tsconfig.json", "use.ts"]) else {
        return;
    };
    let generator = text(".clients/node_modules/.bin/openapi-ts");
    let document = text(DOCUMENT);
    run(&folder, &[&generator, "-i", &document, "-o", "client"]);
    run(&folder, &[&text(".clients/node_modules/.bin/tsc")]);
    use_service(&folder, &["node", "out/use.js"]);
}

#[test]
fn a_generated_python_client_does_what_a_shop_does() {
    let test = "a_generated_python_client_does_what_a_shop_does";
    let Some(folder) = folder(test, "python", &["python.yml", "use.py"]) else {
        return;
    };
    let (python, document) = (text(".clients/python/bin/python"), text(DOCUMENT));
    let generate = [
        &[&python, "-m", "openapi_python_client", "generate"][..],
        &["--path", &document, "--config", "python.yml"],
        &["--meta", "none", "--output-path", "aglet_client"],
    ];
    run(&folder, &generate.concat());
    run(&folder, &[&python, "-m", "mypy", "--strict", "use.py"]);
    use_service(&folder, &[&python, "use.py"]);
}
