//! How a process is told to stop.

/// Ends when the process gets SIGTERM or SIGINT.
pub(super) async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminated.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    // Without a signal handler the process ends by itself when it is killed.
    let _ = tokio::signal::ctrl_c().await;
}
