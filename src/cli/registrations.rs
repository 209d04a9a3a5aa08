//! `chartward client` and `chartward user`: registrations in a data directory, or with the server that has it open.
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::auth::{Enabling, Registry, RegistryError};

use super::backup::{NotDone, ask_server_with};
use super::config::{Common, Config};
use super::house::{House, must_exist, now};

/// Clients of the authorization server: apps and systems that ask for access tokens.
#[derive(clap::Args)]
pub struct ClientArguments {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(clap::Subcommand)]
enum ClientCommand {
    /// Register a client, and print its registration; with the secret, where one is made, this once
    Add(Box<ClientAdd>),
    /// Print all registrations, one a line
    List(Common),
    /// Print a registration
    Show(Named),
    /// Refuse the client and all its tokens from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
}

/// Users of the authorization server: who logs in at its page.
#[derive(clap::Args)]
pub struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(clap::Subcommand)]
enum UserCommand {
    /// Register a user; the password is the first line of the standard input
    Add(UserAdd),
    /// Give a user another password, the first line of the standard input
    Password(Named),
    /// Print all registrations, one a line
    List(Common),
    /// Refuse the user and all tokens that it granted from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
}

#[derive(clap::Args)]
struct Named {
    #[command(flatten)]
    common: Common,
    /// The id of the client, or the name of the user
    id: String,
}

#[derive(clap::Args)]
struct ClientAdd {
    #[command(flatten)]
    common: Common,
    /// Its id: letters, digits and any of -._~
    id: String,
    /// Its name, as users see it [default: the id]
    #[arg(long)]
    name: Option<String>,
    /// How it proves who it is: client_secret_basic, private_key_jwt or none (a public client)
    #[arg(long, default_value = "client_secret_basic")]
    auth: String,
    /// A file with its public keys, as a JSON Web Key Set
    #[arg(long, conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where it publishes its keys
    #[arg(long)]
    jwks_uri: Option<String>,
    /// client_credentials, authorization_code, refresh_token
    #[arg(long, value_delimiter = ',', default_value = "client_credentials")]
    grant: Vec<String>,
    /// The scopes that it may ask for, such as "system/*.rs"
    #[arg(long)]
    scope: String,
    /// Where users are sent back to, as often as there are addresses
    #[arg(long)]
    redirect_uri: Vec<String>,
    /// What it is to the hospital, where it asks for itself
    #[arg(long)]
    role: Option<String>,
    /// Whom it acts for, as Organization/id
    #[arg(long)]
    organization: Option<String>,
    /// What it is in the records, such as Device/id
    #[arg(long)]
    user: Option<String>,
    /// The patient to whom it is confined, by id
    #[arg(long)]
    patient: Option<String>,
    /// For what it may ask, codes of v3-ActReason; the first is the one where it does not say
    #[arg(long, value_delimiter = ',')]
    purpose: Vec<String>,
    /// standalone, ehr
    #[arg(long, value_delimiter = ',')]
    launch: Vec<String>,
    /// Let it choose the ids of resources
    #[arg(long)]
    assign_ids: bool,
    /// Let it file Consents of others
    #[arg(long)]
    files_consent: bool,
    /// Bind its access tokens to the TLS certificate that it shows when it gets them
    #[arg(long)]
    certificate_bound: bool,
    /// Pass over parameters that are not known
    #[arg(long)]
    lenient: bool,
}

#[derive(clap::Args)]
struct UserAdd {
    #[command(flatten)]
    common: Common,
    /// The name to log in with
    name: String,
    /// What it is to the hospital: clinician, technician, administrator, privacy-officer, patient, representative, ...
    #[arg(long)]
    role: String,
    /// Whom it acts for, as Organization/id
    #[arg(long)]
    organization: Option<String>,
    /// What it is in the records: Practitioner/id, Patient/id, RelatedPerson/id
    #[arg(long)]
    user: Option<String>,
    /// The patient for whom it acts, by id
    #[arg(long)]
    patient: Option<String>,
    /// For what it may ask, codes of v3-ActReason; the first is the one where it does not say
    #[arg(long, value_delimiter = ',')]
    purpose: Vec<String>,
    /// Let it break the glass
    #[arg(long)]
    may_break_glass: bool,
}

/// What is asked of the registry, and the path at which a server is asked the same.
struct Asked<'a> {
    /// Whether it may be asked of a directory that is not there yet: whoever adds the first may do so before the first start.
    begins: bool,
    method: &'a str,
    path: String,
    body: Option<String>,
}

pub fn client(arguments: &ClientArguments) -> Result<(), String> {
    match &arguments.command {
        ClientCommand::Add(add) => {
            let body = client_registration(add)?;
            ask(&add.common, &addition("/admin/clients", body.clone()), &|registry| {
                registry.register_client(&body)
            })
        }
        ClientCommand::List(common) => ask(common, &get("/admin/clients".to_owned()), &|registry| {
            Ok(registry.clients()?.iter().map(crate::auth::Client::shown).collect())
        }),
        ClientCommand::Show(named) => {
            ask(&named.common, &get(format!("/admin/clients/{}", named.id)), &|registry| {
                Ok(registry.client(&named.id)?.ok_or(RegistryError::Absent)?.shown())
            })
        }
        ClientCommand::Disable(named) => enable_client(named, Enabling::Disabled),
        ClientCommand::Enable(named) => enable_client(named, Enabling::Enabled),
    }
}

