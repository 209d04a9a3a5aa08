//! search-type (R4 http.html#search): a page of matches with what they include, counted through the lens.
use crate::audit::{audit_events, read_all};
use crate::consent::{Bundle, BundleEntry, BundleKind, Disclosed, SearchMode};
use crate::definitions::{TypeDef, r4};
use crate::model::{Issue, IssueCode, Outcome, ResourceId, parse};
use crate::search::{
    Condition, Filter, Include, Query, Summary, Term, TotalMode, conditions, entries, parse_query,
    search_params,
};
use crate::store::{At, Repository, Sequence};

use super::answer::{Answer, Body, Kind, Refusal, RefusalKind};
use super::cursor::Cursor;
use super::request::{Payload, Request, encode};
use super::session::{Seen, Session};

/// What every answer to a party whose view rests on consent says, so that saying it tells nothing.
const ADVISORY: &str = "results may be limited by consent or policy";

pub(super) fn search(
    session: &Session<'_>,
    def: &'static TypeDef,
    request: &Request,
) -> Result<Answer, Refusal> {
    let mut pairs = request.query.clone();
    if let Payload::Form(form) = &request.payload {
        pairs.extend(form.iter().cloned());
    }
    let query = parse_query(def, &pairs, request.headers.lenient).map_err(|error| {
        let code = if error.is_unknown { IssueCode::NotSupported } else { IssueCode::Invalid };
        let message = if error.is_unknown {
            error.message
        } else {
            format!("`{}`: {}", error.parameter, error.message)
        };
        Refusal::bad_request(code, message)
    })?;
    if &*def.name == "AuditEvent" {
        return audit_search(session, def, &query);
    }
    Page::new(session, def, query)?.answer()
}

/// A page in the making.
struct Page<'p, 's> {
    session: &'p Session<'s>,
    def: &'static TypeDef,
    query: Query,
    /// The query as the self link has it.
    text: String,
    offset: usize,
    len: usize,
    sequence: Sequence,
}

impl<'p, 's> Page<'p, 's> {
    fn new(session: &'p Session<'s>, def: &'static TypeDef, query: Query) -> Result<Self, Refusal> {
        let used = query.used.iter().filter(|(name, _)| name != "_cursor");
        let text = used
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect::<Vec<_>>()
            .join("&");
        let options = &session.engine.options;
        let len = query.count.unwrap_or(options.page_len_default).min(options.page_len_max);
        let mut page =
            Self { session, def, text, offset: 0, len, sequence: session.snapshot().sequence(), query };
        if let Some(cursor) = &page.query.cursor {
            let cursor = session.engine.unseal(cursor, session.lens.party(), &page.bound_text())?;
            (page.sequence, page.offset) = (Sequence(cursor.sequence), cursor.offset);
        }
        Ok(page)
    }

    fn bound_text(&self) -> String {
        format!("{}?{}", self.def.name, self.text)
    }

