//! An opened store with everything that a server needs around it: its secret, signing keys, index and engine.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{self, Signer};
use crate::auth::{AccessToken, Issuer, Party};
use crate::model::hex;
use crate::operations::{ContextParts, Engine, EngineOptions, Index, SearchIndex, version_cipher};
use crate::store::random_bytes;
use crate::store::{
    At, Batch, CommitError, Expectation, Findings, Key, Kv, Memory, Packing, Postgres, Repository, Sled,
    SledOptions, Space, StoreError, SystemClock, Write, make_private_folder,
};

use super::clock::now;
use super::config::Config;
use super::keys;
use super::remote::Remote;
use super::trust::trust;

/// An opened store with its secret, keys and index.
pub struct House {
    kv: Arc<dyn Kv>,
    /// The store, if it is one on disk.
    pub sled: Option<Arc<Sled>>,
    secret: [u8; 32],
    issuer_key: Vec<u8>,
    /// Public keys that have signed tokens before.
    retired: Vec<serde_json::Value>,
    /// The folder of the keys, if they are on disk.
    keys: Option<PathBuf>,
    index: Arc<Index>,
    packing: Arc<Packing>,
    audit_signer: Arc<Signer>,
}

impl House {
    /// Opens the data directory or database of a configuration; creates it if it does not exist.
    ///
    /// # Errors
    /// The reason, as text for the user.
    pub fn open(config: &Config) -> Result<Self, String> {
        let (kv, sled) = open_store(config)?;
        let folder = keys::folder(config);
        let audit_key = keys::owned_file(&folder.join("audit.p8"), Issuer::generate_key)?;
        let house = Self::with(kv, sled, keys::issuer_key(&folder)?, &audit_key)?;
        keys::note_public_key(&folder.join("audit.pub"), &hex(house.audit_signer.public()))?;
        Ok(Self { retired: keys::retired(&folder)?, keys: Some(folder), ..house })
    }

    /// A store in memory with new keys; nothing of it remains.
    ///
    /// # Errors
    /// The reason, as text for the user.
    pub fn in_memory() -> Result<Self, String> {
        Self::with_key(Issuer::generate_key()?)
    }

    /// A store in memory with the given issuer key, to sign tokens with.
    ///
    /// # Errors
    /// The reason, as text for the user.
    pub(super) fn with_key(issuer_key: Vec<u8>) -> Result<Self, String> {
        let memory = Arc::new(Memory::new(Arc::new(SystemClock)));
        Self::with(memory, None, issuer_key, &Issuer::generate_key()?)
    }

    fn with(
        kv: Arc<dyn Kv>,
        sled: Option<Arc<Sled>>,
        issuer_key: Vec<u8>,
        audit_key: &[u8],
    ) -> Result<Self, String> {
        let packing = Arc::new(Packing::of(&*kv).map_err(|error| error.to_string())?);
        let index = Arc::new(Index::packing_as(packing.clone()));
        index.begin(&*kv)?;
        audit::index_patients(&*kv).map_err(|error| error.to_string())?;
        let secret = secret(&*kv)?;
        let audit_signer = Arc::new(Signer::new(audit_key)?);
        Ok(Self {
            kv,
            sled,
            secret,
            issuer_key,
            retired: Vec::new(),
            keys: None,
            index,
            packing,
            audit_signer,
        })
    }

