//! What ends a process that runs until it is told to stop.

use aglet::http::Reloads;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// SIGTERM (an orchestrator) and SIGINT (a person), caught from here on: before that they end the
/// process where it stands, which would be an exit code other than 0. SIGHUP too, which `systemctl
/// reload`, a closed terminal or a rotation of logs sends.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until one says that the service is to stop. SIGHUP asks for the settings to be read again, once
    /// there is somebody to ask.
    pub async fn arrive(&mut self, reloads: Option<&Reloads>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return tracing::info!("SIGTERM"),
                _ = self.interrupt.recv() => return tracing::info!("interrupted"),
                _ = self.hangup.recv() => {
                    let Some(reloads) = reloads else {
                        tracing::info!("SIGHUP: passed over");
                        continue;
                    };
                    tracing::info!("SIGHUP: the settings are read again");
                    // Whoever takes them over logs what came of it.
                    let _ = reloads.send(oneshot::channel().0).await;
                }
            }
        }
    }
}