    fn answer(&self) -> Result<Answer, Refusal> {
        // Data are as of the first page, consent is as of now.
        let then = self.session.engine.kv.snapshot(At::Sequence(self.sequence))?;
        let repository = Repository::new(&*then);
        let lens = &self.session.lens;
        let mut rows = repository.rows(self.def, &self.query, lens)?;
        if self.sequence < self.session.snapshot().sequence() {
            let mut kept = Vec::with_capacity(rows.len());
            for row in rows {
                if self.session.repository().is_visible(self.def, row, lens)? {
                    kept.push(row);
                }
            }
            rows = kept;
        }
        let total = rows.len();
        let mut bundle = Bundle {
            kind: BundleKind::Searchset,
            id: self.session.engine.fresh_id()?.to_string(),
            time: self.session.engine.now(),
            total: (self.query.total != Some(TotalMode::None)).then_some(total),
            links: self.links(total)?,
            entries: Vec::new(),
        };
        if self.query.summary == Summary::Count {
            bundle.total = Some(total);
            return Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())));
        }
        let page: Vec<u64> = rows.into_iter().skip(self.offset).take(self.len).collect();
        for row in &page {
            bundle.entries.extend(self.entry(&repository, *row, SearchMode::Match)?);
        }
        self.include(&repository, &page, &mut bundle)?;
        bundle.entries.extend(self.remarks());
        Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
    }

    fn links(&self, total: usize) -> Result<Vec<(&'static str, String)>, Refusal> {
        let base = format!("{}/{}", self.session.engine.options.base_url, self.def.name);
        let own = if self.text.is_empty() { base.clone() } else { format!("{base}?{}", self.text) };
        let mut links = vec![("self", own)];
        let mut page_at = |relation, offset| -> Result<(), Refusal> {
            let cursor = Cursor { sequence: self.sequence.0, offset, made: self.session.engine.now() };
            let sealed = self.session.engine.seal(&cursor, self.session.lens.party(), &self.bound_text())?;
            let separator = if self.text.is_empty() { "" } else { "&" };
            links.push((relation, format!("{base}?{}{separator}_cursor={sealed}", self.text)));
            Ok(())
        };
        let is_counted_only = self.query.summary == Summary::Count || self.len == 0;
        if !is_counted_only && self.offset + self.len < total {
            page_at("next", self.offset + self.len)?;
        }
        if !is_counted_only && self.offset > 0 {
            page_at("previous", self.offset.saturating_sub(self.len))?;
        }
        Ok(links)
    }

    fn entry(
        &self,
        repository: &Repository<'_>,
        row: u64,
        mode: SearchMode,
    ) -> Result<Option<BundleEntry>, Refusal> {
        let Some(current) = repository.current_of_row(row)?.filter(|current| !current.deleted) else {
            return Ok(None);
        };
        let stored = repository.newest(&current)?;
        let version_id = self.session.version_id(stored.sequence);
        let Some(shown) = self.session.lens.show(&stored, &version_id, &[])? else { return Ok(None) };
        let full_url = format!("{}/{}", self.session.engine.options.base_url, shown.reference());
        let shown = reduce_by(&shown, stored.def, self.query.summary, &self.query.elements);
        Ok(Some(BundleEntry {
            full_url: Some(full_url),
            resource: Some(shown),
            mode: Some(mode),
            ..BundleEntry::default()
        }))
    }

    /// What the matches refer to, and what refers to them, each once and none that is a match itself.
    fn include(&self, repository: &Repository<'_>, page: &[u64], bundle: &mut Bundle) -> Result<(), Refusal> {
        let mut seen: Vec<u64> = page.to_vec();
        let mut found = Vec::new();
        for include in self.query.includes.iter().filter(|include| include.source == &*self.def.name) {
            for row in page {
                found.extend(self.referred(repository, *row, include)?);
            }
        }
        for include in &self.query.rev_includes {
            for row in page {
                found.extend(self.referring(repository, *row, include)?);
            }
        }
        for row in found {
            if seen.contains(&row) || !self.may_include(repository, row)? {
                continue;
            }
            seen.push(row);
            if seen.len() - page.len() > self.session.engine.options.include_len_max {
                let message = "the includes of this page are more than the limit";
                return Err(Refusal::bad_request(IssueCode::TooCostly, message));
            }
            bundle.entries.extend(self.entry(repository, row, SearchMode::Include)?);
        }
        Ok(())
    }

    /// Included resources are looked at as of now, like matches, and before they are counted.
    fn may_include(&self, repository: &Repository<'_>, row: u64) -> Result<bool, Refusal> {
        let Some(current) = repository.current_of_row(row)? else { return Ok(false) };
        let lens = &self.session.lens;
        let now = self.session.repository().is_visible(current.def, row, lens)?;
        Ok(now && repository.is_visible(current.def, row, lens)?)
    }

    fn referred(
        &self,
        repository: &Repository<'_>,
        row: u64,
        include: &Include,
    ) -> Result<Vec<u64>, Refusal> {
        let mut rows = Vec::new();
        for entry in repository.entries(row)? {
            if include.param.is_some_and(|param| param != entry.param) {
                continue;
            }
            let Some((type_name, id)) = entry.reference() else { continue };
            if include.target.is_some_and(|target| target != type_name) {
                continue;
            }
            let (Some(def), Some(id)) = (r4().resource(&type_name), ResourceId::parse(&id)) else { continue };
            rows.extend(
                repository.current(def, &id)?.filter(|current| !current.deleted).map(|current| current.row),
            );
        }
        Ok(rows)
    }

    fn referring(
        &self,
        repository: &Repository<'_>,
        row: u64,
        include: &Include,
    ) -> Result<Vec<u64>, Refusal> {
        let Some(source) = r4().resource(include.source) else { return Ok(Vec::new()) };
        if include.target.is_some_and(|target| target != &*self.def.name) {
            return Ok(Vec::new());
        }
        let Some(current) = repository.current_of_row(row)? else { return Ok(Vec::new()) };
        let reference = format!("{}/{}", self.def.name, current.id);
        let mut rows = Vec::new();
        let is_meant = |id: u32| include.param.is_none_or(|param| param == id);
        for param in search_params().of(source).iter().filter(|param| is_meant(param.id)) {
            if param.kind != crate::definitions::ParamType::Reference {
                continue;
            }
            let term = Term { param, modifier: None, values: vec![reference.clone()] };
            let query = Query { filters: vec![Filter::Term(term)], ..Query::default() };
            rows.extend(repository.rows(source, &query, &self.session.lens)?);
        }
        Ok(rows)
    }

    /// The outcome at the end: what was ignored, and the constant advisory.
    fn remarks(&self) -> Option<BundleEntry> {
        let mut issues: Vec<Issue> = self
            .query
            .ignored
            .iter()
            .map(|name| {
                Issue::warning(IssueCode::NotSupported, format!("the parameter `{name}` was ignored"))
            })
            .collect();
        // CHOICE: staff of the own organization sees the file as a whole by default, and its software shows every
        // entry; the advisory is for those whose view rests on consent.
        if !self.session.lens.is_own() {
            issues.push(Issue::information(IssueCode::Suppressed, ADVISORY));
        }
        (!issues.is_empty()).then(|| BundleEntry {
            outcome: Some(Outcome::from(issues)),
            mode: Some(SearchMode::Outcome),
            ..BundleEntry::default()
        })
    }
}

