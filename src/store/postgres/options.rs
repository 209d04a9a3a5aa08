//! The settings of the store.
use std::time::Duration;

/// How a database is used, each setting with its default.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, as libpq has it; several hosts with `target_session_attrs=read-write`.
    pub url: String,
    /// The schema that holds the tables; it is made where it is not there.
    pub schema: String,
    /// Authorities in PEM that sign the database's certificate, where it is none that browsers know.
    pub authorities: Option<Vec<u8>>,
    /// How many connections are open at once, beside the writer's.
    pub connections_max: usize,
    /// How long a state can be asked for after another came.
    pub retained: Duration,
    /// How long a request of whatever server may read the state with which it began.
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
            retained: Duration::from_secs(15 * 60),
            reading: Duration::from_secs(10 * 60),
        }
    }
}
