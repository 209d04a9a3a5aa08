//! patch (R4 http.html#patch): JSON Patch or FHIRPath Patch on the newest version that the party sees.
use crate::auth::Permission;
use crate::definitions::{TypeDef, r4};
use crate::fhirpath::apply_patch;
use crate::model::{IssueCode, ResourceId, Temporal, apply_json_patch, parse};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Refusal, RefusalKind};
use super::session::{Seen, Session};
use super::write::{Input, InputBody, Prepared, check_if_match, put};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let (current, disclosed) = match session.look_to(&[Permission::Update], def, id)? {
        Seen::Resource { current, disclosed, .. } => (current, disclosed),
        Seen::Deleted(_) => return Err(Refusal::gone()),
        Seen::Nothing { .. } => return Err(Refusal::not_found()),
    };
    check_if_match(&input.headers, Some(disclosed.version_id()))?;
    let unprocessable = |outcome| Refusal::new(RefusalKind::Unprocessable, outcome);
    let patched = match &input.body {
        InputBody::JsonPatch(patch) => apply_json_patch(disclosed.text(), patch).map_err(|outcome| {
            let is_malformed = outcome.issues.iter().any(|issue| issue.code == IssueCode::Structure);
            Refusal::new(
                if is_malformed { RefusalKind::BadRequest } else { RefusalKind::Unprocessable },
                outcome,
            )
        })?,
        InputBody::Valid(valid) if &*valid.def().name == "Parameters" => {
            let now = Temporal::from_millis(session.engine.now());
            apply_patch(disclosed.text(), valid.root(), now).map_err(unprocessable)?
        }
        InputBody::Valid(_) | InputBody::None => {
            let message = "a patch is a JSON Patch document or a Parameters resource";
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        }
    };
    let tree = parse(patched.into_bytes())
        .map_err(|error| Refusal::bad_request(IssueCode::Structure, error.to_string()))?;
    let is_same = tree.root().str_at("resourceType") == Some(&def.name)
        && tree.root().str_at("id") == Some(id.as_str());
    if !is_same {
        let issue = crate::model::Issue::error(IssueCode::BusinessRule, "a patch does not change type or id");
        return Err(unprocessable(issue.into()));
    }
    let valid = Valid::check(Incoming::new(tree), r4(), Rules::default()).map_err(unprocessable)?;
    put(session, &valid, id.clone(), Some(*current)).map(|planned| Prepared::Change(Box::new(planned)))
}
