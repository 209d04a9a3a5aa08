//! The reach of a token's scopes: which resources of a type, by their subjects and content. Consents decide afterwards, within
//! that reach.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::auth::{Level, Party, Permission};
use crate::definitions::{TypeDef, TypeId, r4};
use crate::model::Node;
use crate::search::{Keep, search_params};

/// Types that are about no patient. Every party may read them within its scopes.
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

/// Types that can carry any content, also data of a patient.
const CARRIERS: [&str; 3] = ["Binary", "Bundle", "Parameters"];

/// Whether resources of a type can be about a patient. One that has no subject is then not open to everybody.
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
    /// The permission that a reading interaction needs, and the requested type (`None`: all types).
    asked: Option<(Permission, Option<&'static TypeDef>)>,
}

impl ScopeReach {
    pub(super) fn new(party: Arc<Party>) -> Self {
        Self { party, asked: None }
    }

    pub(super) fn asked(self, permission: Permission, def: Option<&'static TypeDef>) -> Self {
        Self { asked: Some((permission, def)), ..self }
    }

    /// The permission that a reading interaction needs, and the requested type.
    pub(super) fn of_interaction(&self) -> Option<(Permission, Option<TypeId>)> {
        self.asked.map(|(permission, def)| (permission, def.map(|def| def.id)))
    }

    /// Whether a scope with one of these permissions reaches all resources of a type, so that none needs to be looked at.
    pub(super) fn is_whole(&self, letters: &[Permission], type_name: &str) -> bool {
        let mut scopes = self.party.scopes.reaching(letters, type_name);
        scopes.any(|scope| scope.level != Level::Patient && scope.constraint.is_none())
    }

    /// Whether any scope reaches at least some resources of a type.
    pub(super) fn has_scopes(&self, type_name: &str) -> bool {
        self.party.scopes.reaching(self.letters(type_name), type_name).next().is_some()
    }

    /// The ids of the patients to whom the party is confined.
    fn confined_to(&self) -> impl Iterator<Item = &String> {
        let of_emergency = self.party.break_glass.as_ref().map(|glass| &glass.patient);
        of_emergency.into_iter().chain(&self.party.confined_to)
    }

    /// Whether the party is confined to one patient.
    pub(super) fn is_confined(&self) -> bool {
        self.confined_to().next().is_some()
    }

    /// Break-glass and a registration bound to a patient confine all access to that one patient. The patient of a launch narrows
    /// only scopes of the patient level (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
    pub(super) fn is_outside_confinement(&self, owners: &BTreeSet<String>) -> bool {
        let is_other = |patient: &String| !owners.contains(&format!("Patient/{patient}"));
        !owners.is_empty() && self.confined_to().any(is_other)
    }

    /// Whether a scope of the patient level reaches a resource with these subjects: data of its patient, and types that are about
    /// no patient. Without a patient in context it reaches no patient's data. Only subjects count: any other reference to a
    /// patient (`Observation.focus`) does not put a resource into the compartment.
    fn is_of_context(&self, type_name: &str, owners: &BTreeSet<String>) -> bool {
        if owners.is_empty() {
            return ADMINISTRATIVE.contains(&type_name) || !may_be_of_a_patient(type_name);
        }
        let context = self.party.patient_context.as_deref().or(self.party.own_patient());
        context.is_some_and(|patient| owners.contains(&format!("Patient/{patient}")))
    }

    /// The permissions that let a type be seen. For the requested type it is the interaction's permission; for other types, such
    /// as included ones, read or search.
    pub(super) fn letters(&self, type_name: &str) -> &[Permission] {
        match &self.asked {
            Some((permission, def)) if def.is_none_or(|def| &*def.name == type_name) => {
                std::slice::from_ref(permission)
            }
            Some(_) | None => &Permission::SEEING,
        }
    }

    /// Whether the scopes reach a resource, however it was found. Without the resource itself a scope's search constraint cannot
    /// be evaluated.
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
