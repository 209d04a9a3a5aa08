//! create (R4 http.html#create), and conditional create by `If-None-Exist`.
use crate::definitions::TypeDef;

use super::answer::Refusal;
use super::conditional::matches;
use super::matches::Matches;
use super::prepared::{Input, Prepared, existing, existing_unread, put};
use super::request::decode_pairs;
use super::session::{Seen, Session};

pub(super) fn prepare(
    session: &Session<'_>,
    def: &'static TypeDef,
    input: &Input,
) -> Result<Prepared, Refusal> {
    let valid = input.resource(def)?;
    let mut expectations = Vec::new();
    if let Some(criteria) = &input.headers.if_none_exist {
        let criteria = criteria.rsplit('?').next().unwrap_or_default();
        match matches(session, def, &decode_pairs(criteria))? {
            Matches::None { expectations: ranges } => expectations = ranges,
            Matches::One { id, expectations } => {
                if let Seen::Resource { disclosed, .. } = session.look(def, &id)? {
                    let answer = existing(session, *disclosed, &input.headers);
                    return Ok(Prepared::Nothing(Box::new(answer), expectations));
                }
                if session.lens.keeps_record() {
                    let answer = existing_unread(session, def, &id);
                    return Ok(Prepared::Nothing(Box::new(answer), expectations));
                }
            }
            Matches::Several => {
                return Err(Refusal::precondition_failed("several resources match If-None-Exist"));
            }
        }
    }
    let id = match &input.assigned {
        Some(id) => id.clone(),
        None => session.context.fresh_id()?,
    };
    let mut planned = put(session, valid, id, None)?;
    planned.expectations.extend(expectations);
    Ok(Prepared::Change(Box::new(planned)))
}
