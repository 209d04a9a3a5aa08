//! `$lastn` (R4 observation-operation-lastn.html): the latest observations of each code.
use std::collections::HashMap;

use crate::consent::{Bundle, BundleKind, SearchMode};
use crate::definitions::r4;
use crate::model::{IssueCode, Node, parse};
use crate::search::Filter;
use crate::store::{Report, Repository, Search, View, Way};

use super::super::answer::{Answer, Body, Kind, Refusal};
use super::super::parameters::Call;
use super::super::request::encode;
use super::super::session::Session;
use super::super::terminology::looked_up;
use super::page::{Hit, Page};
use super::part::{Part, unshown};
use super::target::{part_of, read};

const PATH: &str = "Observation/$lastn";
/// The search parameters that narrow the observations.
const NARROWING: [&str; 6] = ["patient", "subject", "category", "code", "date", "encounter"];
/// Among how many observations the latest are sought.
const OBSERVATIONS_MAX: usize = 10_000;

/// Answers the operation.
pub(in super::super) fn lastn(session: &Session<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let def = r4().resource("Observation").ok_or_else(Refusal::not_found)?;
    let max = match call.text("max")? {
        None => 1,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|max| *max > 0)
            .ok_or_else(|| Refusal::bad_request(IssueCode::Value, "`max` is a number of one or more"))?,
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for name in NARROWING {
        let values = call.texts(name);
        pairs.extend((!values.is_empty()).then(|| (name.to_owned(), values.join(","))));
    }
    if !pairs.iter().any(|(name, _)| name == "patient" || name == "subject") {
        return Err(Refusal::bad_request(IssueCode::Required, "`patient` or `subject` is needed"));
    }
    let own = [("max".to_owned(), max.to_string())];
    let text = own.iter().chain(&pairs).map(|(name, value)| format!("{name}={}", encode(value)));
    let text = text.collect::<Vec<_>>().join("&");
    pairs.push(("_sort".to_owned(), "-date".to_owned()));
    let query = read(session, def, PATH, &pairs, call.request)?;
    let part = part_of(session, def, &query);
    Page::new(session, PATH.to_owned(), vec![part], query)?.with_text(text).last_of_each(max)
}

impl Page<'_, '_> {
    /// The first `max` matches of each code, in the order of the search.
    fn last_of_each(mut self, max: usize) -> Result<Answer, Refusal> {
        let (report, then) = (Report::default(), self.then.clone());
        let repository = Repository::new(&*then);
        let parts = std::mem::take(&mut self.parts);
        let sight = self.session.lens.finding(self.finding(&parts));
        let view = View::new(&repository, Some(self.session.repository()), &sight);
        let mut rows = Vec::new();
        for Part { def, filters, sort } in &parts {
            let filter = looked_up(self.session, &view, def, Filter::all(filters.clone()))?;
            rows.extend(Search::new(&view, def, &filter, sort, &report)?.page(
                None,
                Way::Onward,
                OBSERVATIONS_MAX + 1,
            )?);
        }
        if rows.len() > OBSERVATIONS_MAX {
            let message = format!(
                "there are more than {OBSERVATIONS_MAX} observations: name a category, a code or a date"
            );
            return Err(Refusal::bad_request(IssueCode::TooCostly, message));
        }
        let mut groups = Groups::default();
        let mut entries = Vec::new();
        for row in rows {
            let hit = Hit { row, contained: None };
            let Some(entry) = self.entry(&repository, &hit, SearchMode::Match)? else { continue };
            let Some(tree) =
                entry.resource.as_ref().and_then(|shown| parse(shown.text().as_bytes().to_vec()).ok())
            else {
                continue;
            };
            let group = groups.of(tree.root());
            if groups.take(group, max) {
                entries.push((group, entry));
            }
        }
        // Those of a code stand together, the code with the latest observation first.
        entries.sort_by_key(|(group, _)| *group);
        let bundle = Bundle {
            kind: BundleKind::Searchset,
            id: self.session.context.fresh_id()?.to_string(),
            time: self.session.context.now(),
            total: Some(entries.len()),
            links: vec![("self", self.own_address())],
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
        };
        let shown = bundle.entries.len();
        let mut answer = Answer::new(Kind::Ok, Body::Disclosed(bundle.disclose()));
        answer.unshown =
            unshown(self.session, &parts, (PATH, &self.query.used), (shown, Some(shown)), then.sequence());
        Ok(answer)
    }
}

/// Observations with a coding in common are of one group, and those with the same text and no coding.
#[derive(Default)]
struct Groups {
    by_code: HashMap<String, usize>,
    counts: Vec<usize>,
}

impl Groups {
    /// The number of the group of an Observation.
    fn of(&mut self, observation: Node<'_>) -> usize {
        let code = observation.get("code");
        let part = |coding: Node<'_>, name: &str| coding.str_at(name).unwrap_or_default().to_owned();
        let codings = code.into_iter().flat_map(|code| code.items_at("coding"));
        let mut keys: Vec<String> = codings
            .filter(|coding| coding.get("code").is_some())
            .map(|coding| format!("{}|{}", part(coding, "system"), part(coding, "code")))
            .collect();
        if keys.is_empty() {
            keys.push(format!("\n{}", code.map(|code| part(code, "text")).unwrap_or_default()));
        }
        let known = keys.iter().find_map(|key| self.by_code.get(key).copied());
        let group = known.unwrap_or_else(|| {
            self.counts.push(0);
            self.counts.len() - 1
        });
        for key in keys {
            self.by_code.entry(key).or_insert(group);
        }
        group
    }

    /// Counts one more of a group; `false` if it has `max` already.
    fn take(&mut self, group: usize, max: usize) -> bool {
        match self.counts.get_mut(group) {
            Some(count) if *count < max => {
                *count += 1;
                true
            }
            Some(_) | None => false,
        }
    }
}
