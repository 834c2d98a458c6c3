//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends.

use std::io;

use tokio::sync::watch;

use crate::exit::Status;

/// Tells when the process was asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
}

impl Interrupt {
    /// From now on, signals are caught. Must be called in a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = Signals::new()?;
        let (raise, raised) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            // Kept to the end, so that whoever waits for it waits.
            raise.send_replace(true);
            signals.next().await;
            std::process::exit(Status::Interrupted.code());
        });
        Ok(Self { raised })
    }

    /// Waits for the first signal; returns at once if there was one.
    pub(crate) async fn raised(&self) {
        let mut raised = self.raised.clone();
        if raised.wait_for(|raised| *raised).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether there was a signal.
    pub(crate) fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
