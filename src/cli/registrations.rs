//! `chartward client` and `chartward user`: registrations, changed in the data directory or by the server that has it open.
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::auth::{Client, Register, Registration, RegistrationStatus, Registry, RegistryError, User};

use super::backup::{RemoteFailure, ask_server_with};
use super::clock::now;
use super::config::{Common, Config};
use super::house::{House, must_exist};

/// Manage clients: apps and systems that request access tokens
#[derive(clap::Args)]
pub struct ClientArguments {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(clap::Subcommand)]
enum ClientCommand {
    /// Register a client and print its registration; a generated secret is printed only this once
    Add(Box<ClientAdd>),
    /// Print all registrations, one per line
    List(Common),
    /// Print a registration
    Show(Named),
    /// Change a registration; all tokens of the client are revoked
    Change(Box<ClientChange>),
    /// Refuse the client and all its tokens, from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
    /// Remove a registration for good; its id cannot be used again
    Remove(Named),
}

/// Manage users: people who log in at the server's own page
#[derive(clap::Args)]
pub struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(clap::Subcommand)]
enum UserCommand {
    /// Register a user; asks for the password twice, or reads the first line of standard input if that is no terminal
    Add(UserAdd),
    /// Set a new password for a user, read as by `add`
    Password(Named),
    /// Print all registrations, one per line
    List(Common),
    /// Print a registration
    Show(Named),
    /// Change a registration, except the password; all tokens that the user has granted are revoked
    Change(UserChange),
    /// Refuse the user and all tokens that the user granted, from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
    /// Remove a registration for good; its name cannot be used again
    Remove(Named),
}

#[derive(clap::Args)]
struct Named {
    #[command(flatten)]
    common: Common,
    /// The client's id, or the user's name
    id: String,
}

/// The rights of a client or user, and the party that it acts for.
#[derive(clap::Args)]
struct Rights {
    /// Role in the hospital: system, clinician, technician, administrator, privacy-officer, patient, representative, insurer,
    /// researcher; for a client, its role when it acts for itself
    #[arg(long)]
    role: Option<String>,
    /// Organization that it acts for, as Organization/id
    #[arg(long)]
    organization: Option<String>,
    /// The resource that represents it, such as Practitioner/id, Patient/id, RelatedPerson/id or Device/id
    #[arg(long)]
    user: Option<String>,
    /// Id of the patient to whom access is confined, or for whom it acts
    #[arg(long)]
    patient: Option<String>,
    /// Allowed purposes of use, as codes of v3-ActReason; the first is used when a request states none
    #[arg(long, value_delimiter = ',')]
    purpose: Vec<String>,
}

impl Rights {
    /// The members of a registration that were given as flags.
    fn members(&self) -> Map<String, Value> {
        object([
            ("role", text(self.role.as_ref())),
            ("organization", text(self.organization.as_ref())),
            ("fhir_user", text(self.user.as_ref())),
            ("patient", text(self.patient.as_ref())),
            ("purposes", (!self.purpose.is_empty()).then(|| json!(self.purpose))),
        ])
    }
}

#[derive(clap::Args)]
struct ClientAdd {
    #[command(flatten)]
    common: Common,
    /// Id of the client: letters, digits and any of -._~
    id: String,
    /// Name that users see [default: the id]
    #[arg(long)]
    name: Option<String>,
    /// How the client authenticates: client_secret_basic, private_key_jwt or none (a public client)
    #[arg(long, default_value = "client_secret_basic")]
    auth: String,
    /// File with the client's public keys, a JSON Web Key Set
    #[arg(long, conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// URL where the client publishes its public keys
    #[arg(long)]
    jwks_uri: Option<String>,
    /// Allowed grants: client_credentials, authorization_code, refresh_token
    #[arg(long, value_delimiter = ',', default_value = "client_credentials")]
    grant: Vec<String>,
    /// Scopes that the client may request, such as "system/*.rs"
    #[arg(long)]
    scope: String,
    /// Address to send users back to after login; repeat for more
    #[arg(long)]
    redirect_uri: Vec<String>,
    /// Ways to launch the app: standalone, ehr
    #[arg(long, value_delimiter = ',')]
    launch: Vec<String>,
    /// Allow the client to choose the ids of resources (create by PUT)
    #[arg(long)]
    assign_ids: bool,
    /// Allow the client to store Consents of members with Patient/$member-match
    #[arg(long)]
    files_consent: bool,
    /// Bind access tokens to the TLS certificate that the client presents when it requests them
    #[arg(long)]
    certificate_bound: bool,
    /// Ignore unknown search parameters instead of answering 400
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    rights: Rights,
}

