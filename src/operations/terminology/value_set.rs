//! The codes of a value set (R4 valueset.html), which is stored or comes with the standard.
use std::collections::BTreeSet;

use crate::definitions::r4;
use crate::model::{IssueCode, Node, ResourceId};
use crate::search::{Way, unescape};

use super::super::answer::Refusal;
use super::{CODES_MAX, Lookups, NESTING_MAX, too_many};

/// A code with its system.
type SystemCode = (Option<String>, String);

impl Lookups<'_> {
    /// The codes of the value set with this URL, or of `ValueSet/id`.
    pub(super) fn value_set(&self, value: &str, depth: usize) -> Result<Vec<SystemCode>, Refusal> {
        if depth > NESTING_MAX {
            let message = format!("value sets include each other more than {NESTING_MAX} deep");
            return Err(Refusal::bad_request(IssueCode::TooCostly, message));
        }
        let url = unescape(value);
        let base = format!("{}/", self.session.context.options.base_url);
        let local = url.strip_prefix(&base).unwrap_or(&url).strip_prefix("ValueSet/");
        let stored = match local.and_then(ResourceId::parse) {
            Some(id) => self.by_id("ValueSet", &id)?,
            // Of several versions the one that was stored last counts.
            None => self.by_url("ValueSet", &url)?.pop(),
        };
        if let Some(tree) = stored {
            let codes: Vec<SystemCode> = self.stored_codes(tree.root(), depth)?.into_iter().collect();
            return if codes.len() > CODES_MAX { Err(too_many()) } else { Ok(codes) };
        }
        let plain = url.split_once('|').map_or(url.as_str(), |(url, _)| url);
        match r4().value_set(plain) {
            Some(known) => {
                Ok(known.codes().map(|(system, code)| (Some(system.to_owned()), code.to_owned())).collect())
            }
            None => Err(Refusal::bad_request(IssueCode::NotFound, format!("there is no value set `{url}`"))),
        }
    }

    fn stored_codes(&self, value_set: Node<'_>, depth: usize) -> Result<BTreeSet<SystemCode>, Refusal> {
        let mut codes = BTreeSet::new();
        let Some(compose) = value_set.get("compose") else {
            let expansion = value_set.get("expansion");
            expansion.into_iter().flat_map(|expansion| expansion.items_at("contains")).for_each(|item| {
                expanded(item, &mut codes);
            });
            return Ok(codes);
        };
        for include in compose.items_at("include") {
            codes.extend(self.included(include, depth)?);
        }
        for exclude in compose.items_at("exclude") {
            for code in self.included(exclude, depth)? {
                codes.remove(&code);
            }
        }
        Ok(codes)
    }

    /// R4 valueset.html#compositions: the codes of the system that are also in every value set named beside it.
    fn included(&self, include: Node<'_>, depth: usize) -> Result<BTreeSet<SystemCode>, Refusal> {
        let mut codes: Option<BTreeSet<SystemCode>> = None;
        if let Some(system) = include.str_at("system") {
            codes = Some(self.of_system(system, include)?);
        }
        for value_set in include.items_at("valueSet") {
            let more: BTreeSet<SystemCode> =
                self.value_set(value_set.text(), depth + 1)?.into_iter().collect();
            codes = Some(match codes {
                Some(codes) => codes.intersection(&more).cloned().collect(),
                None => more,
            });
        }
        Ok(codes.unwrap_or_default())
    }

    fn of_system(&self, system: &str, include: Node<'_>) -> Result<BTreeSet<SystemCode>, Refusal> {
        let with_system = |code: &str| (Some(system.to_owned()), code.to_owned());
        if include.get("concept").is_some() {
            return Ok(include
                .items_at("concept")
                .filter_map(|item| item.str_at("code"))
                .map(with_system)
                .collect());
        }
        let mut codes: Option<BTreeSet<SystemCode>> = None;
        for filter in include.items_at("filter") {
            let (op, value) = (filter.str_at("op"), filter.str_at("value"));
            let (Some(op @ ("is-a" | "descendent-of")), Some(value)) = (op, value) else {
                let message = format!("value sets by the filter `{}` are not served", op.unwrap_or_default());
                return Err(Refusal::bad_request(IssueCode::NotSupported, message));
            };
            let mut found: BTreeSet<SystemCode> =
                self.related(Way::Below, system, value)?.into_iter().collect();
            if op == "descendent-of" {
                found.remove(&with_system(value));
            }
            codes = Some(match codes {
                Some(codes) => codes.intersection(&found).cloned().collect(),
                None => found,
            });
        }
        if let Some(codes) = codes {
            return Ok(codes);
        }
        let all = self.all_codes(system)?.ok_or_else(|| {
            let message = format!("the codes of `{system}` are not known here");
            Refusal::bad_request(IssueCode::NotSupported, message)
        })?;
        Ok(all.iter().map(|code| with_system(code)).collect())
    }
}

fn expanded(item: Node<'_>, codes: &mut BTreeSet<SystemCode>) {
    let is_choosable = item.get("abstract").is_none_or(|flag| flag.text() != "true");
    if let (Some(code), true) = (item.str_at("code"), is_choosable) {
        codes.insert((item.str_at("system").map(str::to_owned), code.to_owned()));
    }
    item.items_at("contains").for_each(|inner| expanded(inner, codes));
}
