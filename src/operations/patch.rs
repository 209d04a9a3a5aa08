//! patch (R4 http.html#patch): JSON Patch or FHIRPath Patch on the newest version that the party sees.
use crate::auth::Permission;
use crate::definitions::{TypeDef, r4};
use crate::fhirpath::apply_patch;
use crate::model::{Issue, IssueCode, ResourceId, Temporal, apply_json_patch, parse};
use crate::validate::{Incoming, Rules, Valid};

use super::answer::{Refusal, RefusalKind};
use super::precondition;
use super::prepared::{Input, InputBody, Prepared, put, settled};
use super::session::{Session, Writable};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let (current, stored, version_id, is_whole) =
        match session.look_to_write(&[Permission::Update], def, id)? {
            Writable::Resource { current, stored, version_id, is_whole } => {
                (current, stored, version_id, is_whole)
            }
            Writable::Deleted(_) => return Err(Refusal::gone()),
            Writable::Nothing { .. } => return Err(Refusal::not_found()),
        };
    precondition::check(&input.headers, Some((&version_id, stored.time)))?;
    if !is_whole && !session.lens.keeps_record() {
        // Refused before the patch is evaluated, because its tests would read the parts that are masked for the party.
        let message = "a part of the resource is not shown to the party: it is not patched";
        return Err(Refusal::new(RefusalKind::Conflict, Issue::error(IssueCode::Conflict, message)));
    }
    let text = stored.stamped(&version_id);
    let unprocessable = |outcome| Refusal::new(RefusalKind::Unprocessable, outcome);
    let patched = match &input.body {
        InputBody::JsonPatch(patch) => apply_json_patch(&text, patch).map_err(|outcome| {
            let is_malformed = outcome.issues.iter().any(|issue| issue.code == IssueCode::Structure);
            Refusal::new(
                if is_malformed { RefusalKind::BadRequest } else { RefusalKind::Unprocessable },
                outcome,
            )
        })?,
        InputBody::Valid(valid) if &*valid.def().name == "Parameters" => {
            let now = Temporal::from_millis(session.context.now());
            apply_patch(&text, valid.root(), now).map_err(unprocessable)?
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
        let issue = Issue::error(IssueCode::BusinessRule, "a patch does not change type or id");
        return Err(unprocessable(issue.into()));
    }
    let valid = Valid::check(Incoming::new(tree), r4(), Rules::default()).map_err(unprocessable)?;
    let planned = put(session, &valid, id.clone(), Some((*current).clone()))?;
    settled(session, planned, (&current, &stored), &input.headers)
}
