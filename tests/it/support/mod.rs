//! What the integration tests share.

pub mod clip;
pub mod multipart;
pub mod noise;
pub mod postgres;
pub mod s3;
pub mod service;
#[path = "../../../src/util/skipped.rs"]
pub mod skipped;

use std::path::{Path, PathBuf};

use std::time::Duration;

use aglet::encode::{Device, EncoderOptions, ImageLimits};
pub use clip::tiny_model;

/// The folder of real product photos, when there is one: `AGLET_SHARED_DATA`, or `../shared/data`
/// beside the project. Without it the test is noted as skipped.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("AGLET_SHARED_DATA").map_or(beside, PathBuf::from);
    if folder.join("README.md").is_file() {
        return Some(folder);
    }
    skipped::skipped(test, &format!("no data at {}", folder.display()));
    None
}

/// One session a tower on the CPU, and no waiting.
pub fn encoding() -> EncoderOptions {
    EncoderOptions {
        runtime: runtime(),
        device: Device::Cpu,
        text_sessions: 1,
        image_sessions: 1,
        intra_threads: 1,
        queue: 64,
        max_batch: 8,
        max_wait: Duration::ZERO,
        cache: 100,
        image_limits: ImageLimits::DEFAULT,
        background: false,
    }
}

/// A copy of a model folder that sees other views of a photo.
pub fn seeing(model: &Path, views: &[u32]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(model).expect("a model folder") {
        let entry = entry.expect("readable");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
    }
    let file = copy.path().join("model.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a manifest")).expect("JSON");
    manifest["preprocessing"]["views"] = views.into();
    std::fs::write(&file, manifest.to_string()).expect("written");
    copy
}

/// The folder with ONNX Runtime's library: `AGLET_RUNTIME`, or `.runtime` in the project.
pub fn runtime() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime");
    let folder = std::env::var_os("AGLET_RUNTIME").map_or(here, PathBuf::from);
    assert!(
        folder.is_dir(),
        "no ONNX Runtime at {}: run `make runtime`",
        folder.display()
    );
    folder
}

/// A server on 127.0.0.1 for the rest of the process; its port.
pub fn serve(router: axum::Router) -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            axum::serve(listener, router).await.expect("serve");
        });
    });
    port
}
