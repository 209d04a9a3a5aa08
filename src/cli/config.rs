//! The configuration: a TOML file, then environment variables `CHARTWARD_*`, then flags; later sources override earlier ones.
//! Unknown keys are errors. The configuration is read once, at the start.
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::consent::Settings;
use crate::store::PostgresOptions;

use super::allowed::none_of;
use super::policy::{self, ConsentConfig};
use super::telemetry::LogConfig;
use super::trust::{CertificateSection, IntrospectionSection, IssuerSection};

/// All settings, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// A PostgreSQL database that holds the data instead of the data directory, which then holds only keys:
    /// `postgres://user:password@host/database`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_password")]
    pub store: Option<String>,
    /// The schema in that database.
    pub store_schema: String,
    /// Certificate authorities in PEM that sign the database's certificate; the connection then uses TLS, as with
    /// `sslmode=require`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ca: Option<PathBuf>,
    /// The address to listen on; port 0 lets the system choose.
    pub listen: String,
    /// Where clients reach the server, if not at the listening address: scheme, host and port, without a path.
    pub public_url: Option<String>,
    /// The hospital's own organization, as `Organization/id`.
    pub organization: String,
    /// The policy where no Consent decides: deny, own-tpo, own-treat, treat-only, tpo or permit-all.
    pub default_policy: String,
    /// The effect of breaking the glass: override, consent-only or off.
    pub break_glass: String,
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// The longest time for a request, in seconds.
    pub request_seconds_max: u64,
    /// The longest time, in seconds: until a connection has sent the whole head of a request; for a pause in a body; for an
    /// answer that the client does not read.
    pub head_seconds_max: u64,
    pub body_pause_seconds_max: u64,
    pub unread_seconds_max: u64,
    /// How long a person's session in a browser may be without use, in seconds.
    pub session_idle_seconds_max: u64,
    /// How long a person's session in a browser may last, in seconds.
    pub session_seconds_max: u64,
    /// Matches on a page if the client asks for no number, and at most.
    pub page_len_default: usize,
    pub page_len_max: usize,
    /// The most resources that includes may add to a page.
    pub include_len_max: usize,
    /// Refuse references to resources that do not exist, and deletion of resources that others refer to.
    pub referential_integrity: bool,
    /// Refuse to delete a Patient that another resource refers to.
    pub keep_patients_referred_to: bool,
    /// Whether an update that changes nothing still creates a version.
    pub version_unchanged: bool,
    /// Other issuers of access tokens that the server accepts.
    #[serde(rename = "issuer", skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerSection>,
    /// The server that introspects opaque tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionSection>,
    /// Clients that authenticate by certificate.
    #[serde(rename = "certificate", skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateSection>,
    /// Allow registered clients to publish their keys in private networks, and without TLS.
    pub jwks_private_networks: bool,
    /// Settings of the record of accesses.
    pub audit: AuditConfig,
    /// How Consents are interpreted.
    pub consent: ConsentConfig,
    /// Settings of the log and of monitoring.
    pub log: LogConfig,
}

/// How accesses are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Reads by the hospital's own staff: `prompt` answers at once and records the read with the next sync; `durable` records it
    /// before answering, as is always done for other parties.
    pub reads: String,
    /// How often the record of accesses is sealed and its root signed, in seconds.
    pub seal_seconds: u64,
    /// A file to which every signed root is appended. If it lies on another machine, `audit verify --anchor` can detect a
    /// truncated record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { reads: "prompt".to_owned(), seal_seconds: 60, anchor: None }
    }
}

impl AuditConfig {
    /// Whether reads by the own staff are answered only after they are recorded.
    ///
    /// # Errors
    /// If the setting is unknown.
    pub fn is_durable(&self) -> Result<bool, String> {
        self.reads_at_once().map_err(|(key, said)| format!("{key}: {said}"))
    }

