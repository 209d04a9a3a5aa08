//! The connection pool: connections are opened on demand, reused, and discarded when they break.
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use postgres::config::SslMode;
use postgres::types::{ToSql, Type};
use postgres::{Client, Config, NoTls, Row};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresOptions;
use super::schema::ConnectionError;
use crate::store::kv::StoreError;

/// How long opening a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a request waits for a free connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Inner {
    idle: Vec<Client>,
    open: usize,
}

/// The connection pool.
pub(super) struct Pool {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    schema: String,
    connections_max: usize,
    inner: Mutex<Inner>,
    returned: Condvar,
}

impl Pool {
    /// A pool without open connections.
    ///
    /// # Errors
    /// If the URL or the certificate authorities are invalid.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, ConnectionError> {
        let mut config: Config = options.url.parse().map_err(ConnectionError::of)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        // So that the database's administrator can tell whose connections these are.
        config.application_name(&format!("chartward {}", options.schema));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            // `Prefer` is libpq's default. Without authorities TLS could not authenticate the server.
            SslMode::Prefer if options.authorities.is_none() => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            _ => {
                config.ssl_mode(SslMode::Require);
                Some(connector(options.authorities.as_deref())?)
            }
        };
        let inner = Mutex::default();
        let (schema, connections_max) = (options.schema.clone(), options.connections_max.max(1));
        Ok(Self { config, tls, schema, connections_max, inner, returned: Condvar::new() })
    }

    /// Opens a connection that does not count to the pool.
    ///
    /// # Errors
    /// If the database refuses the connection or is a standby.
    pub(super) fn connect(&self) -> Result<Box<Client>, ConnectionError> {
        let client = match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(tls.clone()),
        };
        let mut client = client.map_err(ConnectionError::of)?;
        // Commits must be durable whatever the role's settings say. A standby is refused because its reads would be stale.
        let settings = format!(
            "SET search_path TO \"{}\"; SET synchronous_commit TO on; SET default_transaction_isolation TO 'read committed'",
            self.schema.replace('"', "\"\"")
        );
        client.batch_execute(&settings).map_err(ConnectionError::of)?;
        let rows = client.query_typed("SELECT pg_is_in_recovery()", &[]).map_err(ConnectionError::of)?;
        if rows.first().is_none_or(|row| row.get(0)) {
            let reason = "it is a standby; reads of the past would disclose what was revoked";
            return Err(ConnectionError(reason.to_owned()));
        }
        Ok(Box::new(client))
    }

    /// Borrows a connection of the pool.
    ///
    /// # Errors
    /// [`StoreError::Io`] if no connection becomes free in time or none can be opened.
    pub(super) fn get(self: &Pool) -> Result<Pooled<'_>, StoreError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |inner: &mut Inner| inner.idle.is_empty() && inner.open >= self.connections_max;
        let (mut inner, waited) = self
            .returned
            .wait_timeout_while(inner, WAIT_MAX, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && is_full(&mut inner) {
            return Err(StoreError::Io("all connections to the database are in use".to_owned()));
        }
        while let Some(client) = inner.idle.pop() {
            if !client.is_closed() {
                return Ok(Pooled { pool: self, client: Some(client) });
            }
            inner.open -= 1;
        }
        inner.open += 1;
        drop(inner);
        match self.connect() {
            Ok(client) => Ok(Pooled { pool: self, client: Some(*client) }),
            Err(error) => {
                self.give_back(None);
                Err(StoreError::Io(error.to_string()))
            }
        }
    }

    fn give_back(&self, client: Option<Client>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match client.filter(|client| !client.is_closed()) {
            Some(client) => inner.idle.push(client),
            None => inner.open -= 1,
        }
        drop(inner);
        self.returned.notify_one();
    }

    /// How many connections of the pool are open.
    pub(super) fn open(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).open
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let idle = std::mem::take(&mut inner.idle);
        if idle.is_empty() {
            return;
        }
        // Closing a connection blocks on its own event loop. The last owner of the store may be a task of another event loop,
        // where blocking panics, and a panic during a drop aborts the process. So a separate thread closes them.
        let closing = std::thread::Builder::new().name("closing".to_owned()).spawn(move || drop(idle));
        drop(closing.map(std::thread::JoinHandle::join));
    }
}

/// A borrowed connection; dropping it returns it to the pool.
pub(super) struct Pooled<'p> {
    pool: &'p Pool,
    client: Option<Client>,
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.client.take());
    }
}

impl Pooled<'_> {
    /// Runs a query in one round trip and without a named statement, so that it also works through a connection pooler.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the query fails.
    pub(super) fn query(
        &mut self,
        statement: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, StoreError> {
        let gone = || StoreError::Io("the connection is gone".to_owned());
        let client = self.client.as_mut().ok_or_else(gone)?;
        client
            .query_typed(statement, params)
            .map_err(|error| StoreError::Io(ConnectionError::of(error).to_string()))
    }
}

fn connector(authorities: Option<&[u8]>) -> Result<MakeRustlsConnect, ConnectionError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = authorities {
        roots.roots.clear();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| ConnectionError(error.to_string()))?;
            roots.add(certificate).map_err(ConnectionError::of)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectionError::of)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
