//! delete (R4 http.html#delete). Absent and hidden resources count as deleted: the answer is 204, and nothing is done.
use crate::auth::Permission;
use crate::consent::Writing;
use crate::definitions::TypeDef;
use crate::model::ResourceId;
use crate::store::{Change, Derived, Method};

use super::answer::{Answer, Body, Kind, Refusal};
use super::cascade;
use super::precondition;
use super::prepared::{Input, Planned, Prepared};
use super::session::{Session, Writable};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    id: &ResourceId,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let Writable::Resource { current, stored, version_id, .. } =
        session.look_to_write(&[Permission::Delete], def, id)?
    else {
        return Ok(Prepared::Nothing(Box::new(Answer::new(Kind::NoContent, Body::None)), Vec::new()));
    };
    precondition::check(&input.headers, Some((&version_id, stored.time)))?;
    let is_read = !session.lens.keeps_record() || session.lens.show(&stored, &version_id)?.is_some();
    let tree = crate::model::parse(stored.text.into_bytes()).map_err(|_| Refusal::not_found())?;
    if !session.lens.may_write(tree.root(), Writing::Change)? {
        session.lens.refuse_to_write(format!("{}/{id}", def.name), tree.root());
        return Err(Refusal::forbidden("the party may not delete this"));
    }
    let cascades = cascade::is_asked_for(input)?;
    let subjects = session.lens.subjects_of(tree.root())?;
    let mut expectations = match cascades {
        true => cascade::not_held(session, &subjects)?,
        false => super::hold::not_held(session, &subjects)?,
    };
    if !cascades {
        expectations.extend(super::integrity::check_referrers(session, def, id)?);
    }
    // The facts stay: by them the lens decides who may see the deletion.
    let derived = Derived { entries: Vec::new(), facts: current.facts.clone() };
    let writer = session.repository().writer(current.row, current.sequence)?;
    let belongs = session.lens.belongings(tree.root(), writer.as_ref())?;
    let change = Change {
        def,
        id: id.clone(),
        method: Method::Delete,
        prior: Some(*current),
        body: None,
        derived,
        writer: None,
        belongs,
    };
    let mut planned = Planned { expectations, is_unread: !is_read, ..Planned::of(change, Kind::NoContent) };
    if cascades {
        cascade::extend(session, &mut planned)?;
    }
    Ok(Prepared::Change(Box::new(planned)))
}
