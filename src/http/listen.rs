//! Listening: takes its socket, its TLS and its end as parameters.
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::http::Extensions;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on TLS.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How many connections may be in that state at once.
const HANDSHAKES_MAX: usize = 256;

/// A bound socket, with TLS or without.
pub struct Listening {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    /// Binds an address; port 0 lets the system choose one.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn bind(address: &str, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves until `end` resolves; what was accepted by then is finished.
///
/// # Errors
/// If the socket fails.
pub async fn serve(
    listening: Listening,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    match listening.tls {
        None => {
            let service = router.into_make_service_with_connect_info::<Peer>();
            axum::serve(listening.socket, service).with_graceful_shutdown(end).await
        }
        Some(tls) => {
            let listener = TlsListener::start(listening.socket, tls)?;
            let service = router.into_make_service_with_connect_info::<Peer>();
            axum::serve(listener, service).with_graceful_shutdown(end).await
        }
    }
}

/// A certificate that a client has shown, signed by an authority that is trusted, and whose key it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownCertificate {
    /// The SHA-256 of its DER.
    pub(super) sha256: [u8; 32],
}

/// What is known of the other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    certificate: Option<ShownCertificate>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), certificate: None }
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let (_, connection) = stream.io().get_ref();
        let own = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = own.map(|own| ShownCertificate { sha256: Sha256::digest(own).into() });
        Self { address: *stream.remote_addr(), certificate }
    }
}

/// The certificate that the client of a request has shown.
pub(super) fn shown(of_request: &Extensions) -> Option<ShownCertificate> {
    of_request.get::<ConnectInfo<Peer>>().and_then(|ConnectInfo(peer)| peer.certificate)
}

/// The network address of the client of a request, for the record of accesses.
pub(super) fn address(of_request: &Extensions) -> Option<String> {
    of_request.get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.address.ip().to_string())
}

/// Accepts connections and agrees on TLS beside, so that a slow client does not hold up the others.
struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    fn start(socket: TcpListener, tls: Arc<ServerConfig>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let acceptor = TlsAcceptor::from(tls);
        tokio::spawn(async move {
            while !sender.is_closed() {
                let Ok((stream, peer)) = socket.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await
                    {
                        // If nobody listens any more, the connection ends here.
                        let _ = sender.send((stream, peer)).await;
                    }
                });
            }
        });
        Ok(Self { address, ready })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task ended with the runtime; there is nothing to come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
