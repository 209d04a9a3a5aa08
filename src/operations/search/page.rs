//! A page of a search: the matches on it, what they include, and the links to the pages beside it.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::audit::Patients;
use crate::consent::{Bundle, BundleEntry, BundleKind, SearchMode, SearchPart};
use crate::model::{Issue, IssueCode, Millis, Outcome, Reference, ReferenceTarget, parse};
use crate::search::{Contained, Filter, Query, Summary, TotalMode};
use crate::store::{At, Report, Repository, Search, Sequence, Snapshot, View, Way};

use super::super::answer::{Answer, Body, Kind, Refusal};
use super::super::cursor::Cursor;
use super::super::session::Session;
use super::super::terminology::looked_up;
use super::explain::explanation;
use super::include::{PageOfMatches, included};
use super::part::{Part, finding, self_text, unshown};
use super::reduce::reduce_by;

/// Every answer to a party whose view rests on consent says this, so that it reveals nothing.
const ADVISORY: &str = "results may be limited by consent or policy";

/// A page that is being made.
pub(super) struct Page<'p, 's> {
    pub(super) session: &'p Session<'s>,
    pub(super) parts: Vec<Part>,
    pub(super) query: Query,
    /// The path below the base URL.
    path: String,
    /// The query as in the self link.
    text: String,
    pub(super) len: usize,
    /// The snapshot that the first page read.
    pub(super) then: Arc<dyn Snapshot>,
    /// The position of the page, if it is not the first.
    pub(super) cursor: Option<Cursor>,
    first_asked: Millis,
}

/// The matches of a page.
pub(super) struct PageContents {
    /// The matches, in order.
    pub(super) hits: Vec<Hit>,
    pub(super) has_next: bool,
    pub(super) has_previous: bool,
    /// Going back: the row before the page's first match, if there is one.
    pub(super) before: Option<u64>,
    pub(super) total: Option<usize>,
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) row: u64,
    /// The id of the contained resource, if that is what matches and what is returned.
    pub(super) contained: Option<String>,
}

impl<'p, 's> Page<'p, 's> {
    pub(super) fn new(
        session: &'p Session<'s>,
        path: String,
        parts: Vec<Part>,
        query: Query,
    ) -> Result<Self, Refusal> {
        let text = self_text(&query);
        if query.explain && !session.context.may_administer(session.lens.party()) {
            return Err(Refusal::forbidden("`_explain` is for administrators"));
        }
        let options = &session.context.options;
        let len = query.count.unwrap_or(options.page_len_default).min(options.page_len_max);
        let cursor = match &query.cursor {
            Some(cursor) => Some(session.context.cursor(cursor, session.lens.party(), &path)?),
            None => None,
        };
        let sequence =
            cursor.as_ref().map_or(session.snapshot().sequence(), |cursor| Sequence(cursor.sequence));
        // The data are those of the first page's snapshot; consent is evaluated now.
        let then = Arc::from(session.context.kv.snapshot(At::Sequence(sequence))?);
        let first_asked = cursor.as_ref().map_or(session.context.now(), |cursor| cursor.first_asked);
        Ok(Self { session, parts, query, path, text, len, then, cursor, first_asked })
    }

    /// The page with another query in its links: that of an operation.
    pub(super) fn with_text(self, text: String) -> Self {
        Self { text, ..self }
    }

    pub(super) fn answer(self) -> Result<Answer, Refusal> {
        let begun = Instant::now();
        let report = Report::default();
        let (context, kind) = (self.session.context, self.parts.first().map_or("", |part| &*part.def.name));
        let answer = self.answered(&report);
        let took = begun.elapsed();
        if took >= context.options.slow_search {
            // The plan names parameters and counts, but no values from the query.
            let plan: Vec<String> = report
                .steps()
                .iter()
                .map(|step| {
                    format!(
                        "{} ({} scanned, {} returned, {} us)",
                        step.what,
                        step.scanned,
                        step.returned,
                        step.time.as_micros()
                    )
                })
                .collect();
            let (plan, millis) = (plan.join("; "), took.as_secs_f64() * 1e3);
            tracing::warn!(resource = kind, millis, plan, "search was slow");
        }
        answer
    }

