//! How far a token's scopes reach: to which resources of a type, by whose they are and by what is in them. Consent decides
//! afterwards, within that.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::auth::{Level, Party, Permission};
use crate::definitions::{TypeDef, TypeId, r4};
use crate::model::Node;
use crate::search::{Keep, search_params};

/// Types that are about no patient and that every party may read within its scopes.
pub(super) const ADMINISTRATIVE: [&str; 15] = [
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Location",
    "HealthcareService",
    "Medication",
    "Substance",
    "CodeSystem",
    "ValueSet",
    "ConceptMap",
    "StructureDefinition",
    "SearchParameter",
    "CapabilityStatement",
    "NamingSystem",
    "OperationDefinition",
];

/// Types that carry anything, also what is of a patient.
const CARRIERS: [&str; 3] = ["Binary", "Bundle", "Parameters"];

/// Whether resources of a type can be about a patient, so that one about none is not everybody's.
fn may_be_of_a_patient(type_name: &str) -> bool {
    let refers_to_patients = || {
        let params = r4().resource(type_name).map_or(&[][..], |def| search_params().of(def));
        params.iter().any(|param| param.targets.contains(&"Patient"))
    };
    type_name == "Patient" || CARRIERS.contains(&type_name) || refers_to_patients()
}

/// The reach of a party's scopes in one interaction.
pub(super) struct ScopeReach {
    party: Arc<Party>,
    /// The letter of a reading interaction, and the type that it is of (all, if none).
    asked: Option<(Permission, Option<&'static TypeDef>)>,
}

impl ScopeReach {
    pub(super) fn new(party: Arc<Party>) -> Self {
        Self { party, asked: None }
    }

    pub(super) fn asked(self, permission: Permission, def: Option<&'static TypeDef>) -> Self {
        Self { asked: Some((permission, def)), ..self }
    }

    /// The letter of a reading interaction, and the type that it is of.
    pub(super) fn of_interaction(&self) -> Option<(Permission, Option<TypeId>)> {
        self.asked.map(|(permission, def)| (permission, def.map(|def| def.id)))
    }

    /// Whether a scope with one of these letters reaches all of a type, without a look at the resource.
    pub(super) fn is_whole(&self, letters: &[Permission], type_name: &str) -> bool {
        let mut scopes = self.party.scopes.reaching(letters, type_name);
        scopes.any(|scope| scope.level != Level::Patient && scope.constraint.is_none())
    }

    /// Whether any scope lets some of a type be seen.
    pub(super) fn has_scopes(&self, type_name: &str) -> bool {
        self.party.scopes.reaching(self.letters(type_name), type_name).next().is_some()
    }

    /// The patients that everything is confined to.
    fn confined_to(&self) -> impl Iterator<Item = &String> {
        let of_emergency = self.party.break_glass.as_ref().map(|glass| &glass.patient);
        of_emergency.into_iter().chain(&self.party.confined_to)
    }

    /// Whether everything is confined to one patient.
    pub(super) fn is_confined(&self) -> bool {
        self.confined_to().next().is_some()
    }

    /// An emergency and a registration with a patient confine everything to that one patient. The patient of a launch narrows what is
    /// reached by scopes of the patient level, and nothing else (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
    pub(super) fn is_outside_confinement(&self, owners: &BTreeSet<String>) -> bool {
        let is_other = |patient: &String| !owners.contains(&format!("Patient/{patient}"));
        !owners.is_empty() && self.confined_to().any(is_other)
    }

    /// Whether a scope of the patient level reaches what is of these patients: its patient's data, and types that are of no
    /// patient. Where no patient is known, there is no patient's data. Whose a resource is rests on its subject alone: what
    /// else refers to a patient (`Observation.focus`) does not put it into the compartment.
    fn is_of_context(&self, type_name: &str, owners: &BTreeSet<String>) -> bool {
        if owners.is_empty() {
            return ADMINISTRATIVE.contains(&type_name) || !may_be_of_a_patient(type_name);
        }
        let context = self.party.patient_context.as_deref().or(self.party.own_patient());
        context.is_some_and(|patient| owners.contains(&format!("Patient/{patient}")))
    }

    /// The letters that let a type be seen: the interaction's own of the type that it is of; of what is come upon on the
    /// way, such as what is included, either of reading.
    pub(super) fn letters(&self, type_name: &str) -> &[Permission] {
        match &self.asked {
            Some((permission, def)) if def.is_none_or(|def| &*def.name == type_name) => {
                std::slice::from_ref(permission)
            }
            Some(_) | None => &Permission::SEEING,
        }
    }

    /// What the token's scopes say of a resource, whatever way it is come upon. Without the resource itself a search
    /// constraint is not decided.
    pub(super) fn of(
        &self,
        letters: &[Permission],
        type_name: &str,
        owners: &BTreeSet<String>,
        resource: Option<Node<'_>>,
    ) -> Keep {
        let mut reach = Keep::Drop;
        for scope in self.party.scopes.reaching(letters, type_name) {
            if scope.level == Level::Patient && !self.is_of_context(type_name, owners) {
                continue;
            }
            match resource {
                Some(resource) if scope.constraint.holds(resource) => return Keep::Keep,
                Some(_) => {}
                None if scope.constraint.is_none() => return Keep::Keep,
                None => reach = Keep::NeedResource,
            }
        }
        reach
    }
}
