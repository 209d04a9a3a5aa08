//! The listener: accepts connections until it is told to stop. It bounds slow and hostile clients before any request is
//! parsed: their time, the size of a request head, and the number of connections.
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The length of the HTTP/2 connection preface, in bytes (RFC 9113 section 3.4).
const PREFACE_LEN: usize = 24;
/// The largest request head, in bytes (larger ones get 431 or 414), and the most headers in it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
/// How many connections may be open; further ones wait in the accept queue.
const CONNECTIONS_MAX: usize = 20_000;
/// The most concurrent streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How long requests in progress may take after the server was told to stop.
const ENDING_MAX: Duration = Duration::from_secs(30);
/// How long to wait after a failed accept, which most often means that no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket, with TLS or without.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Binds an address; with port 0 the system chooses the port.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls })
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// How long the server waits for slow clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a connection may stay without a complete request head, whether it is idle or sends the head slowly.
    pub head: Duration,
    /// How long a client may pause within a request body.
    pub body: Duration,
    /// How long sent data may stay unacknowledged by a client that does not read.
    pub unread: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(60), body: Duration::from_secs(30), unread: Duration::from_secs(60) }
    }
}

/// Serves until `end` resolves, then gives requests in progress at most 30 seconds to finish.
pub async fn serve(listening: Listener, router: Router, patience: Patience, end: impl Future<Output = ()>) {
    let Listener { socket, tls } = listening;
    let server = Arc::new(Server {
        router,
        tls: tls.map(TlsAcceptor::from),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        http: http(patience),
        patience,
    });
    let ending = GracefulShutdown::new();
    let mut end = pin!(end);
    loop {
        let accepted = async {
            // Acquiring fails only on a closed semaphore, and this one is never closed.
            let permit = server.connections.clone().acquire_owned().await.ok();
            (socket.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => break,
        };
        let Ok((stream, address)) = accepted else {
            // Most often no file descriptors are left, or the client has already gone.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (server, watcher) = (server.clone(), ending.watcher());
        tokio::spawn(async move {
            server.connected(stream, address, watcher).await;
            drop(permit);
        });
    }
    drop(socket);
    // The runtime cuts off whatever takes longer.
    let _ = tokio::time::timeout(ENDING_MAX, ending.shutdown()).await;
}

fn http(patience: Patience) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let head_bytes = u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(head_bytes)
        .keep_alive_interval(Some(patience.head))
        .keep_alive_timeout(HANDSHAKE_MAX);
    http
}

/// What all connections share.
struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    http: Builder<TokioExecutor>,
    patience: Patience,
}

impl Server {
    /// Serves one connection to its end.
    async fn connected(&self, stream: TcpStream, address: SocketAddr, watcher: Watcher) {
        // Both socket options are optional: a connection that does not take them is served all the same.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(self.patience.unread));
        let Some(acceptor) = &self.tls else {
            return self.serve(stream, Peer { address, certificate: None }, watcher).await;
        };
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await else {
            return;
        };
        let (_, connection) = stream.get_ref();
        let own = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = own.map(|own| ShownCertificate { sha256: Sha256::digest(own).into() });
        self.serve(stream, Peer { address, certificate }, watcher).await;
    }

    async fn serve<S>(&self, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().call(request.map(Body::new))
        });
        let until = Box::pin(tokio::time::sleep(self.patience.head));
        let stream = Beginning { stream, left: PREFACE_LEN, until };
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        // Errors of a connection are the client's concern and are not reported.
        let _ = watcher.watch(connection.into_owned()).await;
    }
}

/// A connection that must send its first bytes in time. Until they tell HTTP/1 from HTTP/2, hyper has no timeout running.
struct Beginning<S> {
    stream: S,
    /// How many bytes of the preface have not arrived yet.
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Beginning<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        if read.is_pending() && self.left > 0 && self.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Beginning<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A client certificate that TLS has verified: a trusted authority signed it, and the client holds its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownCertificate {
    /// The SHA-256 digest of the certificate in DER.
    pub(super) sha256: [u8; 32],
}

/// The other end of a connection, as a request extension.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    certificate: Option<ShownCertificate>,
}

/// The client certificate of a request's connection.
pub(super) fn shown(of_request: &Extensions) -> Option<ShownCertificate> {
    of_request.get::<Peer>().and_then(|peer| peer.certificate)
}

/// The client's IP address, for the access record.
pub(super) fn address(of_request: &Extensions) -> Option<String> {
    of_request.get::<Peer>().map(|peer| peer.address.ip().to_string())
}