/// `_summary` and `_elements` of a read.
pub(super) fn reduce(
    disclosed: &Disclosed,
    def: &'static TypeDef,
    pairs: &[(String, String)],
) -> Result<Disclosed, Refusal> {
    let mut query = Query::default();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let known = matches!(name.as_str(), "_summary" | "_elements" | "_format" | "_pretty");
        let parsed = if known {
            parse_query(def, &[(name.clone(), value.clone())], false)
        } else {
            Ok(Query::default())
        };
        let parsed = parsed.map_err(|error| Refusal::bad_request(IssueCode::Invalid, error.message))?;
        if !known {
            let message = format!("unknown parameter `{name}`; a read takes _summary, _elements and _format");
            return Err(Refusal::bad_request(IssueCode::NotSupported, message));
        }
        match name.as_str() {
            "_summary" => query.summary = parsed.summary,
            "_elements" => query.elements = parsed.elements,
            _ => {}
        }
    }
    Ok(reduce_by(disclosed, def, query.summary, &query.elements))
}

fn reduce_by(disclosed: &Disclosed, def: &TypeDef, summary: Summary, elements: &[String]) -> Disclosed {
    let is_element = |key: &str, test: &dyn Fn(&crate::definitions::ElementDef) -> bool| {
        let property = def.property(key.trim_start_matches('_'));
        property.and_then(|property| def.element_at(property.element)).is_some_and(test)
    };
    let always = |key: &str| {
        matches!(key, "resourceType" | "id" | "meta") || is_element(key, &|element| element.min > 0)
    };
    if !elements.is_empty() {
        let named = |key: &str| {
            is_element(key, &|element| {
                element.modifier || elements.iter().any(|name| **name == *element.name)
            })
        };
        return disclosed.reduced(&|key| always(key) || named(key));
    }
    match summary {
        Summary::False | Summary::Count => disclosed.clone(),
        Summary::True => disclosed.reduced(&|key| always(key) || is_element(key, &|element| element.summary)),
        Summary::Text => disclosed.reduced(&|key| always(key) || key == "text"),
        Summary::Data => disclosed.reduced(&|key| key != "text"),
    }
}