pub fn user(arguments: &UserArguments) -> Result<(), String> {
    match &arguments.command {
        UserCommand::Add(add) => {
            let body = user_registration(add, &password()?);
            ask(&add.common, &addition("/admin/users", body.clone()), &|registry| {
                registry.register_user(&body)
            })
        }
        UserCommand::Password(named) => {
            let body = json!({"password": password()?}).to_string();
            let path = format!("/admin/users/{}/password", named.id);
            ask(&named.common, &post(path, Some(body.clone())), &|registry| {
                registry.change_password(&named.id, &body, now())?;
                Ok(json!({"id": named.id}))
            })
        }
        UserCommand::List(common) => ask(common, &get("/admin/users".to_owned()), &|registry| {
            Ok(registry.users()?.iter().map(crate::auth::User::shown).collect())
        }),
        UserCommand::Disable(named) => enable_user(named, Enabling::Disabled),
        UserCommand::Enable(named) => enable_user(named, Enabling::Enabled),
    }
}

fn password() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn word(enabling: Enabling) -> &'static str {
    match enabling {
        Enabling::Enabled => "enable",
        Enabling::Disabled => "disable",
    }
}

fn enable_client(named: &Named, enabling: Enabling) -> Result<(), String> {
    let path = format!("/admin/clients/{}/{}", named.id, word(enabling));
    ask(&named.common, &post(path, None), &|registry| {
        registry.enable_client(&named.id, enabling, now())?;
        Ok(json!({"id": named.id, "disabled": enabling == Enabling::Disabled}))
    })
}

fn enable_user(named: &Named, enabling: Enabling) -> Result<(), String> {
    let path = format!("/admin/users/{}/{}", named.id, word(enabling));
    ask(&named.common, &post(path, None), &|registry| {
        registry.enable_user(&named.id, enabling, now())?;
        Ok(json!({"id": named.id, "disabled": enabling == Enabling::Disabled}))
    })
}

fn get(path: String) -> Asked<'static> {
    Asked { begins: false, method: "GET", path, body: None }
}

fn post(path: String, body: Option<String>) -> Asked<'static> {
    Asked { begins: false, method: "POST", path, body }
}

fn addition(path: &str, body: String) -> Asked<'static> {
    Asked { begins: true, ..post(path.to_owned(), Some(body)) }
}

/// Has the registry of the data directory answer, or the server that has it open; prints the answer.
fn ask(
    common: &Common,
    asked: &Asked<'_>,
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
            let text = ask_server_with(&config, asked.method, &asked.path, asked.body.as_deref());
            let text = text.map_err(|error| match error {
                NotDone::Refused(said) => said,
                NotDone::Unasked(other) => format!("{reason}; {other}"),
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

/// The members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| json!(text))
}

fn client_registration(add: &ClientAdd) -> Result<String, String> {
    let jwks = match &add.jwks {
        Some(path) => {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
            Some(serde_json::from_slice(&bytes).map_err(|error| failed(&error))?)
        }
        None => None,
    };
    let members = object([
        ("client_id", Some(json!(add.id))),
        ("client_name", Some(json!(add.name.as_ref().unwrap_or(&add.id)))),
        ("token_endpoint_auth_method", Some(json!(add.auth))),
        ("grant_types", Some(json!(add.grant))),
        ("scope", Some(json!(add.scope))),
        ("redirect_uris", Some(json!(add.redirect_uri))),
        ("jwks", jwks),
        ("jwks_uri", text(add.jwks_uri.as_ref())),
        ("role", text(add.role.as_ref())),
        ("organization", text(add.organization.as_ref())),
        ("fhir_user", text(add.user.as_ref())),
        ("patient", text(add.patient.as_ref())),
        ("purposes", Some(json!(add.purpose))),
        ("default_purpose", text(add.purpose.first())),
        ("lenient", Some(json!(add.lenient))),
        ("tls_client_certificate_bound_access_tokens", Some(json!(add.certificate_bound))),
        ("assign_ids", Some(json!(add.assign_ids))),
        ("files_consent", Some(json!(add.files_consent))),
        ("launch", Some(json!(add.launch))),
    ]);
    Ok(Value::Object(members).to_string())
}

fn user_registration(add: &UserAdd, password: &str) -> String {
    let members = object([
        ("name", Some(json!(add.name))),
        ("password", Some(json!(password))),
        ("role", Some(json!(add.role))),
        ("organization", text(add.organization.as_ref())),
        ("fhir_user", text(add.user.as_ref())),
        ("patient", text(add.patient.as_ref())),
        ("purposes", Some(json!(add.purpose))),
        ("may_break_glass", Some(json!(add.may_break_glass))),
    ]);
    Value::Object(members).to_string()
}
