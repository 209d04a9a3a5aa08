//! The header `X-Provenance` (R4 provenance.html#header): a Provenance in JSON about everything that a request writes, stored in
//! the same commit. The server fills in its targets.
use serde_json::{Value, json};

use crate::definitions::{TypeDef, r4};
use crate::model::{IssueCode, SyntaxError, Tree, parse};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Refusal, RefusalKind};
use super::place::{Place, permit};
use super::prepared::{Planned, check_scope, put};
use super::request::Headers;
use super::session::Session;
use super::table::{Code, INTERACTIONS, Interaction};

/// Reads the header of a create, update, patch or transaction.
///
/// # Errors
/// 400, if it is no Provenance or names a target.
pub(super) fn read(headers: &Headers) -> Result<Option<Value>, Refusal> {
    let Some(text) = &headers.provenance else { return Ok(None) };
    let wrong = |code, message: &str| Refusal::bad_request(code, format!("X-Provenance: {message}"));
    // This parser refuses ambiguous JSON.
    parse(text.clone().into_bytes()).map_err(|error| wrong(IssueCode::Structure, &error.to_string()))?;
    let provenance: Value =
        serde_json::from_str(text).map_err(|error| wrong(IssueCode::Structure, &error.to_string()))?;
    if provenance.get("resourceType").and_then(Value::as_str) != Some("Provenance") {
        return Err(wrong(IssueCode::Structure, "it holds no Provenance"));
    }
    if provenance.get("target").is_some() {
        return Err(wrong(IssueCode::Invalid, "the target is filled in by the server"));
    }
    Ok(Some(provenance))
}

/// Refuses the header on requests that write nothing a Provenance could be about, or write in more than one commit: ignored, it
/// would be lost.
///
/// # Errors
/// 400, if the header is present.
pub(super) fn refuse(headers: &Headers) -> Result<(), Refusal> {
    match headers.provenance {
        None => Ok(()),
        Some(_) => {
            let message = "X-Provenance is for a create, an update, a patch or a transaction";
            Err(Refusal::bad_request(IssueCode::NotSupported, message))
        }
    }
}

/// Plans the Provenance about what these changes write. Its targets name no versions, because the commit assigns them.
///
/// # Errors
/// The same refusals as for a Provenance that is posted.
pub(super) fn plan(
    session: &mut Session<'_>,
    provenance: &Value,
    written: &[&Planned],
) -> Result<Planned, Refusal> {
    let mut targets = Vec::new();
    for Planned { change, tree, .. } in written {
        let reference = format!("{}/{}", change.def.name, change.id);
        targets.push(json!({"reference": reference}));
        session.expect(reference, tree.as_ref().map(Tree::root));
    }
    let mut provenance = provenance.clone();
    if let Some(members) = provenance.as_object_mut() {
        members.insert("target".to_owned(), targets.into());
        members.remove("id");
    }
    let unreadable = |error: SyntaxError| Refusal::bad_request(IssueCode::Structure, error.to_string());
    let tree = parse(provenance.to_string().into_bytes()).map_err(unreadable)?;
    let valid = Valid::check(Incoming::new(tree), r4(), Rules::default())
        .map_err(|outcome| Refusal::new(RefusalKind::Unprocessable, outcome))?;
    let (row, def) = posted().ok_or_else(Refusal::not_found)?;
    permit(session.lens.party(), row, &Place::Type(def))?;
    let planned = put(session, &valid, session.context.fresh_id()?, None)?;
    check_scope(session, row, &planned)?;
    Ok(planned)
}

/// The table row of a create, with the type Provenance.
fn posted() -> Option<(&'static Interaction, &'static TypeDef)> {
    let row = INTERACTIONS.iter().find(|row| row.code == Code::Create)?;
    Some((row, r4().resource("Provenance")?))
}
