//! What a path names, and whether a token's scopes permit an interaction there.
use crate::auth::{Party, Permission};
use crate::definitions::TypeDef;
use crate::model::{ResourceId, VersionId};

use super::answer::Refusal;
use super::table::{Code, Interaction};

/// What a path names.
#[derive(Clone, Debug)]
pub enum Place {
    System,
    Type(&'static TypeDef),
    Instance(&'static TypeDef, ResourceId),
    Version(&'static TypeDef, ResourceId, VersionId),
    /// The compartment of a resource, with members of one type or of all types.
    Compartment(&'static TypeDef, ResourceId, Option<&'static TypeDef>),
}

impl Place {
    /// The resource type, if it names one; for a compartment that of the members.
    #[must_use]
    pub fn def(&self) -> Option<&'static TypeDef> {
        match self {
            Self::System => None,
            Self::Type(def) | Self::Instance(def, _) | Self::Version(def, ..) => Some(def),
            Self::Compartment(_, _, member) => *member,
        }
    }
}

/// The interaction that a request asks for, and what its path names.
#[derive(Clone, Debug)]
pub struct Route {
    pub row: &'static Interaction,
    pub place: Place,
}

impl Route {
    /// The name of the resource type; empty for all types.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.place.def().map_or("", |def| &*def.name)
    }
}

/// Checks that the token's scopes permit the interaction. This happens before any data is read, so that the answer reveals
/// nothing about data.
pub(super) fn permit(party: &Party, row: &Interaction, place: &Place) -> Result<(), Refusal> {
    let name = place.def().map(|def| &*def.name);
    let is_search = matches!(row.code, Code::Search | Code::SearchByPost);
    // A search of several types is checked type by type; a search of one type in a compartment is checked here.
    let by_type = name.filter(|_| is_search).map(|_| Permission::Search);
    let Some(permission) = row.permission.or(by_type) else { return Ok(()) };
    let mut permitted = party.scopes.permit(permission, name);
    if row.code == Code::ConditionalUpdate {
        // A conditional update may create the resource, too.
        permitted = permitted && party.scopes.permit(Permission::Create, name);
    }
    if permitted { Ok(()) } else { Err(Refusal::forbidden("the token's scopes do not permit this")) }
}