#[derive(clap::Args)]
struct ClientChange {
    #[command(flatten)]
    named: Named,
    /// Name that users see
    #[arg(long)]
    name: Option<String>,
    /// Generate a new secret and print it, only this once
    #[arg(long)]
    new_secret: bool,
    /// File with the client's public keys, a JSON Web Key Set
    #[arg(long)]
    jwks: Option<PathBuf>,
    /// URL where the client publishes its public keys
    #[arg(long)]
    jwks_uri: Option<String>,
    /// Allowed grants: client_credentials, authorization_code, refresh_token
    #[arg(long, value_delimiter = ',')]
    grant: Option<Vec<String>>,
    /// Scopes that the client may request
    #[arg(long)]
    scope: Option<String>,
    /// Address to send users back to after login; replaces all earlier addresses
    #[arg(long)]
    redirect_uri: Option<Vec<String>>,
    /// Ways to launch the app: standalone, ehr
    #[arg(long, value_delimiter = ',')]
    launch: Option<Vec<String>>,
    /// Whether the client may choose the ids of resources
    #[arg(long)]
    assign_ids: Option<bool>,
    /// Whether the client may store Consents of members with Patient/$member-match
    #[arg(long)]
    files_consent: Option<bool>,
    /// Whether access tokens are bound to the client's TLS certificate
    #[arg(long)]
    certificate_bound: Option<bool>,
    /// Whether to ignore unknown search parameters instead of answering 400
    #[arg(long)]
    lenient: Option<bool>,
    /// Remove these settings: jwks, jwks_uri, role, organization, fhir_user, patient, purposes, default_purpose
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    #[command(flatten)]
    rights: Rights,
}

#[derive(clap::Args)]
struct UserChange {
    #[command(flatten)]
    named: Named,
    /// Whether the user may break the glass (emergency access)
    #[arg(long)]
    may_break_glass: Option<bool>,
    /// Remove these settings: organization, fhir_user, patient, purposes
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    #[command(flatten)]
    rights: Rights,
}

#[derive(clap::Args)]
#[command(mut_arg("role", |role| role.required(true)))]
struct UserAdd {
    #[command(flatten)]
    common: Common,
    /// Name to log in with
    name: String,
    /// Allow the user to break the glass (emergency access)
    #[arg(long)]
    may_break_glass: bool,
    #[command(flatten)]
    rights: Rights,
}

/// A request to the registry, and the method and path that ask a running server for the same.
struct RegistryRequest<'a> {
    /// Whether a missing data directory is created: the first client or user may be added before the server's first start.
    begins: bool,
    method: &'a str,
    path: String,
    body: Option<&'a str>,
}

impl<'a> RegistryRequest<'a> {
    fn of(method: &'a str, path: String, body: Option<&'a str>) -> Self {
        Self { begins: false, method, path, body }
    }
}

pub fn client(arguments: &ClientArguments) -> Result<(), String> {
    match &arguments.command {
        ClientCommand::Add(add) => register::<Client>(&add.common, &client_registration(add)?),
        ClientCommand::List(common) => list::<Client>(common),
        ClientCommand::Show(named) => show::<Client>(named),
        ClientCommand::Change(change) => update::<Client>(&change.named, &client_change(change)?),
        ClientCommand::Remove(named) => remove::<Client>(named),
        ClientCommand::Disable(named) => enable::<Client>(named, RegistrationStatus::Disabled),
        ClientCommand::Enable(named) => enable::<Client>(named, RegistrationStatus::Enabled),
    }
}