    /// The engine of a server at a base URL, such as `https://host/fhir` (without a slash at the end). With `open`, requests
    /// without a token act as the hospital's own system.
    ///
    /// # Errors
    /// If the configuration is wrong, or the issuer's key cannot be used.
    pub fn engine(&self, config: &Config, base_url: &str, open: bool) -> Result<Engine, String> {
        // Loads the tables before the server reports that it is ready, instead of during the first request.
        let _ = crate::search::search_params();
        let options = EngineOptions {
            page_len_default: config.page_len_default,
            page_len_max: config.page_len_max,
            include_len_max: config.include_len_max,
            referential_integrity: config.referential_integrity,
            version_unchanged: config.version_unchanged,
            keep_patients_referred_to: config.keep_patients_referred_to,
            durable_reads: config.audit.is_durable()?,
            slow_search: Duration::from_millis(config.log.slow_millis),
            answer_grid: Duration::from_millis(config.consent.answer_grid_millis),
            ..EngineOptions::new(base_url)
        };
        let settings = config.settings().map_err(|(key, said)| format!("{key}: {said}"))?;
        let party = open.then(|| Party::open(&config.organization));
        let issuer = self.issuer(base_url)?;
        let trust = trust(&config.issuers, config.introspection.as_ref(), &config.certificates, base_url)?;
        let mut engine = Engine::new(ContextParts {
            options,
            kv: self.kv.clone(),
            index: self.index.clone(),
            packing: self.packing.clone(),
            clock: Arc::new(SystemClock),
            secret: self.secret,
            settings,
            issuer,
            trust: Some(trust),
            audit_signer: Some(self.audit_signer.clone()),
            open: party,
        });
        if let Some(folder) = &self.keys {
            engine.authorization.identity = keys::identity_keys(folder.clone());
        }
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        let sessions = &mut engine.authorization.options;
        sessions.session_idle_seconds = seconds(config.session_idle_seconds_max);
        sessions.session_seconds_max = seconds(config.session_seconds_max);
        engine.authorization.fetch_keys_with(Arc::new(Remote), config.jwks_private_networks);
        Ok(engine)
    }

    /// The issuer of tokens for a base URL.
    ///
    /// # Errors
    /// If the issuer's key cannot be used.
    pub fn issuer(&self, base_url: &str) -> Result<Issuer, String> {
        Ok(Issuer::with_retired(base_url, &self.issuer_key, &self.retired)?)
    }

    /// Checks that the store is intact.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn verify(&self) -> Result<Findings, String> {
        let _kept = self.kv.keep().map_err(|error| error.to_string())?;
        let snapshot = self.kv.snapshot(At::Latest).map_err(|error| error.to_string())?;
        let params = self.index.params(&*snapshot).map_err(|error| error.to_string())?;
        let words = |error: StoreError| error.to_string();
        let mut findings = Repository::new(&*snapshot).verify(&SearchIndex { params }).map_err(words)?;
        findings.faults.extend(audit::verify_index(&*snapshot).map_err(words)?);
        let cipher = version_cipher(self.secret);
        let version_id = |sequence| cipher.id(sequence);
        findings.faults.extend(audit::verify_segments(&*snapshot, &version_id).map_err(words)?);
        Ok(findings)
    }

    /// The key that signs the roots of the record of accesses.
    pub(super) fn audit_signer(&self) -> &Arc<Signer> {
        &self.audit_signer
    }

    /// Whether the keys are on disk; a store in memory leaves nothing behind.
    pub(super) fn is_kept(&self) -> bool {
        self.keys.is_some()
    }

    /// The search parameters in force, and the job that indexes by them.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The compression of new versions.
    pub(super) fn packing(&self) -> &Arc<Packing> {
        &self.packing
    }

    /// The store.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// Rebuilds the index if another release wrote it, because searches would be wrong until then.
    ///
    /// # Errors
    /// The reason, as text for the user.
    pub(super) fn bring_up_to_date(&self) -> Result<(), String> {
        let words = |error: StoreError| error.to_string();
        if !self.index.is_of_another_release(&*self.kv).map_err(words)? {
            return Ok(());
        }
        tracing::info!("the index was made by another release; it is made anew");
        let done = self.index.catch_up(&*self.kv, false, &|| true).map_err(words)?;
        tracing::info!(resources = done, "the index is made");
        Ok(())
    }
}

/// An opened store, and the same store as a sled backend if it is one on disk.
pub(super) type OpenStore = (Arc<dyn Kv>, Option<Arc<Sled>>);