    fn reads_at_once(&self) -> Result<bool, (&'static str, String)> {
        match self.reads.as_str() {
            "prompt" => Ok(false),
            "durable" => Ok(true),
            other => Err(("audit.reads", none_of(other, &["prompt", "durable"]))),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./chartward-data"),
            store: None,
            store_schema: "chartward".to_owned(),
            store_ca: None,
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            organization: "Organization/hospital".to_owned(),
            default_policy: "own-tpo".to_owned(),
            break_glass: "override".to_owned(),
            body_bytes_max: 256 * 1024 * 1024,
            request_seconds_max: 300,
            head_seconds_max: 60,
            body_pause_seconds_max: 30,
            unread_seconds_max: 60,
            session_idle_seconds_max: 15 * 60,
            session_seconds_max: 12 * 3_600,
            page_len_default: 20,
            page_len_max: 1_000,
            include_len_max: 1_000,
            referential_integrity: false,
            keep_patients_referred_to: true,
            version_unchanged: false,
            issuers: Vec::new(),
            introspection: None,
            certificates: Vec::new(),
            jwks_private_networks: false,
            audit: AuditConfig::default(),
            consent: ConsentConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// The flags of a command that works on a data directory without a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DirectoryFlags {
    /// Data directory [default: ./chartward-data]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// PostgreSQL database to use instead of the data directory, as postgres://user:password@host/database
    #[arg(long)]
    pub store: Option<String>,
    /// Configuration file in TOML
    #[arg(long)]
    pub config: Option<PathBuf>,
}

impl DirectoryFlags {
    /// The configuration with these flags.
    ///
    /// # Errors
    /// The reason, as text for the user.
    pub(super) fn load(&self) -> Result<Config, String> {
        Config::load(&Common { place: self.clone(), ..Common::default() })
    }
}

/// The flags of a command that is a server, or that asks a running one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub place: DirectoryFlags,
    /// Address to listen on; port 0 chooses a free one [default: 127.0.0.1:8080]
    #[arg(long)]
    pub listen: Option<String>,
    /// URL where clients reach the server, if not at the listening address: scheme, host and port
    #[arg(long)]
    pub public_url: Option<String>,
}

/// The address of a database without its password.
#[allow(clippy::ref_option, reason = "serde asks for it so")]
fn without_password<S: Serializer>(store: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = store.as_deref().and_then(|url| {
        let (scheme, rest) = url.split_once("://")?;
        let (user, rest) = rest.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{rest}"))
    });
    serializer.serialize_some(&shown.as_deref().or(store.as_deref()))
}

/// The largest time limit: a day, in seconds.
const SECONDS_MAX: u64 = 86_400;

impl Config {
    /// The options of the database that holds the data, if one is configured.
    ///
    /// # Errors
    /// If the file of certificate authorities cannot be read.
    pub(super) fn database(&self) -> Result<Option<PostgresOptions>, String> {
        let Some(url) = &self.store else { return Ok(None) };
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let authorities = self.store_ca.as_ref().map(read).transpose()?;
        let schema = self.store_schema.clone();
        Ok(Some(PostgresOptions { schema, authorities, ..PostgresOptions::new(url) }))
    }

    /// The effective configuration.
    ///
    /// # Errors
    /// The wrong key of the file, variable or value, and the reason.
    pub fn load(common: &Common) -> Result<Self, String> {
        let variables: Vec<(String, String)> = std::env::vars().collect();
        Self::layered(common, &variables)
    }

    fn layered(common: &Common, variables: &[(String, String)]) -> Result<Self, String> {
        let text = match &common.place.config {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let sources = Sources { file: common.place.config.as_deref(), text: &text, variables };
        let mut config = sources.layered()?;
        if let Some(data) = &common.place.data {
            config.data.clone_from(data);
        }
        if common.place.store.is_some() {
            config.store.clone_from(&common.place.store);
        }
        if let Some(listen) = &common.listen {
            config.listen.clone_from(listen);
        }
        if let Some(url) = &common.public_url {
            config.public_url = Some(url.clone());
        }
        config.check().map_err(|(key, said)| {
            let by_flag = key == "public_url" && common.public_url.is_some();
            let place = if by_flag { "--public-url: ".to_owned() } else { sources.whence(key) };
            format!("{place}{key}: {said}")
        })?;
        config.public_url = config.public_url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(config)
    }

    /// The settings of consent decisions.
    ///
    /// # Errors
    /// The key with an unknown value, and the allowed values.
    pub(super) fn settings(&self) -> Result<Settings, (&'static str, String)> {
        policy::settings(&self.consent, &self.default_policy, &self.break_glass, &self.organization)
    }

    /// Checks all values; an error names the wrong key.
    fn check(&self) -> Result<(), (&'static str, String)> {
        self.settings()?;
        self.audit.reads_at_once()?;
        self.log.check()?;
        if !is_organization(&self.organization) {
            let said = format!("`{}` is not written as Organization/id", self.organization);
            return Err(("organization", said));
        }
        if let Some(url) = &self.public_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(("public_url", format!("`{url}` begins with neither https:// nor http://")));
        }
        for (name, seconds) in [
            ("request_seconds_max", self.request_seconds_max),
            ("head_seconds_max", self.head_seconds_max),
            ("body_pause_seconds_max", self.body_pause_seconds_max),
            ("unread_seconds_max", self.unread_seconds_max),
            ("session_idle_seconds_max", self.session_idle_seconds_max),
            ("session_seconds_max", self.session_seconds_max),
        ] {
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return Err((name, format!("{seconds} is not between 1 and {SECONDS_MAX} seconds")));
            }
        }
        Ok(())
    }
}

