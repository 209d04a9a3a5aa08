//! How many resources match, without reading any.
use std::time::Instant;

use crate::search::Scope;
use crate::store::kv::StoreError;

use super::probe::RowView;
use super::report::ReportStep;
use super::search::Search;

impl Search<'_> {
    /// The number of matches that the mask shows.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails.
    pub fn count(&self) -> Result<usize, StoreError> {
        let scope = self.view.scope(self.def);
        if scope == Scope::Nothing {
            return Ok(0);
        }
        let begun = Instant::now();
        let mut scanned = 0;
        let set = self.view.gather(self.def, &self.whole, &mut scanned)?;
        let mut count = set.len();
        if scope == Scope::Unknown {
            count = 0;
            for row in &set {
                count += u64::from(RowView::new(self.view, row).is_shown()?);
            }
        }
        self.report.add(ReportStep {
            what: format!("count of {}", self.whole.name()),
            scanned,
            returned: count,
            time: begun.elapsed(),
            ..ReportStep::default()
        });
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}
