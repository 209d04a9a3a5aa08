//! A persistent HTTP/1.1 connection to the measured server.
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::http::PreparedResponse;

use super::call::Call;

/// The address of a server.
#[derive(Clone, Debug)]
pub(super) struct Address {
    authority: String,
    host: String,
    path: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Address {
    /// # Errors
    /// If the URL's scheme is neither http nor https.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(authority, path)| {
            (authority, format!("/{}", path.trim_end_matches('/')))
        });
        let path = if path == "/" { String::new() } else { path };
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(trusting_known_authorities()), 443),
            _ => return Err(format!("{scheme} is not spoken")),
        };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { authority, host, path, tls })
    }
}

fn trusting_known_authorities() -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: Address,
    authorization: Option<String>,
}

impl Connection {
    /// Sends a GET for a path below the base URL; returns the whole answer.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) async fn get(&mut self, path: &str) -> Result<PreparedResponse, String> {
        let answer = self.send(&Call::get(path.to_owned())).await?;
        let (parts, body) = answer.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(PreparedResponse { status: parts.status.as_u16(), content_type, body })
    }

    /// # Errors
    /// If the server cannot be reached.
    pub(super) async fn open(address: &Address, token: Option<&str>) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", address.authority);
        let stream = TcpStream::connect(&address.authority).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let sender = match &address.tls {
            None => connected(stream).await,
            Some(config) => {
                let name = rustls::pki_types::ServerName::try_from(address.host.clone());
                let name = name.map_err(|error| failed(&error))?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
                connected(stream).await
            }
        };
        Ok(Self {
            sender: sender.map_err(|error| failed(&error))?,
            address: address.clone(),
            authorization: token.map(|token| format!("Bearer {token}")),
        })
    }

    async fn send(&mut self, call: &Call) -> Result<hyper::Response<hyper::body::Incoming>, String> {
        let uri = if call.path.is_empty() {
            if self.address.path.is_empty() { "/".to_owned() } else { self.address.path.clone() }
        } else {
            format!("{}/{}", self.address.path, call.path)
        };
        let mut request = hyper::Request::builder()
            .method(call.method)
            .uri(uri)
            .header(HOST, &self.address.authority)
            .header(ACCEPT, "application/fhir+json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/fhir+json");
        }
        let request = request.body(Full::new(call.body.clone())).map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        self.sender.send_request(request).await.map_err(|error| error.to_string())
    }

    /// Sends a call and reads the whole answer; returns its status and `Location` header.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) async fn call(&mut self, call: &Call) -> Result<(u16, Option<String>), String> {
        let answer = self.send(call).await?;
        let status = answer.status().as_u16();
        let location =
            answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| error.to_string())?;
        }
        Ok((status, location))
    }

    /// Opens a new connection to the same server, after this one broke.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub(super) async fn again(&self) -> Result<Self, String> {
        let token = self.authorization.as_deref().and_then(|bearer| bearer.strip_prefix("Bearer "));
        Self::open(&self.address, token).await
    }
}

async fn connected<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The sender of the next request sees the error that ends a connection.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
