//! A write of one resource: prepared by its interaction, and committed.
use std::sync::Arc;

use crate::auth::Party;

use super::answer::{Answer, Refusal};
use super::commit::{CommitRecord, committed};
use super::context::Context;
use super::interactions::prepare_write;
use super::place::Place;
use super::prepared::{Input, Prepared};
use super::provenance_header;
use super::request::Request;
use super::table::{Code, Interaction};

/// Answers a write.
pub(super) async fn write(
    context: &Context,
    party: &Arc<Party>,
    row: &Interaction,
    place: &Place,
    request: Request,
) -> Result<Answer, Refusal> {
    let asked = request.asked();
    if matches!(row.code, Code::Delete | Code::ConditionalDelete) {
        provenance_header::refuse(&request.headers)?;
    }
    let provenance = provenance_header::read(&request.headers)?;
    let input = Input::new(request)?;
    let preference = input.headers.preference;
    let recorded = CommitRecord { name: row.name, action: row.action, asked, preference };
    committed(context, party, recorded, &|session| {
        let mut prepared = prepare_write(session, row, place, &input)?;
        if let (Some(provenance), Prepared::Change(planned)) = (&provenance, &mut prepared) {
            planned.bring(provenance_header::plan(session, provenance, &[&**planned])?);
        }
        Ok(prepared)
    })
    .await
}