    fn answered(mut self, report: &Report) -> Result<Answer, Refusal> {
        let then = self.then.clone();
        let repository = Repository::new(&*then);
        let parts = std::mem::take(&mut self.parts);
        let sight = self.session.lens.finding(self.finding(&parts));
        let view = View::new(&repository, Some(self.session.repository()), &sight);
        let asked =
            parts.iter().map(|part| Part { sort: Vec::new(), filters: part.filters.clone(), ..*part });
        let asked: Vec<Part> = asked.collect();
        for part in parts {
            let filter = looked_up(self.session, &view, part.def, Filter::all(part.filters))?;
            self.parts.push(Part { filters: vec![filter], ..part });
        }
        let is_count = self.query.summary == Summary::Count || self.len == 0;
        let mut found = self.find(&view, report, is_count)?;
        let way = self.cursor.as_ref().map_or(Way::Onward, |cursor| cursor.way);
        let skipped = self.cursor.as_ref().map_or(0, |cursor| cursor.included);
        let rows: Vec<u64> = found.hits.iter().map(|hit| hit.row).collect();
        let included =
            included(self.session, &self.query, &view, PageOfMatches { matches: &rows, skipped, way })?;
        let is_cut = included.matches < rows.len() || included.goes_on_at.is_some();
        let goes_on = included.goes_on_at.map(|at| (self.before(&found, way), at));
        found.keep(included.matches, way);
        let mut bundle = Bundle {
            kind: BundleKind::Searchset,
            id: self.session.context.fresh_id()?.to_string(),
            time: self.session.context.now(),
            total: found.total,
            links: self.links(then.sequence(), &found, goes_on)?,
            entries: Vec::new(),
        };
        if !is_count {
            repository.announce(&rows)?;
            repository.announce(&included.rows)?;
            // A page that continues a match's includes does not repeat the match.
            for hit in found.hits.iter().filter(|_| skipped == 0) {
                bundle.entries.extend(self.entry(&repository, hit, SearchMode::Match)?);
            }
            for row in included.rows {
                let hit = Hit { row, contained: None };
                bundle.entries.extend(self.entry(&repository, &hit, SearchMode::Include)?);
            }
        }
        let mut issues = other_versions(&bundle.entries);
        if is_cut {
            let limit = self.session.context.options.include_len_max;
            let message = format!(
                "a page includes at most {limit} resources (include_len_max): the others are on the next page"
            );
            issues.push(Issue::information(IssueCode::Informational, message));
        }
        if self.query.explain {
            issues.extend(explanation(report));
        }
        bundle.entries.extend(self.remarks(issues, is_count));
        let shown = if is_count { 0 } else { found.hits.len() };
        let mut answer = Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose()));
        let request = (self.path.as_str(), self.query.used.as_slice());
        answer.unshown = unshown(self.session, &asked, request, (shown, found.total), then.sequence());
        Ok(answer)
    }

    /// The patients whom all matches are about, on all pages.
    pub(super) fn patients(mut self) -> Result<Patients, Refusal> {
        let then = self.then.clone();
        let repository = Repository::new(&*then);
        let parts = std::mem::take(&mut self.parts);
        let sight = self.session.lens.finding(self.finding(&parts));
        let view = View::new(&repository, Some(self.session.repository()), &sight);
        for part in parts {
            let filter = looked_up(self.session, &view, part.def, Filter::all(part.filters))?;
            self.parts.push(Part { filters: vec![filter], sort: Vec::new(), ..part });
        }
        let report = Report::default();
        let mut whose = PatientsOfRows {
            session: self.session,
            repository: &repository,
            known: HashSet::new(),
            patients: Patients::default(),
        };
        if self.query.contained != Contained::False {
            let hits = self.contained(&view, &report)?;
            whose.add(&hits.into_iter().map(|hit| hit.row).collect::<Vec<_>>())?;
            return Ok(whose.patients);
        }
        for part in &self.parts {
            let search = Search::new(&view, part.def, part.filters.first().unwrap_or(&ALL), &[], &report)?;
            let mut from = None;
            loop {
                let rows = search.page(from, Way::Onward, ROWS_AT_ONCE)?;
                whose.add(&rows)?;
                from = rows.last().copied();
                if rows.len() < ROWS_AT_ONCE {
                    break;
                }
            }
        }
        Ok(whose.patients)
    }

    /// Which resources the search finds: only those shown whole, if a part asks for something that masking may leave out.
    pub(super) fn finding(&self, parts: &[Part]) -> SearchPart {
        let asks = |part: &Part| finding(&self.session.params, &part.filters, &part.sort);
        if parts.iter().any(|part| asks(part) == SearchPart::Whole) {
            SearchPart::Whole
        } else {
            SearchPart::Visible
        }
    }

    fn find(&self, view: &View<'_>, report: &Report, is_count: bool) -> Result<PageContents, Refusal> {
        if self.query.contained != Contained::False || (self.parts.len() > 1 && !self.query.sort.is_empty()) {
            return self.listed(view, report, is_count);
        }
        let mut searches = Vec::new();
        for part in &self.parts {
            let filter = part.filters.first().unwrap_or(&ALL);
            searches.push(Search::new(view, part.def, filter, &part.sort, report)?);
        }
        let mut found = if is_count { PageContents::nothing() } else { self.rows(view, &searches)? };
        let wants_total = matches!(self.query.total, Some(TotalMode::Accurate | TotalMode::Estimate));
        if is_count || (wants_total && found.total.is_none()) {
            found.total = Some(total_of(&searches)?);
        }
        if self.query.total == Some(TotalMode::None) && !is_count {
            found.total = None;
        }
        Ok(found)
    }

    /// The rows of the page, one type after the other.
    fn rows(&self, view: &View<'_>, searches: &[Search<'_>]) -> Result<PageContents, Refusal> {
        let way = self.cursor.as_ref().map_or(Way::Onward, |cursor| cursor.way);
        let from = self.cursor.as_ref().and_then(Cursor::from);
        // The type of the cursor's row; the types before it (going back: after it) are done.
        let mut done = match from {
            Some(row) => view.repository().current_of_row(row)?.map(|current| current.def.id),
            None => None,
        };
        let mut from = from;
        let mut rows: Vec<u64> = Vec::new();
        // One row more shows that there is a next page; the first page reads on to find a total that was not asked for.
        let looks_further = self.cursor.is_none() && self.query.total.is_none() && searches.len() == 1;
        let further = if looks_further { self.session.context.options.total_unasked_max } else { 0 };
        let wanted = self.len + 1 + further;
        let order: Vec<&Search<'_>> = match way {
            Way::Onward => searches.iter().collect(),
            Way::Back => searches.iter().rev().collect(),
        };
        for search in order {
            match done {
                Some(id) if id != search.def().id => continue,
                _ => done = None,
            }
            let mut more = search.page(from.take(), way, wanted - rows.len())?;
            match way {
                Way::Onward => rows.append(&mut more),
                Way::Back => rows = [more, rows].concat(),
            }
            if rows.len() >= wanted {
                break;
            }
        }
        let is_cut = rows.len() > self.len;
        // If fewer rows were found than wanted, they are all there are.
        let small_total = (rows.len() < wanted).then_some(rows.len());
        let mut before = None;
        if is_cut {
            match way {
                Way::Onward => rows.truncate(self.len),
                Way::Back => before = Some(rows.remove(0)),
            }
        }
        let total = match &self.cursor {
            None => small_total,
            // The total counts what may be seen now.
            Some(cursor) if cursor.total.is_some() => Some(total_of(searches)?),
            Some(_) => None,
        };
        Ok(PageContents {
            has_next: if way == Way::Onward { is_cut } else { true },
            has_previous: if way == Way::Onward {
                self.cursor.as_ref().and_then(Cursor::from).is_some()
            } else {
                is_cut
            },
            before,
            hits: rows.into_iter().map(|row| Hit { row, contained: None }).collect(),
            total,
        })
    }

    /// The row before the match whose includes continue: that is the page's first match, or going back its last.
    fn before(&self, found: &PageContents, way: Way) -> Option<u64> {
        match way {
            Way::Onward => self.cursor.as_ref().and_then(Cursor::from),
            Way::Back => {
                let hit = found.hits.len().checked_sub(2).and_then(|at| found.hits.get(at));
                hit.map(|hit| hit.row).or(found.before)
            }
        }
    }

    /// The address of the self link.
    pub(super) fn own_address(&self) -> String {
        let base = format!("{}/{}", self.session.context.options.base_url, self.path);
        let base = base.trim_end_matches('/');
        if self.text.is_empty() { base.to_owned() } else { format!("{base}?{}", self.text) }
    }

    /// `goes_on`: after which row and after how many included resources the includes of the only match continue.
    fn links(
        &self,
        sequence: Sequence,
        found: &PageContents,
        goes_on: Option<(Option<u64>, usize)>,
    ) -> Result<Vec<(&'static str, String)>, Refusal> {
        let mut links = vec![("self", self.own_address())];
        // For links that count: the number of matches before the page, and up to its end.
        let (start, end) = match &self.cursor {
            Some(cursor) if cursor.way == Way::Back => {
                (cursor.offset.saturating_sub(found.hits.len()), cursor.offset)
            }
            cursor => {
                let start = cursor.as_ref().map_or(0, |cursor| cursor.offset);
                (start, start.saturating_add(found.hits.len()))
            }
        };
        let mut page_at = |relation, way, row: Option<u64>, (offset, included)| -> Result<(), Refusal> {
            let made = self.session.context.now();
            let (first_asked, total) = (self.first_asked, found.total);
            let row = row.unwrap_or(Cursor::AT_THE_BEGINNING);
            let cursor =
                Cursor { sequence: sequence.0, row, included, offset, way, total, made, first_asked };
            let (context, party) = (self.session.context, self.session.lens.party());
            links.push((relation, context.page_link(&cursor, party, (&self.path, &self.text))?));
            Ok(())
        };
        let (first, last) = (found.hits.first(), found.hits.last());
        if let Some((from, included)) = goes_on {
            page_at("next", Way::Onward, from, (start, included))?;
        } else if found.has_next {
            page_at("next", Way::Onward, last.map(|hit| hit.row), (end, 0))?;
        }
        let skipped = self.cursor.as_ref().map_or(0, |cursor| cursor.included);
        if let (Some(cursor), true) = (&self.cursor, skipped > 0) {
            // Earlier includes of the same match.
            let before = skipped.saturating_sub(self.session.context.options.include_len_max);
            page_at("previous", Way::Onward, cursor.from(), (start, before))?;
        } else if found.has_previous {
            page_at("previous", Way::Back, first.map(|hit| hit.row), (start, 0))?;
        }
        Ok(links)
    }

    pub(super) fn entry(
        &self,
        repository: &Repository<'_>,
        hit: &Hit,
        mode: SearchMode,
    ) -> Result<Option<BundleEntry>, Refusal> {
        let current = repository.current_of_row(hit.row)?.filter(|current| !current.deleted);
        let Some(current) = current else { return Ok(None) };
        let stored = repository.newest(&current)?;
        let version_id = self.session.version_id(stored.sequence);
        let Some(mut shown) = self.session.lens.show_newest(&current, &stored, &version_id)? else {
            return Ok(None);
        };
        let mut full_url = format!("{}/{}", self.session.context.options.base_url, shown.reference());
        let mut def = stored.def;
        if let Some(id) = &hit.contained {
            let Some((inner, inner_def)) = shown.contained(id) else { return Ok(None) };
            (shown, def) = (inner, inner_def);
            full_url = format!("{full_url}#{id}");
        }
        // `_summary` and `_elements` apply to matches alone (R4 search.html#elements).
        if mode == SearchMode::Match {
            shown = reduce_by(&shown, def, self.query.summary, &self.query.elements);
        }
        Ok(Some(BundleEntry {
            full_url: Some(full_url),
            resource: Some(shown),
            mode: Some(mode),
            ..BundleEntry::default()
        }))
    }

    /// The outcome at the end: ignored parameters, other issues, and the constant advisory.
    fn remarks(&self, others: Vec<Issue>, is_count: bool) -> Option<BundleEntry> {
        let ignored = self.query.ignored.iter().map(|name| {
            Issue::warning(IssueCode::NotSupported, format!("the parameter `{name}` was ignored"))
        });
        let unknown = |name: &&String| self.parts.iter().all(|part| part.def.element(name).is_none());
        let elements = self.query.elements.iter().filter(unknown).map(|name| {
            Issue::warning(IssueCode::NotSupported, format!("`_elements`: there is no element `{name}`"))
        });
        let mut issues: Vec<Issue> = ignored.chain(elements).chain(others).collect();
        // CHOICE: staff of the own organization sees whole files by default, and its software shows every entry; so only parties
        // whose view rests on consent get the advisory.
        if !self.session.lens.is_own() && !is_count {
            issues.push(Issue::information(IssueCode::Suppressed, ADVISORY));
        }
        (!issues.is_empty()).then(|| BundleEntry {
            outcome: Some(Outcome::from(issues)),
            mode: Some(SearchMode::Outcome),
            ..BundleEntry::default()
        })
    }
}

