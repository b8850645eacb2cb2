//! TLS: a certificate and its key, read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::util::blocking::blocking;
use crate::util::stamp::Stamp;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate {path} cannot be read: {source}")]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("the certificate {path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("the certificate's key {path} cannot be read: {source}")]
    Key { path: PathBuf, source: pem::Error },
    #[error("the certificate {path} and its key do not go together: {source}")]
    Pair {
        path: PathBuf,
        source: rustls::Error,
    },
}

/// What connections are encrypted with.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<Read>,
}

struct Read {
    config: Arc<ServerConfig>,
    stamps: [Option<Stamp>; 2],
}

impl Tls {
    /// Reads a certificate with the chain below it, and its private key; both PEM files.
    ///
    /// # Errors
    /// When one cannot be read, or they do not go together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = Read {
            stamps: [certificate, key].map(Stamp::of),
            config: config(certificate, key)?,
        };
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(read),
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.load().config).into()
    }

    /// Reads the files again when they are others; whether they were. Blocks on them.
    ///
    /// # Errors
    /// As [`Tls::read`]: what was in use stays, and the same files are not read again.
    pub fn renew(&self) -> Result<bool, TlsError> {
        let stamps = [&*self.certificate, &*self.key].map(Stamp::of);
        let current = self.current.load_full();
        if stamps == current.stamps {
            return Ok(false);
        }
        let (config, renewed) = match config(&self.certificate, &self.key) {
            Ok(config) => (config, Ok(true)),
            Err(error) => (Arc::clone(&current.config), Err(error)),
        };
        self.current.store(Arc::new(Read { config, stamps }));
        renewed
    }

    /// Looks at the files for as long as the service runs.
    pub async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            match blocking(move || tls.renew()).await {
                Ok(Ok(true)) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the certificate could not be read again; the former stays in use");
                }
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let path = certificate.to_owned();
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<CertificateDer<'static>> = chain.map_err(|source| TlsError::Certificate {
        path: path.clone(),
        source,
    })?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key {
        path: key.to_owned(),
        source,
    })?;
    let made = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = made.map_err(|source| TlsError::Pair { path, source })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
