//! Waits for the signal that stops a process.

/// Returns when the process receives SIGTERM or SIGINT.
pub(super) async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminated.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    // Without a handler for SIGTERM its default action ends the process.
    let _ = tokio::signal::ctrl_c().await;
}