/// Warns about matches that refer to one version of a resource of which another version is included, as R4 search.html#versions
/// asks.
fn other_versions(entries: &[BundleEntry]) -> Vec<Issue> {
    let of_mode = |mode: SearchMode| {
        entries
            .iter()
            .filter(move |entry| entry.mode == Some(mode))
            .filter_map(|entry| entry.resource.as_ref())
    };
    let versions: HashMap<&str, &str> =
        of_mode(SearchMode::Include).map(|included| (included.reference(), included.version_id())).collect();
    let mut issues = Vec::new();
    if versions.is_empty() {
        return issues;
    }
    for shown in of_mode(SearchMode::Match).filter(|shown| shown.text().contains("/_history/")) {
        let Ok(tree) = parse(shown.text().as_bytes().to_vec()) else { continue };
        for node in tree.root().subtree().filter(|node| node.key() == "reference") {
            let Reference { target: ReferenceTarget::Relative(key), version: Some(version) } =
                Reference::parse(node.text())
            else {
                continue;
            };
            if versions.get(key.to_string().as_str()).is_some_and(|included| *included != version.as_str()) {
                let message = format!(
                    "{} refers to version {version} of {key}; what is included is the version of now",
                    shown.reference()
                );
                issues.push(Issue::warning(IssueCode::Informational, message));
            }
        }
    }
    issues
}

