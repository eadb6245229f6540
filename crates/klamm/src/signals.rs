//! Being asked to stop.

use std::io::{self, Read};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for Ctrl-C (SIGINT) or SIGTERM. From the first call on neither ends the process by itself any more.
pub(crate) async fn asked_to_stop() -> io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// The same, or that this has happened. A signal that cannot be waited for counts as one.
pub(crate) async fn asked_to_stop_or(happened: Option<oneshot::Receiver<()>>) {
    let Some(happened) = happened else {
        let _ = asked_to_stop().await;
        return;
    };
    tokio::select! {
        _ = asked_to_stop() => {}
        _ = happened => {}
    }
}

/// Told when nobody can write to standard input any more. What is written to it is thrown away.
pub(crate) fn stdin_closed() -> oneshot::Receiver<()> {
    let (told, closed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut thrown_away = [0; 256];
        while matches!(io::stdin().read(&mut thrown_away), Ok(1..)) {}
        // Nobody may be left to be told.
        let _ = told.send(());
    });
    closed
}
