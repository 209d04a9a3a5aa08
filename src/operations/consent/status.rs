//! `Patient/[id]/$consent-enforcement-status`: which Consents of a patient are enforced, which are not, and why; and the remarks
//! on a Consent that is being written.
use std::collections::BTreeSet;

use crate::consent::{CompiledConsent, Status, compile, lint};
use crate::definitions::r4;
use crate::model::{Issue, IssueCode, Node, ResourceId, ResourceKey, parse};

use super::super::answer::{Answer, Refusal, RefusalKind};
use super::super::audit::name_of;
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;
use super::hypothetical_party::may_ask_about;
use super::sentences::sentences;

pub(in super::super) fn enforcement_status(
    session: &Session<'_>,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let patient = format!("Patient/{}", call.id()?);
    may_ask_about(session, &patient)?;
    let consents = session.lens.consents_of(&patient)?;
    // A Consent may have been stored before its Patient.
    let is_here = match super::file::known(session, call.id()?) {
        Ok(()) => true,
        Err(_) if consents.iter().any(|compiled| compiled.patient.as_ref() == Some(&patient)) => false,
        Err(refusal) => return Err(refusal),
    };
    let mut out = Parameters::default();
    for compiled in consents {
        out = out.parts("consent", of_consent(session, &compiled, is_here)?);
    }
    session.about(out.json(), BTreeSet::from([patient]))
}

fn of_consent(
    session: &Session<'_>,
    compiled: &CompiledConsent,
    is_here: bool,
) -> Result<Parameters, Refusal> {
    let now = session.context.now();
    let settings = &session.context.settings;
    let is_governed =
        compiled.scopes.is_empty() || compiled.scopes.iter().any(|scope| settings.scopes.contains(scope));
    let (code, reason) = match &compiled.status {
        Status::Unsupported(reason) => ("unsupported", *reason),
        _ if !is_here && compiled.patient.is_some() => {
            ("awaits-patient", "its Patient is not here: nothing is governed until it comes")
        }
        _ if !compiled.active => ("inactive", "its status is not active"),
        _ if !is_governed => ("not-governed", "its scope is not enforced here"),
        _ if compiled.period.end <= now => ("expired", "its period is over"),
        _ if compiled.period.start > now => ("not-yet", "its period has not begun"),
        Status::Ambiguous => {
            ("ambiguous", "it can be read in two ways; the more restrictive one is enforced")
        }
        Status::Enforceable => ("enforced", ""),
    };
    let mut out = Parameters::default()
        .reference("reference", &format!("Consent/{}", compiled.id))
        .code("status", code)
        .string("reason", reason);
    let stored = r4().resource("Consent").zip(ResourceId::parse(&compiled.id));
    if let Some((def, id)) = stored
        && let Some(current) = session.repository().current(def, &id)?
    {
        let text = session.repository().newest(&current)?.text;
        if let Ok(tree) = parse(text.into_bytes()) {
            for sentence in sentences(tree.root(), &|reference| name_of(session, reference)) {
                out = out.string("sentence", &sentence.text);
            }
            for remark in remarks(session, tree.root()) {
                out = out.string("remark", &remark.diagnostics);
            }
        }
    }
    Ok(out)
}

/// A strict deployment refuses Consents that are ambiguous or cannot be enforced.
///
/// # Errors
/// 422 saying what is wrong.
pub(in super::super) fn check_strictly(session: &Session<'_>, consent: Node<'_>) -> Result<(), Refusal> {
    if !session.context.settings.strict {
        return Ok(());
    }
    let message = match compile(consent).status {
        Status::Enforceable => return Ok(()),
        Status::Ambiguous => {
            "the consent can be read in two ways: say which with `provision.type`".to_owned()
        }
        Status::Unsupported(reason) => format!("the consent cannot be enforced: {reason}"),
    };
    let issue = Issue::error(IssueCode::BusinessRule, message).at("Consent.provision");
    Err(Refusal::new(RefusalKind::Unprocessable, issue))
}

/// The linter's remarks on a Consent.
pub(in super::super) fn remarks(session: &Session<'_>, consent: Node<'_>) -> Vec<Issue> {
    let is_known = |reference: &str| {
        let key = reference.split_once('/').and_then(|(name, id)| ResourceKey::new(name, id));
        // A resource that the writer does not see counts as absent. If the store fails here, the next step fails, too.
        key.is_some_and(|key| session.is_seen(&key).unwrap_or(true))
    };
    lint(consent, &compile(consent), &session.context.settings, session.context.now(), &is_known)
}