/// How many matches are read at once to find the patients whom they are about.
const ROWS_AT_ONCE: usize = 65_536;

/// Gathers the patients whom rows are about.
struct PatientsOfRows<'w, 's> {
    session: &'w Session<'s>,
    repository: &'w Repository<'w>,
    /// The ids that were added already.
    known: HashSet<String>,
    patients: Patients,
}

impl PatientsOfRows<'_, '_> {
    fn add(&mut self, rows: &[u64]) -> Result<(), Refusal> {
        let mut fresh = Vec::new();
        for current in self.repository.current_of_rows(rows)? {
            for id in self.session.patients_of(&current)? {
                if self.known.insert(id.clone()) {
                    fresh.push(id);
                }
            }
        }
        self.repository.announce_patients(&fresh)?;
        for id in fresh {
            self.patients.add(self.repository.snapshot(), &id)?;
        }
        Ok(())
    }
}

fn total_of(searches: &[Search<'_>]) -> Result<usize, Refusal> {
    let mut total = 0;
    for search in searches {
        total += search.count()?;
    }
    Ok(total)
}

/// No condition.
static ALL: Filter = Filter::All(Vec::new());

impl PageContents {
    /// Keeps `count` matches: the first ones, or going back the last ones.
    fn keep(&mut self, count: usize, way: Way) {
        if count >= self.hits.len() {
            return;
        }
        match way {
            Way::Onward => {
                self.hits.truncate(count);
                self.has_next = true;
            }
            Way::Back => {
                self.hits.drain(..self.hits.len() - count);
                self.has_previous = true;
            }
        }
    }

    pub(super) fn nothing() -> Self {
        Self { hits: Vec::new(), has_next: false, has_previous: false, before: None, total: None }
    }
}
