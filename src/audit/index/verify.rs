//! Checks the stored segments against the records.
use crate::store::{Direction, Flow, KeyRange, Sequence, Snapshot, Space, StoreError};

use super::super::making::{Making, Reader};
use super::build::{base_url_of_index, described, last_segment};
use super::segment::{Body, Segment, body_key};
use super::shapes::Shapes;

/// Compares every stored segment with one that is made anew of the records. The texts name segments, never contents.
///
/// # Errors
/// [`StoreError`] if the disk fails.
pub fn verify_segments(
    snapshot: &dyn Snapshot,
    version_id: &dyn Fn(Sequence) -> String,
) -> Result<Vec<String>, StoreError> {
    let mut faults = Vec::new();
    let Some(base_url) = base_url_of_index(snapshot)? else { return Ok(faults) };
    let making = Making { reader: Reader::Auditor, base_url: &base_url, version_id };
    let segments = last_segment(snapshot)?.map_or(0, |(last, _)| last.saturating_add(1));
    let mut shapes = Shapes::default();
    let (mut after, mut expected) = (None, 0_u64);
    for number in 0..segments {
        let body = snapshot.get(&body_key(number))?.and_then(|(value, _)| Body::read(&value));
        let records = body.map_or(0, |body| body.records.len());
        let mut segment = Segment::default();
        for described in described(snapshot, after, records, (&making, &mut shapes))? {
            segment.add(described);
        }
        let Some(summary) = segment.summary() else {
            faults.push(format!("segment {number} of the index of accesses cannot be read"));
            break;
        };
        after = Some(summary.last);
        for (key, value) in segment.pairs(number) {
            expected += 1;
            if snapshot.get(&key)?.is_none_or(|(stored, _)| stored != value) {
                faults
                    .push(format!("segment {number} of the index of accesses is not what its records make"));
                break;
            }
        }
    }
    let mut stored = 0;
    snapshot.scan(&KeyRange::prefix(vec![Space::AuditIndex.byte()]), Direction::Forward, &mut |_, _| {
        stored += 1;
        Flow::Next
    })?;
    if faults.is_empty() && stored != expected {
        faults.push(format!("the index of accesses has {stored} keys; its records make {expected}"));
    }
    Ok(faults)
}
