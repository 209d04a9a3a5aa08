//! An HTTP server that only gives one prepared response: the baseline with which `chartward load` measures the machine.
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The response to every request.
#[derive(Clone, Debug)]
pub struct PreparedResponse {
    pub status: u16,
    pub content_type: String,
    pub body: Bytes,
}

/// The running server. It has its own threads and stops when it is dropped.
pub struct Bare {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the server on a free port of the loopback interface.
///
/// # Errors
/// If no port can be bound or the runtime cannot start.
pub fn bare(answered: PreparedResponse) -> io::Result<Bare> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    let answer = move || {
        let headers: [(HeaderName, String); 1] = [(CONTENT_TYPE, answered.content_type.clone())];
        let body = answered.body.clone();
        async move { (status, headers, body).into_response() }
    };
    let router = Router::new().fallback(answer);
    runtime.spawn(async move { axum::serve(TcpListener::from_std(listener)?, router).await });
    Ok(Bare { address, runtime: Some(runtime) })
}
