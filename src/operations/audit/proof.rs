//! `$audit-proof`: proves that an access record is in the record of accesses, and that the record of accesses has only grown (RFC
//! 6962). An auditor can check the proof without trusting the server.
use std::collections::BTreeSet;

use crate::audit::{
    Leaves as _, LogTree, RecordPlace, SignedRoot, consistency, inclusion, record_of_event, seal, signed_root,
};
use crate::model::{Issue, IssueCode, hex};
use crate::store::{At, Sequence, Snapshot};

use super::super::answer::{Answer, Body, Refusal, RefusalKind};
use super::super::parameters::{Call, Parameters};
use super::super::session::Session;

/// `AuditEvent/[id]/$audit-proof`: the leaf of the record from which the event is made, its path, and the signed root.
pub(in super::super) fn event_proof(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let id = call.id()?;
    // A party that may not read the event must learn nothing about its record.
    let read = super::super::search::audit_event(session, id.as_str())?;
    let Body::Disclosed(event) = &read.body else { return Err(Refusal::not_found()) };
    let patients: BTreeSet<String> = event.patients().clone();
    let sequence_of = |id: &str| session.context.cipher.sequence(id);
    let (place, _) = record_of_event(id.as_str(), &sequence_of).ok_or_else(Refusal::not_found)?;
    let out = included(session, place)?;
    session.about(out.json(), patients)
}

/// `AuditEvent/$audit-proof`: with `record` (commit and number, such as `17-0`) the proof for that record; otherwise the proof
/// that the tree of `from` records is the beginning of the tree of `to` records, or of all.
pub(in super::super) fn consistency_proof(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    if !session.lens.may_audit() {
        return Err(Refusal::forbidden("this is for administrators and privacy officers"));
    }
    let out = match call.text("record")? {
        Some(record) => {
            let wrong =
                || Refusal::bad_request(IssueCode::Value, "`record` is no commit and number such as 17-0");
            included(session, place(&record).ok_or_else(wrong)?)?
        }
        None => grown(session, call)?,
    };
    session.about(out.json(), BTreeSet::new())
}

fn place(text: &str) -> Option<RecordPlace> {
    let (sequence, number) = text.split_once('-')?;
    Some((Sequence(sequence.parse().ok()?), number.parse().ok()?))
}

/// Extends the tree to all records; returns its signed root, and a snapshot that contains both.
fn sealed(session: &Session<'_>) -> Result<(SignedRoot, Box<dyn Snapshot>), Refusal> {
    let context = session.context;
    let unsigned = || Refusal::not_supported("this server signs no record of accesses");
    let signer = context.audit_signer.as_ref().ok_or_else(unsigned)?;
    let signed = seal(&*context.kv, signer, context.now())?.ok_or_else(Refusal::not_found)?;
    Ok((signed, context.kv.snapshot(At::Latest)?))
}

fn with_root(session: &Session<'_>, out: Parameters, signed: &SignedRoot) -> Parameters {
    let public = session.context.audit_signer.as_ref().map(|signer| hex(signer.public())).unwrap_or_default();
    let text = SignedRoot::signed_text(signed.size, &signed.root, signed.time);
    out.string("size", &signed.size.to_string())
        .string("root", &signed.root)
        .instant("time", signed.time)
        .string("signed", text.trim_end())
        .string("signature", &signed.signature)
        .string("key", &signed.key)
        .string("public", &public)
}

fn included(session: &Session<'_>, place: RecordPlace) -> Result<Parameters, Refusal> {
    let (signed, snapshot) = sealed(session)?;
    let mut tree = LogTree::read(&*snapshot)?;
    let index = tree.index_of(&*snapshot, place)?.filter(|index| *index < signed.size);
    let index = index.ok_or_else(Refusal::not_found)?;
    tree.open_at(&*snapshot, index)?;
    tree.open_at(&*snapshot, signed.size.saturating_sub(1))?;
    let path = inclusion(&tree, index, signed.size)?;
    let leaf = tree.leaf(index)?;
    let (Sequence(sequence), number) = place;
    let mut out = Parameters::default()
        .string("record", &format!("{sequence}-{number}"))
        .string("index", &index.to_string())
        .string("leaf", &hex(&leaf));
    for step in path {
        out = out.string("path", &hex(&step));
    }
    Ok(with_root(session, out, &signed))
}

fn grown(session: &Session<'_>, call: &Call<'_>) -> Result<Parameters, Refusal> {
    let number = |name: &str| -> Result<Option<u64>, Refusal> {
        let wrong = |_| Refusal::bad_request(IssueCode::Value, format!("`{name}` is no number of records"));
        call.text(name)?.map(|text| text.parse().map_err(wrong)).transpose()
    };
    let (from, to) = (number("from")?, number("to")?);
    let (newest, snapshot) = sealed(session)?;
    let signed = match to {
        None => newest,
        Some(size) => {
            let none = || {
                let issue = Issue::error(IssueCode::NotFound, "no root over so many records was signed");
                Refusal::new(RefusalKind::NotFound, issue)
            };
            signed_root(&*snapshot, size)?.ok_or_else(none)?
        }
    };
    let mut out = Parameters::default();
    if let Some(from) = from {
        if from > signed.size || from == 0 {
            let message = "`from` is no smaller number of records than `to`";
            return Err(Refusal::bad_request(IssueCode::Value, message));
        }
        let mut tree = LogTree::read(&*snapshot)?;
        for index in [from - 1, from, signed.size.saturating_sub(1)] {
            tree.open_at(&*snapshot, index)?;
        }
        for step in consistency(&tree, from, signed.size)? {
            out = out.string("path", &hex(&step));
        }
        out = out.string("from", &from.to_string());
    }
    Ok(with_root(session, out, &signed))
}