/// Opens the configured store, or creates it: the database if one is configured, otherwise the data directory.
///
/// # Errors
/// The reason, as text for the user.
pub(super) fn open_store(config: &Config) -> Result<OpenStore, String> {
    if let Some(options) = config.database()? {
        let store = Postgres::open(&options, Arc::new(SystemClock)).map_err(|error| error.to_string())?;
        make_private_folder(&config.data).map_err(|error| format!("{}: {error}", config.data.display()))?;
        return Ok((Arc::new(store), None));
    }
    let store = Sled::open(&SledOptions::new(&config.data), Arc::new(SystemClock));
    let store = Arc::new(store.map_err(|error| match error {
        StoreError::InUse => in_use(config),
        error => error.to_string(),
    })?);
    Ok((store.clone(), Some(store)))
}

/// Who has the data directory open, and what the user can do.
fn in_use(config: &Config) -> String {
    let data = config.data.display();
    let known = std::fs::read(config.data.join("server.json")).ok();
    let known: Option<serde_json::Value> = known.and_then(|text| serde_json::from_slice(&text).ok());
    let server = known.as_ref().and_then(|server| {
        let (url, process) = (server.get("base_url")?.as_str()?, server.get("pid")?);
        // The file may be left from a server that has ended; then another command holds the directory.
        let processes = std::path::Path::new("/proc");
        let runs = !processes.is_dir() || processes.join(process.to_string()).is_dir();
        runs.then(|| format!("the server at {url} (process {process})"))
    });
    let server = server.unwrap_or_else(|| "another process".to_owned());
    format!(
        "{data} is in use by {server}: stop it first, or use what asks a running server: its URL, `import --url`, `backup`, `client`, `user`, `keys rotate`, `reindex`"
    )
}

/// Makes sure that the data directory exists, for commands that must not create one.
///
/// # Errors
/// If there is none: what to do.
pub(super) fn must_exist(config: &Config) -> Result<(), String> {
    if config.store.is_some() { Ok(()) } else { is_data(&config.data) }
}

/// Whether a path is a data directory, or a copy of the journal of one.
///
/// # Errors
/// If it is none: what to do.
pub(super) fn is_data(path: &std::path::Path) -> Result<(), String> {
    if path.join("journal").is_dir() {
        return Ok(());
    }
    let what = if path.exists() { "is no data directory" } else { "is not there" };
    let path = path.display();
    Err(format!("{path} {what}: name the data directory, or make one with `chartward serve --data {path}`"))
}

/// The claims that every token has; the caller fills in the party.
pub fn claims(url: &str, lifetime_seconds: i64) -> Result<AccessToken, String> {
    let id = random_bytes::<16>().map_err(|error| error.to_string())?;
    let iat = now() / 1_000;
    Ok(AccessToken {
        iss: url.to_owned(),
        aud: url.to_owned(),
        client_id: "chartward".to_owned(),
        iat,
        exp: iat + lifetime_seconds,
        jti: hex(&id),
        ..AccessToken::default()
    })
}

/// The key of the store's secret.
pub(super) fn secret_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"secret").into_bytes()
}

/// The store's secret, created with the store. Version ids and page links are derived from it, so it is stored with the data.
fn secret(kv: &dyn Kv) -> Result<[u8; 32], String> {
    let key = secret_key();
    let failed = |error: &dyn std::fmt::Display| format!("the store's secret: {error}");
    loop {
        let snapshot = kv.snapshot(At::Latest).map_err(|error| failed(&error))?;
        if let Some((value, _)) = snapshot.get(&key).map_err(|error| failed(&error))? {
            return value.first_chunk::<32>().copied().ok_or_else(|| failed(&"it has the wrong length"));
        }
        let bytes = random_bytes::<32>().map_err(|error| failed(&error))?;
        let batch = Batch {
            expectations: vec![Expectation::Key { key: key.clone(), sequence: None }],
            writes: vec![Write { key: key.clone(), value: Some(bytes.to_vec()), ..Write::default() }],
            ..Batch::default()
        };
        match kv.commit(batch).wait() {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}
