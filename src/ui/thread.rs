//! Work that may wait, such as checking a password, on a thread of its own.
use axum::http::StatusCode;

use super::problem::Problem;

pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::Failed(StatusCode::INTERNAL_SERVER_ERROR))
}
