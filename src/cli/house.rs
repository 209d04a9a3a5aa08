//! The house put together: a store, its secrets, the issuer, the engine.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{self, Signer};
use crate::auth::{AccessToken, Issuer, Party};
use crate::model::hex;
use crate::operations::{ContextParts, Engine, EngineOptions, Index, SearchIndex, version_cipher};
use crate::store::{
    At, Batch, CommitError, Expectation, Findings, Key, Kv, Memory, Packing, Postgres, Repository, Sled,
    SledOptions, Space, StoreError, SystemClock, Write, make_private_folder,
};

use super::clock::now;
use super::config::Config;
use super::keys;
use super::remote::Remote;
use super::trust::trust;

/// An open house.
pub struct House {
    kv: Arc<dyn Kv>,
    /// The backend on disk, where there is one.
    pub sled: Option<Arc<Sled>>,
    secret: [u8; 32],
    issuer_key: Vec<u8>,
    /// Public keys that have signed before.
    retired: Vec<serde_json::Value>,
    /// Where the keys are, if they are on disk.
    keys: Option<PathBuf>,
    index: Arc<Index>,
    packing: Arc<Packing>,
    audit_signer: Arc<Signer>,
}

impl House {
    /// Opens the data directory of a configuration, or makes it.
    ///
    /// # Errors
    /// In words.
    pub fn open(config: &Config) -> Result<Self, String> {
        let (kv, sled) = open_store(config)?;
        let folder = keys::folder(config);
        let audit_key = keys::owned_file(&folder.join("audit.p8"), Issuer::generate_key)?;
        let house = Self::with(kv, sled, keys::issuer_key(&folder)?, &audit_key)?;
        keys::note_public_key(&folder.join("audit.pub"), &hex(house.audit_signer.public()))?;
        Ok(Self { retired: keys::retired(&folder)?, keys: Some(folder), ..house })
    }

    /// A house in memory, which leaves nothing behind.
    ///
    /// # Errors
    /// In words.
    pub fn in_memory() -> Result<Self, String> {
        Self::with_key(Issuer::generate_key()?)
    }

    /// A house of nothing but the key of an issuer, to mint tokens with.
    ///
    /// # Errors
    /// In words.
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

    /// The engine of a server at a base URL (with `/fhir`, without a slash at its end).
    ///
    /// # Errors
    /// If the issuer's key cannot be used.
    pub fn engine(&self, config: &Config, base_url: &str, open: bool) -> Result<Engine, String> {
        // The tables are read before the server says that it is ready, not by its first request.
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
        engine.authorization.fetch_keys_with(Arc::new(Remote), config.jwks_private_networks);
        Ok(engine)
    }

    /// The issuer of tokens for a base URL.
    ///
    /// # Errors
    /// If its key cannot be used.
    pub fn issuer(&self, base_url: &str) -> Result<Issuer, String> {
        Issuer::with_retired(base_url, &self.issuer_key, &self.retired)
    }

    /// Proves that the store is whole.
    ///
    /// # Errors
    /// If it cannot be read.
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

    /// The key that signs what the record of accesses is.
    pub(super) fn audit_signer(&self) -> &Arc<Signer> {
        &self.audit_signer
    }

    /// Whether its keys are on disk: what is in memory leaves nothing behind.
    pub(super) fn is_kept(&self) -> bool {
        self.keys.is_some()
    }

    /// The search parameters in force, and the work of indexing by them.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// How what is written is packed.
    pub(super) fn packing(&self) -> &Arc<Packing> {
        &self.packing
    }

    /// The store.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// Indexes everything anew where another release has written the directory: until then no search would be right.
    ///
    /// # Errors
    /// In words.
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

/// The store of a configuration, and the backend on disk where it is one.
pub(super) type OpenStore = (Arc<dyn Kv>, Option<Arc<Sled>>);

/// Opens the store of a configuration, or makes it: the database, or else the data directory.
///
/// # Errors
/// In words.
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

/// Who has the data directory open, and what can be done meanwhile.
fn in_use(config: &Config) -> String {
    let data = config.data.display();
    let known = std::fs::read(config.data.join("server.json")).ok();
    let known: Option<serde_json::Value> = known.and_then(|text| serde_json::from_slice(&text).ok());
    let server = known.as_ref().and_then(|server| {
        let (url, process) = (server.get("base_url")?.as_str()?, server.get("pid")?);
        // What is written there may be of a server that has ended; it is another command then.
        let processes = std::path::Path::new("/proc");
        let runs = !processes.is_dir() || processes.join(process.to_string()).is_dir();
        runs.then(|| format!("the server at {url} (process {process})"))
    });
    let server = server.unwrap_or_else(|| "another process".to_owned());
    format!(
        "{data} is in use by {server}: stop it first, or use what asks a running server: its URL, `import --url`, `backup`, `client`, `user`, `keys rotate`, `reindex`"
    )
}

/// Makes sure that there is a data directory, for commands that read one: they make none.
///
/// # Errors
/// What to do, if there is none.
pub(super) fn must_exist(config: &Config) -> Result<(), String> {
    if config.store.is_some() { Ok(()) } else { is_data(&config.data) }
}

/// Whether this is a data directory, or a copy of the journal of one.
///
/// # Errors
/// What to do, if it is none.
pub(super) fn is_data(path: &std::path::Path) -> Result<(), String> {
    if path.join("journal").is_dir() {
        return Ok(());
    }
    let what = if path.exists() { "is no data directory" } else { "is not there" };
    let path = path.display();
    Err(format!("{path} {what}: name the data directory, or make one with `chartward serve --data {path}`"))
}

/// A token's claims with what every token has; the caller fills in who it is for.
pub fn claims(url: &str, lifetime_seconds: i64) -> Result<AccessToken, String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| error.to_string())?;
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

/// Where the store's own secret is.
pub(super) fn secret_key() -> Vec<u8> {
    Key::new(Space::Meta).text(b"secret").into_bytes()
}

/// The store's own secret, made when the store is: version ids and page links depend on it, so it lives where they do.
fn secret(kv: &dyn Kv) -> Result<[u8; 32], String> {
    let key = secret_key();
    let failed = |error: &dyn std::fmt::Display| format!("the store's secret: {error}");
    loop {
        let snapshot = kv.snapshot(At::Latest).map_err(|error| failed(&error))?;
        if let Some((value, _)) = snapshot.get(&key).map_err(|error| failed(&error))? {
            return value.first_chunk::<32>().copied().ok_or_else(|| failed(&"it has the wrong length"));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| failed(&error))?;
        let batch = Batch {
            expectations: vec![Expectation::Key { key: key.clone(), sequence: None }],
            writes: vec![Write { key: key.clone(), value: Some(bytes.to_vec()), stamps: Vec::new() }],
            ..Batch::default()
        };
        match kv.commit(batch).wait() {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}