fn is_organization(text: &str) -> bool {
    text.strip_prefix("Organization/").is_some_and(|id| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The sources of values, to name the wrong one in an error.
struct Sources<'a> {
    file: Option<&'a Path>,
    text: &'a str,
    variables: &'a [(String, String)],
}

impl Sources<'_> {
    fn layered(&self) -> Result<Config, String> {
        // Parses the file alone first, because its errors have a line.
        toml::from_str::<Config>(self.text).map_err(|error| {
            let before = error.span().and_then(|span| self.text.get(..span.start)).unwrap_or_default();
            self.at_line(before.matches('\n').count() + 1) + error.message()
        })?;
        let mut table: toml::Table =
            self.text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        for (name, value) in self.own_variables() {
            let before = table.clone();
            set(&mut table, &key_of(name), typed(value)).map_err(|error| format!("{name}: {error}"))?;
            let failed = table.clone().try_into::<Config>().err();
            // A later variable may complete a table that misses a member so far.
            let failed = failed.filter(|error| !error.message().starts_with("missing field"));
            if let Some(error) = failed.filter(|_| before.try_into::<Config>().is_ok()) {
                return Err(format!("{name}: {}", error.message()));
            }
        }
        table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    fn own_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| name.starts_with(PREFIX))
    }

    fn at_line(&self, line: usize) -> String {
        self.file.map_or_else(String::new, |file| format!("{}, line {line}: ", file.display()))
    }

    /// The variable or line of the file that sets a key; empty if none does.
    fn whence(&self, key: &str) -> String {
        if let Some((name, _)) = self.own_variables().find(|(name, _)| key_of(name).replace("__", ".") == key)
        {
            return format!("{name}: ");
        }
        let (within, own) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = "";
        for (line, number) in self.text.lines().map(str::trim).zip(1_usize..) {
            if let Some(header) = line.strip_prefix('[') {
                table = header.split(']').next().unwrap_or_default().trim();
            }
            let name = line.split_once('=').map(|(name, _)| name.trim());
            if table == within && name == Some(own) || table.is_empty() && name == Some(key) {
                return self.at_line(number);
            }
        }
        String::new()
    }
}

/// The prefix of environment variables.
const PREFIX: &str = "CHARTWARD_";

/// The key that a variable sets, with two underscores between a table and its member.
fn key_of(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase()
}

/// Sets a key; two underscores lead into a table: `CHARTWARD_AUDIT__READS` is `audit.reads`.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    let Some((outer, inner)) = key.split_once("__") else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let within = table.entry(outer).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let within = within.as_table_mut().ok_or_else(|| format!("{outer} is no table"))?;
    within.insert(inner.to_owned(), value);
    Ok(())
}

/// The value of a variable: a number, true or false, or else a text.
fn typed(value: &str) -> toml::Value {
    match (value.parse(), value.parse()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(truth)) => toml::Value::Boolean(truth),
        _ => toml::Value::String(value.to_owned()),
    }
}

