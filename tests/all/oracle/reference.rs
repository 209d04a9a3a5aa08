//! References: by id, by type and id, by URL, and along part-of hierarchies.
use std::collections::HashSet;

use chartward::definitions::SearchParamRow;
use chartward::model::{Reference, ReferenceTarget, ResourceKey};

use super::corpus::{OWN_BASE, Oracle, param};
use super::escape::unescape;
use super::occurrence::{Occurrence, Pointer};

impl Pointer {
    /// The type of the target, if the text tells it.
    pub fn type_name(&self) -> Option<&'static str> {
        if let Some(key) = &self.local {
            return Some(key.type_name);
        }
        match Reference::parse(unversioned(self.url.as_deref()?)).target {
            ReferenceTarget::Absolute { key, .. } => Some(key.type_name),
            _ => None,
        }
    }
}

fn unversioned(url: &str) -> &str {
    let url = url.split_once("/_history/").map_or(url, |(url, _)| url);
    url.split_once('|').map_or(url, |(url, _)| url)
}

/// The condition of a reference parameter.
pub struct AskedReference {
    text: String,
    is_id: bool,
    local: Option<ResourceKey>,
    type_name: Option<&'static str>,
}

impl AskedReference {
    /// Parses a value, still escaped; `type_name` is the type to which a modifier restricts it.
    pub fn new(text: &str, type_name: Option<&'static str>) -> Self {
        let text = unescape(text);
        let is_id = !text.contains(['/', ':', '|', '#']);
        let local = Reference::parse(&text).local(OWN_BASE).cloned();
        Self { text, is_id, local, type_name }
    }

    pub fn finds(&self, pointer: &Pointer) -> bool {
        let by_url =
            pointer.url.as_deref().is_some_and(|url| url == self.text || unversioned(url) == self.text);
        let by_key = match &pointer.local {
            Some(key) if self.is_id => key.id.as_str() == self.text,
            Some(key) => self.local.as_ref() == Some(key),
            None => false,
        };
        (by_url || by_key) && self.type_name.is_none_or(|wanted| pointer.type_name() == Some(wanted))
    }
}

impl Oracle {
    /// The named resources, and all that are part of them (`:below`) or that they are part of (`:above`).
    pub fn family(
        &self,
        row: &'static SearchParamRow,
        text: &str,
        down: bool,
    ) -> Result<HashSet<ResourceKey>, String> {
        let text = unescape(text);
        let named: Vec<ResourceKey> = match Reference::parse(&text).local(OWN_BASE) {
            Some(key) => vec![key.clone()],
            None => row.targets.iter().filter_map(|target| ResourceKey::new(target, &text)).collect(),
        };
        let families: Vec<HashSet<ResourceKey>> = named
            .into_iter()
            .filter_map(|key| Some(self.closure(part_of(key.type_name)?, key, down)))
            .collect();
        if families.is_empty() {
            return Err(format!("`{text}` has no hierarchy"));
        }
        Ok(families.into_iter().flatten().collect())
    }

    fn closure(&self, row: &'static SearchParamRow, key: ResourceKey, down: bool) -> HashSet<ResourceKey> {
        let links = self.links(row, key.type_name);
        let mut found = HashSet::from([key]);
        loop {
            let before = found.len();
            for (part, whole) in &links {
                let (from, to) = if down { (whole, part) } else { (part, whole) };
                if found.contains(from) {
                    found.insert(to.clone());
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Each resource of a type that is part of another one, with that other one.
    fn links(
        &self,
        row: &'static SearchParamRow,
        type_name: &'static str,
    ) -> Vec<(ResourceKey, ResourceKey)> {
        let column = self.column(type_name, row);
        let mut links = Vec::new();
        for (number, found) in column.iter().filter(|(number, _)| self.resources[*number].container.is_none())
        {
            for occurrence in found {
                if let Occurrence::Reference(Pointer { local: Some(whole), .. }) = occurrence {
                    links.push((self.resources[*number].key.clone(), whole.clone()));
                }
            }
        }
        links
    }
}

/// The parameter that leads from a resource to the one of the same type that it is part of.
pub fn part_of(type_name: &str) -> Option<&'static SearchParamRow> {
    let row = param(type_name, "partof").or_else(|_| param(type_name, "part-of")).ok()?;
    row.targets.iter().any(|target| target == type_name).then_some(row)
}
