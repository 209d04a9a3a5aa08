//! The steps by which an answer was found, as issues of an outcome (`_explain`).
use crate::model::{Issue, IssueCode};
use crate::store::Report;

pub(super) fn explanation(report: &Report) -> Vec<Issue> {
    let steps = report.steps();
    (1..)
        .zip(&steps)
        .map(|(number, step)| {
            let ranges: Vec<String> =
                step.ranges.iter().map(|(start, end)| format!("{start}..{end}")).collect();
            let keys =
                if ranges.is_empty() { String::new() } else { format!("; keys {}", ranges.join(", ")) };
            let text = format!(
                "step {number}: {}; {} scanned, {} returned, {} us{keys}",
                step.what,
                step.scanned,
                step.returned,
                step.time.as_micros()
            );
            Issue::information(IssueCode::Informational, text)
        })
        .collect()
}
