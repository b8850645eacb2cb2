//! Broken, strange and hostile files, all of them through `POST /search/image` on a real socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{FORM, Shop, form};
use crate::support;

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
        let read = row["pillow"] == "ok" && ["JPEG", "PNG", "WEBP", "GIF", "BMP"].contains(&row["format"].as_str());
        File { path: row["file"].clone(), claimed: read }
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_breaks_the_service() {
    let Some(data) = support::shared_data("no_file_breaks_the_service") else { return };
    let folder = data.join("robustness");
    let files = files(&folder);
    let shop = Shop::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/search/image", listener.local_addr().expect("bound"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or(()) };
    let server = tokio::spawn(aglet::http::serve(listener, shop.router.clone(), shutdown, Duration::from_secs(5)));

    let sent = tokio::task::spawn_blocking(move || send_all(&folder, &url, &files));
    let (answers, claimed, answered) = sent.await.expect("every answer is as it should be");
    eprintln!("robustness: {answers:?}; of {claimed} that Pillow reads, {answered} answered 200");
    assert!(answered * 100 >= claimed * 97, "{answered} of {claimed}");
    stop.send(()).expect("serving");
    assert_eq!(server.await.expect("no panic").expect("serves"), 0);
    shop.get("/readyz").await.ok();
}

/// How often each status and code was answered; the files that should be readable, and those that were.
fn send_all(folder: &Path, url: &str, files: &[File]) -> (BTreeMap<String, usize>, usize, usize) {
    let answers = Mutex::new(BTreeMap::new());
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let agent: ureq::Agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(Duration::from_secs(60)))
                    .build()
                    .into();
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bytes = std::fs::read(folder.join(&file.path)).expect("the file");
                    let request = agent.post(url).header("content-type", FORM);
                    let response = request.send(form(&[("image", &bytes)]).as_slice());
                    let response = response.unwrap_or_else(|error| panic!("{}: {error}", file.path));
                    let status = response.status().as_u16();
                    let body: Value = serde_json::from_reader(response.into_body().into_reader()).expect("JSON");
                    assert!(status < 500, "{}: {status} {body}", file.path);
                    let label = if status == 200 { "200".to_owned() } else { format!("{status} {}", body["code"]) };
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
    (answers.into_inner().expect("no panic"), claimed, answered.into_inner())
}