pub fn user(arguments: &UserArguments) -> Result<(), String> {
    match &arguments.command {
        UserCommand::Add(add) => register::<User>(&add.common, &user_registration(add, &password()?)),
        UserCommand::Password(named) => {
            let body = json!({"password": password()?}).to_string();
            let asked = RegistryRequest::of("POST", format!("{}/password", path::<User>(named)), Some(&body));
            ask(&named.common, &asked, &|registry| {
                registry.change_password(&named.id, &body, now())?;
                Ok(json!({"id": named.id}))
            })
        }
        UserCommand::List(common) => list::<User>(common),
        UserCommand::Show(named) => show::<User>(named),
        UserCommand::Change(change) => update::<User>(&change.named, &user_change(change)?),
        UserCommand::Remove(named) => remove::<User>(named),
        UserCommand::Disable(named) => enable::<User>(named, RegistrationStatus::Disabled),
        UserCommand::Enable(named) => enable::<User>(named, RegistrationStatus::Enabled),
    }
}

/// The path of a registration on a server.
fn path<T: Registration>(named: &Named) -> String {
    format!("{}/{}", T::PATH, named.id)
}

fn register<T: Register>(common: &Common, body: &str) -> Result<(), String> {
    let asked =
        RegistryRequest { begins: true, ..RegistryRequest::of("POST", T::PATH.to_owned(), Some(body)) };
    ask(common, &asked, &|registry| T::register(registry, body))
}

fn list<T: Registration>(common: &Common) -> Result<(), String> {
    ask(common, &RegistryRequest::of("GET", T::PATH.to_owned(), None), &|registry| {
        Ok(registry.list::<T>()?.iter().map(T::shown).collect())
    })
}

fn show<T: Registration>(named: &Named) -> Result<(), String> {
    ask(&named.common, &RegistryRequest::of("GET", path::<T>(named), None), &|registry| {
        Ok(registry.find::<T>(&named.id)?.ok_or(RegistryError::Absent)?.shown())
    })
}

fn update<T: Registration>(named: &Named, body: &str) -> Result<(), String> {
    ask(&named.common, &RegistryRequest::of("PATCH", path::<T>(named), Some(body)), &|registry| {
        registry.update::<T>(&named.id, body, now())
    })
}

fn remove<T: Registration>(named: &Named) -> Result<(), String> {
    ask(&named.common, &RegistryRequest::of("DELETE", path::<T>(named), None), &|registry| {
        registry.remove::<T>(&named.id, now())?;
        Ok(json!({"id": named.id, "removed": true}))
    })
}

fn enable<T: Registration>(named: &Named, enabling: RegistrationStatus) -> Result<(), String> {
    let word = match enabling {
        RegistrationStatus::Enabled => "enable",
        RegistrationStatus::Disabled => "disable",
    };
    ask(
        &named.common,
        &RegistryRequest::of("POST", format!("{}/{word}", path::<T>(named)), None),
        &|registry| {
            registry.enable::<T>(&named.id, enabling, now())?;
            Ok(json!({"id": named.id, "disabled": enabling == RegistrationStatus::Disabled}))
        },
    )
}

/// Asks for a new password: twice at a terminal, which does not show it; otherwise reads the first line of standard input.
fn password() -> Result<String, String> {
    if std::io::stdin().is_terminal() {
        let asked = |prompt: &str| rpassword::prompt_password(prompt).map_err(|error| error.to_string());
        let password = asked("Password: ")?;
        return if asked("The same again: ")? == password {
            Ok(password)
        } else {
            Err("the two passwords are not the same; nothing was changed".to_owned())
        };
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Sends the request to the registry of the data directory, or to the server that has it open, and prints the answer.
fn ask(
    common: &Common,
    asked: &RegistryRequest<'_>,
    here: &dyn Fn(&Registry) -> Result<Value, RegistryError>,
) -> Result<(), String> {
    let config = Config::load(common)?;
    if !asked.begins {
        must_exist(&config)?;
    }
    let answer = match House::open(&config) {
        Ok(house) => {
            let registry = Registry::new(house.kv().clone());
            let answer = here(&registry).map_err(|error| error.to_string())?;
            if let Some(sled) = &house.sled {
                sled.close().map_err(|error| error.to_string())?;
            }
            answer
        }
        Err(reason) => {
            let text = ask_server_with(&config, asked.method, &asked.path, asked.body);
            let text = text.map_err(|error| match error {
                RemoteFailure::Refused(said) => said,
                RemoteFailure::Unasked(other) => format!("{reason}; {other}"),
            })?;
            serde_json::from_str(&text).map_err(|error| error.to_string())?
        }
    };
    let lines = match answer {
        Value::Array(lines) => lines,
        one => vec![one],
    };
    let mut out = std::io::stdout();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(|error| error.to_string())
}

/// The members that have a value.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| json!(text))
}

/// The JSON Web Key Set in a file.
fn keys_of(path: Option<&PathBuf>) -> Result<Option<Value>, String> {
    let Some(path) = path else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(&error))
}

