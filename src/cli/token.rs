//! `chartward token`: issues an access token for the server of a data directory.
use std::io::Write as _;

use crate::auth::{Actor, Issuer, Role, check_scope};

use super::config::{Common, Config};
use super::house::{claims, must_exist};

/// Print an access token. It is signed with the key in the data directory, so whoever can read the key can issue tokens
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Who the token is for: Practitioner/id, Patient/id, RelatedPerson/id, Device/id
    #[arg(long)]
    user: Option<String>,
    /// Role: system, clinician, technician, administrator, privacy-officer, patient, representative, insurer or researcher
    #[arg(long)]
    role: String,
    /// Organization that the party acts for, as Organization/id
    #[arg(long)]
    organization: Option<String>,
    /// Purposes of use, as codes of v3-ActReason such as TREAT, HPAYMT, HOPERAT
    #[arg(long, value_delimiter = ',')]
    purpose: Vec<String>,
    /// SMART scopes, such as "user/*.cruds"
    #[arg(long, default_value = "user/*.cruds")]
    scope: String,
    /// Confine the token to this patient, by id
    #[arg(long)]
    patient: Option<String>,
    /// Name of the client
    #[arg(long, default_value = "chartward")]
    client: String,
    /// Allow the party to choose the ids of resources (create by PUT)
    #[arg(long)]
    assign_ids: bool,
    /// Allow the party to break the glass (emergency access), as a clinician of the own organization
    #[arg(long)]
    may_break_glass: bool,
    /// Allow the party to store Consents of members with Patient/$member-match
    #[arg(long)]
    files_consent: bool,
    /// Lifetime of the token, in seconds
    #[arg(long, default_value_t = 3600)]
    lifetime: i64,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.common)?;
    must_exist(&config)?;
    let role =
        Role::parse(&arguments.role).ok_or_else(|| format!("there is no role `{}`", arguments.role))?;
    check_scope(&arguments.scope)?;
    let actor = Actor {
        role: Some(role),
        organization: arguments.organization.as_deref(),
        fhir_user: arguments.user.as_deref(),
        patient: arguments.patient.as_deref(),
        purposes: &arguments.purpose,
        may_break_glass: arguments.may_break_glass,
    };
    actor.check()?;
    let key_file = config.data.join("keys/issuer.p8");
    let key = std::fs::read(&key_file).map_err(|error| {
        format!("{}: {error}; the server makes the key at its first start", key_file.display())
    })?;
    let url = base_url(&config)?;
    let mut token = claims(&url, arguments.lifetime)?;
    token.sub = arguments.user.clone().unwrap_or_else(|| arguments.client.clone());
    token.client_id.clone_from(&arguments.client);
    token.scope.clone_from(&arguments.scope);
    role.code().clone_into(&mut token.role);
    token.organization.clone_from(&arguments.organization);
    token.fhir_user.clone_from(&arguments.user);
    token.patient.clone_from(&arguments.patient);
    token.confined_to.clone_from(&arguments.patient);
    token.purpose_of_use.clone_from(&arguments.purpose);
    token.assign_ids = arguments.assign_ids;
    token.may_break_glass = arguments.may_break_glass;
    token.files_consent = arguments.files_consent;
    let signed = Issuer::new(&url, &key)?.sign(&token)?;
    writeln!(std::io::stdout(), "{signed}").map_err(|error| error.to_string())
}

/// The base URL of the data directory's server: as configured, or as the server wrote it at its last start.
pub(super) fn base_url(config: &Config) -> Result<String, String> {
    if let Some(url) = &config.public_url {
        return Ok(format!("{url}/fhir"));
    }
    let path = config.data.join("server.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            let server: serde_json::Value =
                serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            let url = server.get("base_url").and_then(serde_json::Value::as_str);
            url.map(str::to_owned).ok_or_else(|| format!("{} names no base_url", path.display()))
        }
        Err(_) => Ok(format!("http://{}/fhir", config.listen)),
    }
}
