//! Pages whose matches must all be listed first: of sorted types or contained resources. Their links count matches.
use std::cmp::Ordering;

use crate::model::IssueCode;
use crate::search::{Contained, Filter, TotalMode};
use crate::store::{Report, Search, View, Way, compare_values};

use super::super::answer::Refusal;
use super::page::{Hit, Page, PageContents};

impl Page<'_, '_> {
    pub(super) fn listed(
        &self,
        view: &View<'_>,
        report: &Report,
        is_count: bool,
    ) -> Result<PageContents, Refusal> {
        let (start, page_end) = match &self.cursor {
            Some(cursor) if cursor.way == Way::Back => {
                (cursor.offset.saturating_sub(self.len), cursor.offset)
            }
            cursor => {
                let start = cursor.as_ref().map_or(0, |cursor| cursor.offset);
                (start, start.saturating_add(self.len))
            }
        };
        let wants_all = is_count || self.query.contained != Contained::False || self.wants_total();
        let beyond = self.session.context.options.total_unasked_max.saturating_add(1);
        let needed = if wants_all { usize::MAX } else { page_end.saturating_add(beyond) };
        let all = if self.query.contained == Contained::False {
            self.merged(view, report, needed)?
        } else {
            self.contained(view, report)?
        };
        let is_whole = wants_all || all.len() < needed;
        let has_next = all.len() > page_end;
        let total = is_whole.then_some(all.len());
        if is_count {
            return Ok(PageContents { total, ..PageContents::nothing() });
        }
        Ok(PageContents {
            hits: all.into_iter().take(page_end).skip(start).collect(),
            has_next,
            has_previous: start > 0,
            before: None,
            total: total.filter(|_| self.query.total != Some(TotalMode::None)),
        })
    }

    fn wants_total(&self) -> bool {
        matches!(self.query.total, Some(TotalMode::Accurate | TotalMode::Estimate))
    }

    /// The first `needed` matches of several types, sorted together.
    fn merged(&self, view: &View<'_>, report: &Report, needed: usize) -> Result<Vec<Hit>, Refusal> {
        let mut rows = Vec::new();
        for part in &self.parts {
            let filter = part.filters.first().cloned().unwrap_or(Filter::All(Vec::new()));
            let search = Search::new(view, part.def, &filter, &part.sort, report)?;
            let limit = self.session.context.options.listed_max;
            let found = search.page(None, Way::Onward, needed.min(limit.saturating_add(1)))?;
            if found.len() > limit {
                let message = format!("a sorted search of several types finds more than {limit} of one");
                return Err(Refusal::bad_request(IssueCode::TooCostly, message));
            }
            for row in found {
                rows.push((search.sort_values(row)?, row));
            }
        }
        let sort = self.parts.first().map_or([].as_slice(), |part| &part.sort);
        rows.sort_by(|(a, a_row), (b, b_row)| match compare_values(sort, a, b) {
            Ordering::Equal => a_row.cmp(b_row),
            order => order,
        });
        rows.truncate(needed);
        Ok(rows.into_iter().map(|(_, row)| Hit { row, contained: None }).collect())
    }
}
