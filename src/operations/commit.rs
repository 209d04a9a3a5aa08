//! Commits a change together with its access record, retries if another write comes first, and makes the answer.
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::{Access, Action};
use crate::auth::Party;
use crate::model::Normalized;
use crate::store::{At, Committed, Draft, Stored};

use super::answer::{Answer, Body, Kind, Refusal};
use super::attempts::Attempts;
use super::audit::fill;
use super::context::Context;
use super::prepared::{Planned, Prepared, body, existing_unread};
use super::request::{Preference, RequestForRecord};
use super::session::Session;

/// What the access record of a commit says of its request, and the body that the sender prefers.
pub(super) struct CommitRecord {
    /// The name of the interaction.
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) asked: RequestForRecord,
    pub(super) preference: Preference,
}

/// Prepares a write on the snapshot of a session.
pub(super) type Prepare<'p> = dyn Fn(&mut Session<'_>) -> Result<Prepared, Refusal> + Sync + 'p;

/// Prepares and commits a change, and starts over while the writes of others come first.
pub(super) async fn committed(
    context: &Context,
    party: &Arc<Party>,
    recorded: CommitRecord,
    prepare: &Prepare<'_>,
) -> Result<Answer, Refusal> {
    let mut attempts = Attempts::within(context.options.overtaken_for);
    loop {
        let attempt = attempt(context, party, &recorded, prepare).await;
        if let ControlFlow::Break(settled) = attempts.settled(attempt).await {
            return settled;
        }
    }
}

/// Prepares and commits a change on the newest snapshot.
async fn attempt(
    context: &Context,
    party: &Arc<Party>,
    recorded: &CommitRecord,
    prepare: &Prepare<'_>,
) -> Result<Answer, Refusal> {
    let snapshot = context.kv.snapshot(At::Latest)?;
    let mut session = Session::new(context, party.clone(), &*snapshot)?;
    let prepared = prepare(&mut session);
    let mut planned = match prepared.map_err(|refusal| refusal.withholding(&session))? {
        Prepared::Nothing(mut answer, _) => {
            answer.withheld = session.lens.take_withheld();
            answer.criteria = session.take_criteria();
            return Ok(*answer);
        }
        Prepared::Change(planned) => planned,
    };
    let mut draft = Draft::packed(&context.packing);
    planned.expectations.iter().for_each(|expectation| draft.expect(expectation.clone()));
    draft.push(&*snapshot, &mut planned.change)?;
    for change in planned.others() {
        draft.push(&*snapshot, change)?;
    }
    let mut access = context.begin_record(party, (recorded.name, recorded.action), recorded.asked.clone())?;
    access.status = planned.kind.status();
    planned.on_record().for_each(|change| super::audit::add_change(&mut access, change));
    access.criteria = session.take_criteria();
    draft.batch.writes.extend(context.record_writes(&access, None, Some(snapshot.sequence())));
    let committed = context.kv.commit(draft.batch).await?;
    finish(&session, *planned, committed, 0, recorded.preference)
}

/// The answer to a committed change; `number` is the index of its row among the new rows of the batch.
pub(super) fn finish(
    session: &Session<'_>,
    planned: Planned,
    committed: Committed,
    number: u64,
    preference: Preference,
) -> Result<Answer, Refusal> {
    let Planned { change, kind, warnings, is_unread, .. } = planned;
    let version_id = session.version_id(committed.sequence);
    let row = change.prior.as_ref().map_or(committed.first_row + number, |prior| prior.row);
    session.context.packing.saw(row);
    let reference = format!("{}/{}", change.def.name, change.id);
    let Some(Normalized { text, meta_at }) = change.body else {
        let mut answer = Answer::new(Kind::NoContent, Body::None);
        answer.version_id = Some(version_id).filter(|_| !is_unread);
        answer.recorded = true;
        return Ok(answer);
    };
    let stored = Stored {
        row,
        sequence: committed.sequence,
        time: committed.time,
        method: change.method,
        def: change.def,
        id: change.id,
        text,
        meta_at,
    };
    let shown = session.lens.show_written(&stored, &version_id)?;
    if shown.is_none() && session.lens.keeps_record() {
        // A record keeper that may not read the resource still learns that it is stored, and where.
        let mut answer = Answer { kind, ..existing_unread(session, stored.def, &stored.id) };
        answer.recorded = true;
        return Ok(answer);
    }
    let mut answer = Answer::new(kind, body(shown.as_ref(), warnings, preference));
    let base = &session.context.options.base_url;
    answer.location = Some(format!("{base}/{reference}/_history/{version_id}"));
    answer.version_id = Some(version_id);
    answer.last_modified = Some(committed.time);
    answer.written = shown;
    answer.recorded = true;
    Ok(answer)
}

/// Adds what an entry's answer disclosed to the access record of the Bundle, whose status stays.
pub(super) fn add_to_record(access: &mut Access, answer: &Answer) {
    let status = access.status;
    fill(access, answer);
    access.status = status;
}
