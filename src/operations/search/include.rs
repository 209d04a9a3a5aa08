//! `_include` and `_revinclude` (R4 search.html#revinclude): resources that matches refer to, and resources that refer to
//! matches; with `:iterate` the same for included resources.
use std::collections::HashSet;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::search::{Include, Query};
use crate::store::{Current, View, Way};

use super::super::answer::Refusal;
use super::super::session::Session;

/// What a page includes.
#[derive(Debug, Default)]
pub(super) struct Included {
    pub(super) rows: Vec<u64>,
    /// For how many matches everything is included: the first ones, or going back the last ones.
    pub(super) matches: usize,
    /// If one match includes more than a page holds: how many of these resources were included so far.
    pub(super) goes_on_at: Option<usize>,
}

/// The matches of a page, whose includes are sought.
pub(super) struct PageOfMatches<'m> {
    /// The rows of the matches.
    pub(super) matches: &'m [u64],
    /// How many includes of the first match were on the page before.
    pub(super) skipped: usize,
    /// The direction in which pages are read.
    pub(super) way: Way,
}

/// The rows that are included with these matches, in the order in which they are found, each once and no match among them; for as
/// many matches as fit on a page. If those of one match are too many, they begin after the first `skipped`.
pub(super) fn included(
    session: &Session<'_>,
    query: &Query,
    view: &View<'_>,
    PageOfMatches { matches, skipped, way }: PageOfMatches<'_>,
) -> Result<Included, Refusal> {
    if query.includes.is_empty() && query.rev_includes.is_empty() {
        return Ok(Included { matches: matches.len(), ..Included::default() });
    }
    let limit = session.context.options.include_len_max;
    let mut seen: HashSet<u64> = matches.iter().copied().collect();
    let mut found = Included::default();
    for index in 0..matches.len() {
        let at = if way == Way::Onward { index } else { matches.len() - 1 - index };
        let Some(row) = matches.get(at) else { continue };
        let enough = limit.saturating_add(if index == 0 { skipped } else { 0 }).saturating_add(1);
        let fresh = of_match(session, query, view, (*row, &mut seen), enough)?;
        if index == 0 && (skipped > 0 || fresh.len() > limit) {
            let end = skipped.saturating_add(limit);
            let goes_on = fresh.len() > end;
            let rows = fresh.into_iter().skip(skipped).take(limit).collect();
            return Ok(Included { rows, matches: 1, goes_on_at: goes_on.then_some(end) });
        }
        if found.rows.len() + fresh.len() > limit {
            break;
        }
        found.rows.extend(fresh);
        found.matches += 1;
    }
    Ok(found)
}

/// The rows that one match includes and that are not in `seen`; at most `enough` of them.
fn of_match(
    session: &Session<'_>,
    query: &Query,
    view: &View<'_>,
    (row, seen): (u64, &mut HashSet<u64>),
    enough: usize,
) -> Result<Vec<u64>, Refusal> {
    let mut found: Vec<u64> = Vec::new();
    let mut next = vec![row];
    let mut is_first = true;
    while !next.is_empty() {
        let mut fresh = Vec::new();
        let applies = |include: &&Include| is_first || include.iterate;
        for include in query.includes.iter().filter(applies) {
            for row in &next {
                fresh.extend(referred(session, view, *row, include)?);
            }
        }
        for include in query.rev_includes.iter().filter(applies) {
            for row in &next {
                fresh.extend(referring(session, view, *row, include)?);
            }
        }
        next = Vec::new();
        for row in fresh {
            // An included resource passes the lens like a match, before it is counted.
            if !seen.insert(row) || view.current(row)?.is_none() {
                continue;
            }
            found.push(row);
            next.push(row);
            if found.len() >= enough {
                return Ok(found);
            }
        }
        is_first = false;
    }
    Ok(found)
}

/// The reference parameters of a type that an include selects.
fn meant(session: &Session<'_>, def: &TypeDef, include: &Include) -> Vec<u32> {
    let params = session.params.of(def).iter();
    params
        .filter(|param| param.kind == ParamType::Reference && include.param.is_none_or(|id| id == param.id))
        .map(|param| param.id)
        .collect()
}

fn referred(
    session: &Session<'_>,
    view: &View<'_>,
    row: u64,
    include: &Include,
) -> Result<Vec<u64>, Refusal> {
    let Some(current) = view.current(row)? else { return Ok(Vec::new()) };
    if include.source.is_some_and(|source| source != &*current.def.name) {
        return Ok(Vec::new());
    }
    let params = meant(session, current.def, include);
    let mut rows = Vec::new();
    for entry in view.repository().entries(row)? {
        if entry.contained.is_some() || !params.contains(&entry.param) {
            continue;
        }
        let targets: Vec<&'static TypeDef> = match entry.reference() {
            Some((type_name, _)) => r4().resource(&type_name).into_iter().collect(),
            // A canonical URL has no type; the parameter tells which types it may lead to.
            None => {
                let param = session.params.of(current.def).iter().find(|param| param.id == entry.param);
                param
                    .into_iter()
                    .flat_map(|param| &param.targets)
                    .filter_map(|name| r4().resource(name))
                    .collect()
            }
        };
        for def in targets.into_iter().filter(|def| include.target.is_none_or(|target| target == &*def.name))
        {
            rows.extend(view.targets(&entry, def)?);
        }
    }
    Ok(rows)
}

fn referring(
    session: &Session<'_>,
    view: &View<'_>,
    row: u64,
    include: &Include,
) -> Result<Vec<u64>, Refusal> {
    let Some(current) = view.current(row)? else { return Ok(Vec::new()) };
    if include.target.is_some_and(|target| target != &*current.def.name) {
        return Ok(Vec::new());
    }
    let sources: Vec<&'static TypeDef> = match include.source {
        Some(source) => r4().resource(source).into_iter().collect(),
        None => r4().resources().collect(),
    };
    let mut rows = Vec::new();
    for source in sources {
        rows.extend(from_type(session, view, &current, source, include)?);
    }
    Ok(rows)
}

fn from_type(
    session: &Session<'_>,
    view: &View<'_>,
    current: &Current,
    source: &'static TypeDef,
    include: &Include,
) -> Result<Vec<u64>, Refusal> {
    let mut rows = Vec::new();
    let params = meant(session, source, include);
    for param in session.params.of(source).iter().filter(|param| params.contains(&param.id)) {
        if param.targets.contains(&&*current.def.name) {
            rows.extend(view.referrers(source, param, current)?);
        }
    }
    Ok(rows)
}
