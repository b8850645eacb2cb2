//! The real service over a catalog, on a port of its own.

use std::path::Path;
use std::time::Duration;

use aglet::catalog::Catalog;
use aglet::catalog::ingest::{self, ImportOptions, Progress};
use aglet::encode::Encoder;
use aglet::evaluate::data::labeled_catalog::source_at;
use aglet::http::{AppState, Bounds, HttpOptions, router};
use aglet::index::lexical::Language;
use aglet::model::ModelFolder;
use aglet::service::thesaurus::Thesaurus;
use aglet::service::{self, Making, ServiceOptions, generation};

use super::one_by_one;
use crate::support::clip::tiny_model;

pub struct Service {
    pub url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    /// Imports the catalog in the folder, its photos and words one by one, and serves it.
    pub fn start(folder: &Path, words_percent: u8) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let folder = folder.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let state = state(&folder, words_percent).await;
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port");
                tell.send(format!(
                    "http://{}",
                    listener.local_addr().expect("an address")
                ))
                .expect("somebody waits");
                let until = async {
                    let _ = stopped.await;
                };
                {
                    let bounds = Bounds {
                        connections: 100,
                        drain: Duration::from_secs(1),
                    };
                    aglet::http::serve(listener, None, router(state), until, bounds)
                }
                .await;
            });
        });
        let url = told.recv().expect("the service starts");
        Self {
            url,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn state(folder: &Path, words_percent: u8) -> AppState {
    let model = ModelFolder::open(&tiny_model()).expect("the tiny model");
    let encoder = Encoder::start(&model, &one_by_one()).expect("starts");
    let catalog = Catalog::open(&folder.join("data"))
        .await
        .expect("a catalog");
    let source = source_at(folder, &[], None).expect("a catalog");
    ingest::import(
        &catalog,
        &encoder,
        &source,
        &ImportOptions::default(),
        &Progress::default(),
    )
    .await
    .expect("imports");
    let making = Making {
        words_percent,
        language: Language::default(),
        types: aglet::domain::Types::default(),
    };
    let (first, _) = generation::build(&catalog, encoder, &making)
        .await
        .expect("an index");
    let thesaurus = Thesaurus::read(Language::default(), None).expect("the default list");
    let service = service::Service::new(catalog, first, thesaurus, ServiceOptions::default())
        .expect("starts");
    AppState::new(service, crate::http::metrics(), HttpOptions::default())
}