/// A change as JSON; removed settings are null.
///
/// # Errors
/// If nothing is to be changed.
fn changed(mut members: Map<String, Value>, without: &[String]) -> Result<String, String> {
    members.extend(without.iter().map(|name| (name.clone(), Value::Null)));
    if members.is_empty() {
        return Err("nothing is given that is to be changed; `--help` tells what can be".to_owned());
    }
    Ok(Value::Object(members).to_string())
}

fn client_change(change: &ClientChange) -> Result<String, String> {
    let mut members = object([
        ("client_name", text(change.name.as_ref())),
        ("client_secret", change.new_secret.then(|| json!(true))),
        ("jwks", keys_of(change.jwks.as_ref())?),
        ("jwks_uri", text(change.jwks_uri.as_ref())),
        ("grant_types", change.grant.as_ref().map(|grants| json!(grants))),
        ("scope", text(change.scope.as_ref())),
        ("redirect_uris", change.redirect_uri.as_ref().map(|uris| json!(uris))),
        ("default_purpose", text(change.rights.purpose.first())),
        ("launch", change.launch.as_ref().map(|launch| json!(launch))),
        ("assign_ids", change.assign_ids.map(|yes| json!(yes))),
        ("files_consent", change.files_consent.map(|yes| json!(yes))),
        ("tls_client_certificate_bound_access_tokens", change.certificate_bound.map(|yes| json!(yes))),
        ("lenient", change.lenient.map(|yes| json!(yes))),
    ]);
    members.extend(change.rights.members());
    changed(members, &change.without)
}

fn user_change(change: &UserChange) -> Result<String, String> {
    let mut members = object([("may_break_glass", change.may_break_glass.map(|yes| json!(yes)))]);
    members.extend(change.rights.members());
    changed(members, &change.without)
}

fn client_registration(add: &ClientAdd) -> Result<String, String> {
    let jwks = keys_of(add.jwks.as_ref())?;
    let mut members = object([
        ("client_id", Some(json!(add.id))),
        ("client_name", Some(json!(add.name.as_ref().unwrap_or(&add.id)))),
        ("token_endpoint_auth_method", Some(json!(add.auth))),
        ("grant_types", Some(json!(add.grant))),
        ("scope", Some(json!(add.scope))),
        ("redirect_uris", Some(json!(add.redirect_uri))),
        ("jwks", jwks),
        ("jwks_uri", text(add.jwks_uri.as_ref())),
        ("default_purpose", text(add.rights.purpose.first())),
        ("lenient", Some(json!(add.lenient))),
        ("tls_client_certificate_bound_access_tokens", Some(json!(add.certificate_bound))),
        ("assign_ids", Some(json!(add.assign_ids))),
        ("files_consent", Some(json!(add.files_consent))),
        ("launch", Some(json!(add.launch))),
    ]);
    members.extend(add.rights.members());
    Ok(Value::Object(members).to_string())
}

fn user_registration(add: &UserAdd, password: &str) -> String {
    let mut members = object([
        ("name", Some(json!(add.name))),
        ("password", Some(json!(password))),
        ("may_break_glass", Some(json!(add.may_break_glass))),
    ]);
    members.extend(add.rights.members());
    Value::Object(members).to_string()
}