/// AuditEvents are made of access records when they are asked for.
fn audit_search(session: &Session<'_>, def: &'static TypeDef, query: &Query) -> Result<Answer, Refusal> {
    let mut found = Vec::new();
    if session.lens.party().may_audit() {
        for (place, access) in read_all(session.snapshot())? {
            for (id, text) in audit_events(place, &access) {
                if is_match(&text, &id, query)? {
                    found.push((id, text, access.time));
                }
            }
        }
    }
    found.reverse();
    let options = &session.engine.options;
    let len = query.count.unwrap_or(options.page_len_default).min(options.page_len_max);
    let total = found.len();
    let mut entries = Vec::new();
    for (id, text, time) in found.into_iter().take(if query.summary == Summary::Count { 0 } else { len }) {
        let full_url = Some(format!("{}/AuditEvent/{id}", options.base_url));
        let resource = session.lens.show_derived(text, def, time);
        entries.push(BundleEntry {
            full_url,
            resource,
            mode: Some(SearchMode::Match),
            ..BundleEntry::default()
        });
    }
    let used: Vec<String> =
        query.used.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let own = format!("{}/AuditEvent?{}", options.base_url, used.join("&"));
    let bundle = Bundle {
        kind: BundleKind::Searchset,
        id: session.engine.fresh_id()?.to_string(),
        time: session.engine.now(),
        total: Some(total),
        links: vec![("self", own)],
        entries,
    };
    Ok(Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose())))
}

fn is_match(text: &str, id: &str, query: &Query) -> Result<bool, Refusal> {
    let corrupt = |_| {
        Refusal::new(RefusalKind::Internal, Issue::error(IssueCode::Exception, "an event cannot be read"))
    };
    let tree = parse(text.as_bytes().to_vec()).map_err(corrupt)?;
    let own = entries(tree.root());
    Ok(query.filters.iter().all(|filter| match filter {
        Filter::Id(ids) => ids.iter().any(|wanted| wanted.as_str() == id),
        Filter::LastUpdated(_) => true,
        Filter::Term(term) => {
            let Condition { negated, any_of } =
                conditions(term).unwrap_or(Condition { negated: false, any_of: Vec::new() });
            let hit = own.iter().any(|entry| any_of.iter().any(|matcher| matcher.finds(entry)));
            hit != negated
        }
    }))
}

/// One AuditEvent by its id.
pub(super) fn audit_event(session: &Session<'_>, wanted: &str) -> Result<Answer, Refusal> {
    let Some(def) = r4().resource("AuditEvent") else { return Err(Refusal::not_found()) };
    for (place, access) in read_all(session.snapshot())? {
        for (id, text) in audit_events(place, &access) {
            if id == wanted
                && let Some(shown) = session.lens.show_derived(text, def, access.time)
            {
                return Ok(Answer::new(Kind::Ok, Body::Disclosed(shown)));
            }
        }
    }
    match session.look(def, &ResourceId::parse(wanted).ok_or_else(Refusal::not_found)?)? {
        Seen::Resource { disclosed, .. } => Ok(Answer::of(Kind::Ok, *disclosed)),
        Seen::Deleted(_) | Seen::Nothing { .. } => Err(Refusal::not_found()),
    }
}