/// Print the effective configuration as a TOML file
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    let text = toml::to_string(&config).map_err(|error| error.to_string())?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Common, Config, DirectoryFlags};

    #[test]
    fn flags_are_stronger_than_variables_and_those_than_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "listen = \"1.1.1.1:1\"\npage_len_max = 7\npage_len_default = 5\n").unwrap();
        let common = Common {
            place: DirectoryFlags { config: Some(file.clone()), ..DirectoryFlags::default() },
            listen: Some("3.3.3.3:3".to_owned()),
            ..Common::default()
        };
        let variables = [("CHARTWARD_PAGE_LEN_MAX".to_owned(), "9".to_owned())];
        let config = Config::layered(&common, &variables).unwrap();
        assert_eq!(
            (config.listen.as_str(), config.page_len_max, config.page_len_default),
            ("3.3.3.3:3", 9, 5)
        );
        std::fs::write(&file, "listn = 1\n").unwrap();
        assert!(Config::layered(&common, &[]).unwrap_err().contains("listn"));
        let variables = [("CHARTWARD_PAGE".to_owned(), "9".to_owned())];
        assert!(Config::layered(&Common::default(), &variables).unwrap_err().contains("page"));
        let variables = [("CHARTWARD_AUDIT__READS".to_owned(), "durable".to_owned())];
        let config = Config::layered(&Common::default(), &variables).unwrap();
        assert!(config.audit.is_durable().unwrap());
        assert!(toml::to_string(&config).unwrap().contains("[audit]\nreads = \"durable\""));
        let variables = [("CHARTWARD_AUDIT__READS".to_owned(), "never".to_owned())];
        assert!(Config::layered(&Common::default(), &variables).unwrap_err().contains("never"));
        // The password is not printed, and the public URL loses its trailing slash.
        let variables = [
            ("CHARTWARD_STORE".to_owned(), "postgres://own:pass@db.example.org/chartward".to_owned()),
            ("CHARTWARD_PUBLIC_URL".to_owned(), "https://fhir.example.org/".to_owned()),
        ];
        let config = Config::layered(&Common::default(), &variables).unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://fhir.example.org"));
        let printed = toml::to_string(&config).unwrap();
        assert!(printed.contains("postgres://own:***@db.example.org/chartward"), "{printed}");
        let variables = [("CHARTWARD_DEFAULT_POLICY".to_owned(), "maybe".to_owned())];
        assert!(Config::layered(&Common::default(), &variables).unwrap_err().contains("maybe"));
    }

    /// A wrong value is reported with its file and line or its variable, and with the allowed values.
    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        let place = DirectoryFlags { config: Some(file.clone()), ..DirectoryFlags::default() };
        let common = Common { place, ..Common::default() };
        for (text, line, part) in [
            ("listen = \"x\"\npage_len_max = \"many\"\n", 2, "expected usize"),
            ("listn = 1\n", 1, "expected one of"),
            ("\n[log]\nformt = \"json\"\n", 3, "`format`"),
            ("listen = [\n", 1, ""),
            ("default_policy = \"x\"\n", 1, "own-tpo"),
            ("break_glass = \"x\"\n", 1, "override, consent-only, off"),
            ("\n[log]\nformat = \"x\"\n", 3, "human, json"),
            ("[log]\nlevel = \"x\"\n", 2, "warn"),
            ("log.level = \"x\"\n", 1, "warn"),
            ("[audit]\nreads = \"x\"\n", 2, "prompt, durable"),
            ("[consent]\ncombining = \"x\"\n", 2, "most-recent"),
            ("organization = \"hospital\"\n", 1, "Organization/id"),
            ("public_url = \"hospital\"\n", 1, "https://"),
            ("request_seconds_max = 0\n", 1, "between 1 and"),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = Config::layered(&common, &[]).unwrap_err();
            let place = format!("{}, line {line}: ", file.display());
            assert!(said.starts_with(&place) && said.contains(part), "{text}: {said}");
        }
        for (name, value, part) in [
            ("CHARTWARD_PAGE_LEN_MAX", "x", "expected usize"),
            ("CHARTWARD_NOPE", "x", "expected one of"),
            ("CHARTWARD_LISTEN__X", "x", ""),
            ("CHARTWARD_DEFAULT_POLICY", "x", "own-tpo"),
            ("CHARTWARD_LOG__LEVEL", "x", "warn"),
            ("CHARTWARD_AUDIT__READS", "x", "prompt, durable"),
        ] {
            let variables = [
                ("CHARTWARD_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
                (name.to_owned(), value.to_owned()),
            ];
            let said = Config::layered(&Common::default(), &variables).unwrap_err();
            assert!(said.starts_with(&format!("{name}: ")) && said.contains(part), "{name}: {said}");
        }
    }
}
