//! `chartward client` and `chartward user`: registrations in a data directory, or with the server that has it open.
use std::io::{BufRead as _, IsTerminal as _, Write as _};
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
    /// Change a registration; every token that the client has ends
    Change(Box<ClientChange>),
    /// Refuse the client and all its tokens from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
    /// Remove a registration for good; its id is not given again
    Remove(Named),
}

/// Users of the authorization server: who logs in at its page.
#[derive(clap::Args)]
pub struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(clap::Subcommand)]
enum UserCommand {
    /// Register a user; the password is asked for twice, or is the first line of the standard input where that is no terminal
    Add(UserAdd),
    /// Give a user another password, which is asked for as by `add`
    Password(Named),
    /// Print all registrations, one a line
    List(Common),
    /// Print a registration
    Show(Named),
    /// Change a registration, but for the password; every token that the user has granted ends
    Change(UserChange),
    /// Refuse the user and all tokens that it granted from the next request on
    Disable(Named),
    /// Undo `disable`
    Enable(Named),
    /// Remove a registration for good; its name is not given again
    Remove(Named),
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
struct ClientChange {
    #[command(flatten)]
    named: Named,
    /// Its name, as users see it
    #[arg(long)]
    name: Option<String>,
    /// Make a new secret, and print it this once
    #[arg(long)]
    new_secret: bool,
    /// A file with its public keys, as a JSON Web Key Set
    #[arg(long)]
    jwks: Option<PathBuf>,
    /// Where it publishes its keys
    #[arg(long)]
    jwks_uri: Option<String>,
    /// client_credentials, authorization_code, refresh_token
    #[arg(long, value_delimiter = ',')]
    grant: Option<Vec<String>>,
    /// The scopes that it may ask for
    #[arg(long)]
    scope: Option<String>,
    /// Where users are sent back to, in the place of all addresses that there were
    #[arg(long)]
    redirect_uri: Option<Vec<String>>,
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
    /// For what it may ask; the first is the one where it does not say
    #[arg(long, value_delimiter = ',')]
    purpose: Option<Vec<String>>,
    /// standalone, ehr
    #[arg(long, value_delimiter = ',')]
    launch: Option<Vec<String>>,
    /// Whether it chooses the ids of resources
    #[arg(long)]
    assign_ids: Option<bool>,
    /// Whether it files Consents of others
    #[arg(long)]
    files_consent: Option<bool>,
    /// Whether its access tokens are bound to its TLS certificate
    #[arg(long)]
    certificate_bound: Option<bool>,
    /// Whether parameters that are not known are passed over
    #[arg(long)]
    lenient: Option<bool>,
    /// Take this away: jwks, jwks_uri, role, organization, fhir_user, patient, purposes, default_purpose
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
}

#[derive(clap::Args)]
struct UserChange {
    #[command(flatten)]
    named: Named,
    /// What it is to the hospital
    #[arg(long)]
    role: Option<String>,
    /// Whom it acts for, as Organization/id
    #[arg(long)]
    organization: Option<String>,
    /// What it is in the records: Practitioner/id, Patient/id, RelatedPerson/id
    #[arg(long)]
    user: Option<String>,
    /// The patient for whom it acts, by id
    #[arg(long)]
    patient: Option<String>,
    /// For what it may ask; the first is the one where it does not say
    #[arg(long, value_delimiter = ',')]
    purpose: Option<Vec<String>>,
    /// Whether it may break the glass
    #[arg(long)]
    may_break_glass: Option<bool>,
    /// Take this away: organization, fhir_user, patient, purposes
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
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
        ClientCommand::Change(change) => {
            let body = client_change(change)?;
            let path = format!("/admin/clients/{}", change.named.id);
            ask(&change.named.common, &by("PATCH", path, Some(body.clone())), &|registry| {
                registry.update_client(&change.named.id, &body, now())
            })
        }
        ClientCommand::Remove(named) => {
            let path = format!("/admin/clients/{}", named.id);
            ask(&named.common, &by("DELETE", path, None), &|registry| {
                registry.remove_client(&named.id, now())?;
                Ok(json!({"id": named.id, "removed": true}))
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
        UserCommand::Show(named) => {
            ask(&named.common, &get(format!("/admin/users/{}", named.id)), &|registry| {
                Ok(registry.user(&named.id)?.ok_or(RegistryError::Absent)?.shown())
            })
        }
        UserCommand::Change(change) => {
            let body = user_change(change)?;
            let path = format!("/admin/users/{}", change.named.id);
            ask(&change.named.common, &by("PATCH", path, Some(body.clone())), &|registry| {
                registry.update_user(&change.named.id, &body, now())
            })
        }
        UserCommand::Remove(named) => {
            let path = format!("/admin/users/{}", named.id);
            ask(&named.common, &by("DELETE", path, None), &|registry| {
                registry.remove_user(&named.id, now())?;
                Ok(json!({"id": named.id, "removed": true}))
            })
        }
        UserCommand::Disable(named) => enable_user(named, Enabling::Disabled),
        UserCommand::Enable(named) => enable_user(named, Enabling::Enabled),
    }
}

/// A new password: asked for twice at a terminal, which does not show it; else the first line of the standard input.
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

fn by(method: &'static str, path: String, body: Option<String>) -> Asked<'static> {
    Asked { begins: false, method, path, body }
}

fn get(path: String) -> Asked<'static> {
    by("GET", path, None)
}

fn post(path: String, body: Option<String>) -> Asked<'static> {
    by("POST", path, body)
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

/// The keys in a file.
fn keys_of(path: Option<&PathBuf>) -> Result<Option<Value>, String> {
    let Some(path) = path else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(&error))
}

/// A change with what is taken away.
///
/// # Errors
/// If nothing is changed.
fn changed(mut members: Map<String, Value>, without: &[String]) -> Result<String, String> {
    members.extend(without.iter().map(|name| (name.clone(), Value::Null)));
    if members.is_empty() {
        return Err("nothing is given that is to be changed; `--help` tells what can be".to_owned());
    }
    Ok(Value::Object(members).to_string())
}

fn client_change(change: &ClientChange) -> Result<String, String> {
    let members = object([
        ("client_name", text(change.name.as_ref())),
        ("client_secret", change.new_secret.then(|| json!(true))),
        ("jwks", keys_of(change.jwks.as_ref())?),
        ("jwks_uri", text(change.jwks_uri.as_ref())),
        ("grant_types", change.grant.as_ref().map(|grants| json!(grants))),
        ("scope", text(change.scope.as_ref())),
        ("redirect_uris", change.redirect_uri.as_ref().map(|uris| json!(uris))),
        ("role", text(change.role.as_ref())),
        ("organization", text(change.organization.as_ref())),
        ("fhir_user", text(change.user.as_ref())),
        ("patient", text(change.patient.as_ref())),
        ("purposes", change.purpose.as_ref().map(|purposes| json!(purposes))),
        ("default_purpose", text(change.purpose.as_ref().and_then(|purposes| purposes.first()))),
        ("launch", change.launch.as_ref().map(|launch| json!(launch))),
        ("assign_ids", change.assign_ids.map(|yes| json!(yes))),
        ("files_consent", change.files_consent.map(|yes| json!(yes))),
        ("tls_client_certificate_bound_access_tokens", change.certificate_bound.map(|yes| json!(yes))),
        ("lenient", change.lenient.map(|yes| json!(yes))),
    ]);
    changed(members, &change.without)
}

fn user_change(change: &UserChange) -> Result<String, String> {
    let members = object([
        ("role", text(change.role.as_ref())),
        ("organization", text(change.organization.as_ref())),
        ("fhir_user", text(change.user.as_ref())),
        ("patient", text(change.patient.as_ref())),
        ("purposes", change.purpose.as_ref().map(|purposes| json!(purposes))),
        ("may_break_glass", change.may_break_glass.map(|yes| json!(yes))),
    ]);
    changed(members, &change.without)
}

fn client_registration(add: &ClientAdd) -> Result<String, String> {
    let jwks = keys_of(add.jwks.as_ref())?;
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
