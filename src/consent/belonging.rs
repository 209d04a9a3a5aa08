//! Resources that are about others: they have the subjects and labels of what they name. And Binary, which is shown only
//! where all that refers to it is.
use crate::model::{Node, ResourceId};
use crate::store::{StoreError, Stored};

use super::data::DataFacts;
use super::decide::{Basis, Decision, Requester};
use super::identities::load;
use super::lens::Lens;

/// How far what is named may itself name something.
const NAMED_DEPTH_MAX: usize = 4;

/// Whether facts alone cannot tell of a type's resources who may see them.
pub(super) fn depends_on_others(type_name: &str) -> bool {
    matches!(type_name, "Provenance" | "Consent" | "Task" | "Binary")
}

/// What a resource names, where that makes it its concern (CHOICE: not who acted, nor whom a Consent gives rights to).
pub(super) fn names(child: Node<'_>, type_name: &str) -> bool {
    match type_name {
        "Provenance" => matches!(child.key(), "target" | "entity"),
        "Task" => {
            matches!(child.key(), "focus" | "for" | "basedOn" | "partOf" | "input" | "output" | "encounter")
        }
        "Consent" => matches!(child.key(), "sourceReference" | "provision"),
        _ => false,
    }
}

impl Lens<'_> {
    /// What a resource names whose subjects and labels become its own, patients left out (`Type/id`).
    #[must_use]
    pub fn named_by(&self, resource: Node<'_>) -> Vec<String> {
        let data = DataFacts::of(resource);
        let named = data.named.iter().filter(|reference| !reference.starts_with("Patient/"));
        named.cloned().collect()
    }

    /// The facts of a resource with the subjects and labels of what it names.
    pub(super) fn with_what_it_names(&self, data: &DataFacts) -> Result<DataFacts, StoreError> {
        let mut whole = data.clone();
        if data.type_name == "Binary" {
            for stored in self.referring_to_binary(data)? {
                whole.owners.extend(self.data(&stored)?.owners);
            }
            for reference in &data.outgoing {
                if let Some(stored) = load(&self.repository, reference)? {
                    whole.owners.extend(self.data(&stored)?.owners);
                }
            }
        } else {
            self.add_named(data, &mut whole, 0)?;
            whole.level();
        }
        Ok(whole)
    }

    fn add_named(&self, data: &DataFacts, whole: &mut DataFacts, depth: usize) -> Result<(), StoreError> {
        // A Patient that is named is a subject already, or is no subject.
        let named = data.named.iter().filter(|reference| !reference.starts_with("Patient/"));
        for reference in named.filter(|_| depth < NAMED_DEPTH_MAX) {
            let Some(stored) = load(&self.repository, reference)? else { continue };
            let target = self.data(&stored)?;
            whole.owners.extend(target.owners.iter().cloned());
            whole.labels.extend(target.labels.iter().cloned());
            self.add_named(&target, whole, depth + 1)?;
        }
        Ok(())
    }

    /// All that refers to it is shown; or it is of nothing, and then its security context decides, or who may see what is
    /// of no patient.
    pub(super) fn decide_binary(
        &self,
        data: &DataFacts,
        requester: &Requester,
    ) -> Result<Decision, StoreError> {
        let mut last = None;
        for stored in self.referring_to_binary(data)? {
            let decision = self.decide_as(&self.data(&stored)?, requester)?;
            if !decision.permit {
                return Ok(decision);
            }
            last = Some(decision);
        }
        // The security context is another resource that it refers to (R4 binary.html#security-context).
        for reference in &data.outgoing {
            let permit = match load(&self.repository, reference)? {
                Some(stored) => self.decide_as(&self.data(&stored)?, requester)?.permit,
                None => self.is_staff(),
            };
            if !permit {
                return Ok(Decision { permit: false, basis: Basis::NotGoverned });
            }
            last.get_or_insert(Decision { permit: true, basis: Basis::NotGoverned });
        }
        let of_nothing = || Decision { permit: self.may_see_ungoverned("Binary"), basis: Basis::NotGoverned };
        Ok(last.unwrap_or_else(of_nothing))
    }

    fn referring_to_binary(&self, data: &DataFacts) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        let id = data.reference.strip_prefix("Binary/").and_then(ResourceId::parse);
        let Some(id) = id else { return Ok(found) };
        for row in self.repository.rows_with_binary(&id)? {
            let current = self.repository.current_of_row(row)?.filter(|current| !current.deleted);
            if let Some(current) = current {
                found.push(self.repository.newest(&current)?);
            }
        }
        Ok(found)
    }

    /// Whether what a reference leads to is there and may be seen.
    pub(super) fn is_shown(&self, reference: &str) -> Result<bool, StoreError> {
        match load(&self.repository, reference)? {
            Some(stored) => self.may_see(self.tree(&stored)?.root()),
            None => Ok(false),
        }
    }
}
