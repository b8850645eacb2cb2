//! Broken, strange and hostile files, all of them through `POST /search/image` of the program
//! itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::multipart::{FORM, form};
use crate::support::service::Service;
use crate::support::shared_data;

/// What Pillow made of a file.
struct File {
    path: String,
    claimed: bool,
}

fn files(folder: &Path) -> Vec<File> {
    let mut reader = csv::Reader::from_path(folder.join("manifest.csv")).expect("a manifest");
    let rows = reader.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let row = row.expect("a row");
        let read = row["pillow"] == "ok"
            && ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP"].contains(&row["format"].as_str());
        File {
            path: row["file"].clone(),
            claimed: read,
        }
    })
    .collect()
}

#[test]
fn no_file_breaks_the_service() {
    let Some(data) = shared_data("no_file_breaks_the_service") else {
        return;
    };
    let folder = data.join("robustness");
    let files = files(&folder);
    let home = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(&home.path().join("data"), &[]);
    service.ready();
    let before = service.peak_memory();
    let (answers, claimed, answered) =
        send_all(&folder, &format!("{}/search/image", service.url), &files);
    eprintln!("robustness: {answers:?}; of {claimed} that Pillow reads, {answered} answered 200");
    assert!(answered * 100 >= claimed * 97, "{answered} of {claimed}");
    if let (Some(before), Some(after)) = (before, service.peak_memory()) {
        eprintln!("robustness: memory grew by {} MiB", (after - before) >> 20);
        // Two of the largest photos at 16 bytes a pixel, and the files.
        assert!(
            after - before < 2 * 50_000_000 * 16 + (256 << 20),
            "{} bytes",
            after - before
        );
    }
    service.ready();
    service.end();
}

/// How often each status and code was answered; the files that should be readable, and those that
/// were.
fn send_all(folder: &Path, url: &str, files: &[File]) -> (BTreeMap<String, usize>, usize, usize) {
    let answers = Mutex::new(BTreeMap::new());
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let agent: ureq::Agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(Duration::from_mins(1)))
                    .build()
                    .into();
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bytes = std::fs::read(folder.join(&file.path)).expect("the file");
                    let request = agent.post(url).header("content-type", FORM);
                    let response = request.send(form(&[("image", &bytes)]).as_slice());
                    let response =
                        response.unwrap_or_else(|error| panic!("{}: {error}", file.path));
                    let status = response.status().as_u16();
                    let body: Value =
                        serde_json::from_reader(response.into_body().into_reader()).expect("JSON");
                    assert!(status < 500, "{}: {status} {body}", file.path);
                    let label = if status == 200 {
                        "200".to_owned()
                    } else {
                        format!("{status} {}", body["code"])
                    };
                    if file.claimed && status == 200 {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else if file.claimed {
                        eprintln!("robustness: {} {status} {}", file.path, body["detail"]);
                    }
                    *answers.lock().expect("no panic").entry(label).or_default() += 1;
                }
            });
        }
    });
    let claimed = files.iter().filter(|file| file.claimed).count();
    (
        answers.into_inner().expect("no panic"),
        claimed,
        answered.into_inner(),
    )
}
