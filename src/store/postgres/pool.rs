//! Connections to the database: made when they are needed, kept, and dropped when they break.
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

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a request waits for a connection that others use.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Inner {
    idle: Vec<Client>,
    open: usize,
}

/// Open connections.
pub(super) struct Pool {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    schema: String,
    connections_max: usize,
    inner: Mutex<Inner>,
    returned: Condvar,
}

impl Pool {
    /// # Errors
    /// If the URL or the authorities cannot be read.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, ConnectionError> {
        let mut config: Config = options.url.parse().map_err(ConnectionError::of)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        // So that an administrator of the database sees whose connections these are.
        config.application_name(&format!("chartward {}", options.schema));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            // The default of libpq: a connection without authorities would prove nobody.
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

    /// A new connection, beside the pool.
    ///
    /// # Errors
    /// If the database does not take it.
    pub(super) fn connect(&self) -> Result<Box<Client>, ConnectionError> {
        let client = match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(tls.clone()),
        };
        let mut client = client.map_err(ConnectionError::of)?;
        // Reads of followers would be of the past, and durability is not a matter of a role's settings.
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

    /// A connection of the pool, for as long as it is held.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is none.
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
        // A connection waits, while it is closed, on an event loop of its own. The last who held the store may be a task of another
        // event loop, which must not wait on a second one: that is a panic, and one while values are dropped ends the process.
        let closing = std::thread::Builder::new().name("closing".to_owned()).spawn(move || drop(idle));
        drop(closing.map(std::thread::JoinHandle::join));
    }
}

/// A connection on loan.
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
    /// Asks with one round trip, and with a statement that no pooler between has to remember.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the database does not answer.
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
