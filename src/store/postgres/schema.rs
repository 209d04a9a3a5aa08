//! Creates the tables, and checks that the database is suitable.

use postgres::Client;

/// The format of the tables. Tables of another format are refused.
const FORMAT: i32 = 1;
/// The advisory lock under which servers that start at once create the tables one after the other.
const LOCK: i64 = 0x6368_6172_7477_6172;

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database: {0}")]
pub struct ConnectionError(pub String);

impl ConnectionError {
    /// Joins the messages of an error and its causes. The client's own message names only the kind; the server's is a cause.
    pub(super) fn of(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn destroy(client: &mut Client, schema: &str) -> Result<(), ConnectionError> {
    let statement = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema));
    client.batch_execute(&statement).map_err(ConnectionError::of)
}

/// Creates missing tables. Refuses a database that may lose acknowledged commits, or tables of another format.
pub(super) fn prepare(client: &mut Client, schema: &str) -> Result<(), ConnectionError> {
    let quoted = quoted(schema);
    let mut transaction = client.transaction().map_err(ConnectionError::of)?;
    let row = transaction
        .query_one("SELECT current_setting('fsync'), current_setting('full_page_writes')", &[])
        .map_err(ConnectionError::of)?;
    if row.get::<_, String>(0) != "on" || row.get::<_, String>(1) != "on" {
        return Err(ConnectionError(
            "fsync and full_page_writes are to be on; it would lose what it acknowledges".to_owned(),
        ));
    }
    let statements = format!(
        "SELECT pg_advisory_xact_lock({LOCK});
         CREATE SCHEMA IF NOT EXISTS {quoted};
         CREATE TABLE IF NOT EXISTS {quoted}.entries (key bytea NOT NULL, sequence bigint NOT NULL, value bytea);
         CREATE UNIQUE INDEX IF NOT EXISTS entries_newest ON {quoted}.entries (key ASC, sequence DESC);
         CREATE TABLE IF NOT EXISTS {quoted}.commits (sequence bigint PRIMARY KEY, time bigint NOT NULL, id uuid NOT NULL UNIQUE);
         CREATE TABLE IF NOT EXISTS {quoted}.outdated (sequence bigint NOT NULL, key bytea NOT NULL, since bigint NOT NULL);
         CREATE INDEX IF NOT EXISTS outdated_order ON {quoted}.outdated (sequence);
         CREATE TABLE IF NOT EXISTS {quoted}.head (
             one boolean PRIMARY KEY CHECK (one), format integer NOT NULL, sequence bigint NOT NULL, time bigint NOT NULL,
             next_row bigint NOT NULL, horizon bigint NOT NULL);
         INSERT INTO {quoted}.head VALUES (true, {FORMAT}, 0, 0, 1, 0) ON CONFLICT DO NOTHING;"
    );
    transaction.batch_execute(&statements).map_err(ConnectionError::of)?;
    let row = transaction
        .query_one(&format!("SELECT format FROM {quoted}.head"), &[])
        .map_err(ConnectionError::of)?;
    let format: i32 = row.get(0);
    if format != FORMAT {
        return Err(ConnectionError(format!(
            "its tables have format {format}, and this release knows {FORMAT}"
        )));
    }
    transaction.commit().map_err(ConnectionError::of)
}
