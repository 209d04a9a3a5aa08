//! The settings of the PostgreSQL backend.
use std::time::Duration;

/// How the store uses the database; [`PostgresOptions::new`] sets the defaults.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, as in libpq. Several hosts are possible with
    /// `target_session_attrs=read-write`.
    pub url: String,
    /// The schema of the tables; it is created if it is missing.
    pub schema: String,
    /// Certificate authorities in PEM that sign the database's certificate; `None`: the authorities that browsers trust.
    pub authorities: Option<Vec<u8>>,
    /// How many connections the pool opens at most. The writer has one more.
    pub connections_max: usize,
    /// How many bytes of what was read are kept in memory.
    pub kept_bytes: u64,
    /// How long a state can be opened after a newer one has replaced it.
    pub retained: Duration,
    /// How long a request of any server may read the snapshot that it began with.
    pub reading: Duration,
}

impl PostgresOptions {
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "chartward".to_owned(),
            authorities: None,
            connections_max: 16,
            kept_bytes: 48 * 1024 * 1024,
            retained: Duration::from_secs(15 * 60),
            reading: Duration::from_secs(10 * 60),
        }
    }
}
