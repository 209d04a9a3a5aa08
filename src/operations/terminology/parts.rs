//! Hierarchies of parts: places in places, organizations in organizations (R4 search.html#recursive).
use std::collections::BTreeSet;

use crate::definitions::TypeDef;
use crate::model::{IssueCode, Reference, ReferenceTarget, ResourceId};
use crate::search::{Filter, Param, Way, part_param, unescape};

use super::super::answer::Refusal;
use super::{CODES_MAX, Lookups, too_many};

impl Lookups<'_> {
    /// References to a resource and to everything below it, or above it.
    pub(super) fn parts(&self, param: &Param, way: Way, value: &str) -> Result<Filter, Refusal> {
        let value = unescape(value);
        let mut filters = Vec::new();
        for (def, code) in part_param(param) {
            let id = match Reference::parse(&value).target {
                ReferenceTarget::Relative(key) if key.type_name == &*def.name => Some(key.id),
                ReferenceTarget::Relative(_) => None,
                _ => ResourceId::parse(&value),
            };
            let (Some(id), Some(part_of)) = (id, self.session.params.find(def, code)) else { continue };
            let mut found = BTreeSet::from([id.as_str().to_owned()]);
            let mut waiting = vec![id];
            while let Some(id) = waiting.pop() {
                for row in self.neighbours(def, part_of, way, &id)? {
                    if found.insert(row.as_str().to_owned()) {
                        waiting.push(row);
                    }
                }
                if found.len() > CODES_MAX {
                    return Err(too_many());
                }
            }
            filters.extend(found.iter().map(|id| Filter::refers(param, &def.name, id)));
        }
        if filters.is_empty() {
            let message = format!("`{value}` is no reference that `{}` has parts of", param.code);
            return Err(Refusal::bad_request(IssueCode::Invalid, message));
        }
        Ok(Filter::any(filters))
    }

    fn neighbours(
        &self,
        def: &'static TypeDef,
        part_of: &Param,
        way: Way,
        id: &ResourceId,
    ) -> Result<Vec<ResourceId>, Refusal> {
        let rows = match way {
            Way::Below => self.rows(def, &Filter::refers(part_of, &def.name, id.as_str()))?,
            Way::Above => {
                let own = self.rows(def, &Filter::Id(vec![id.clone()]))?;
                let mut above = Vec::new();
                for row in own {
                    let entries = self.view.repository().entries(row)?;
                    let own = entries.iter().filter(|entry| entry.contained.is_none());
                    for entry in own.filter(|entry| entry.param == part_of.id) {
                        let parent = entry.reference().filter(|(type_name, _)| *type_name == *def.name);
                        if let Some(id) = parent.and_then(|(_, id)| ResourceId::parse(&id)) {
                            above.extend(self.rows(def, &Filter::Id(vec![id]))?);
                        }
                    }
                }
                above
            }
        };
        let mut ids = Vec::new();
        for row in rows {
            ids.extend(self.view.current(row)?.map(|current| current.id));
        }
        Ok(ids)
    }
}
