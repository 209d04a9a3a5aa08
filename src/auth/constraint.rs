//! Search constraints of scopes (SMART App Launch 2, "Finer-grained resource constraints using search parameters"): the
//! conditions under which a scope reaches a resource. Only the resource itself decides, however it is accessed.
use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Node, decode_pairs, message_error};
use crate::search::{
    Control, Filter, Reading, ValueContext, entries_by, fulfils, parse_query, search_params,
};

message_error! {
    /// Why the query part of a scope cannot be enforced: a message for whoever registers the scope.
    pub InvalidConstraint
}

/// Conditions that must all hold. An empty constraint reaches everything.
#[derive(Clone, Debug, Default)]
pub struct Constraint {
    text: String,
    filters: Vec<Filter>,
    /// The names of the search parameters in the conditions.
    codes: Vec<String>,
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Constraint {}

/// Parameters that depend on other resources, or on what only the store knows.
const NOT_OF_THE_RESOURCE: [&str; 4] = ["_has", "_list", "_filter", "_lastUpdated"];

impl Constraint {
    /// Reads the query part of a scope on a type. `None` is all types, with only the parameters that they share.
    ///
    /// # Errors
    /// Why the constraint cannot be enforced. Ignoring it would widen the scope.
    pub fn parse(def: Option<&'static TypeDef>, text: &str) -> Result<Self, InvalidConstraint> {
        let pairs = decode_pairs(text);
        let mut codes = Vec::new();
        // The shared parameters give the same index entries for every type, so any type serves to read them.
        let of = def.or_else(|| r4().resource("Basic")).ok_or("there is no such type")?;
        if pairs.is_empty() {
            return Err("the constraint of a scope is empty".into());
        }
        for (name, value) in &pairs {
            let code = name.split(':').next().unwrap_or_default();
            let is_kept = !NOT_OF_THE_RESOURCE.contains(&code)
                && Control::find(code).is_none()
                && (def.is_some() || code.starts_with('_'));
            if !is_kept {
                return Err(format!("`{code}` cannot constrain a scope").into());
            }
            if value.split(',').any(|value| value.trim().is_empty()) {
                return Err(format!("`{code}` has no value").into());
            }
            let kind = search_params().find(of, code).map(|param| param.kind);
            let is_about_now = |value: &str| value.split([',', '$']).any(|value| value.starts_with("ap"));
            if matches!(kind, Some(ParamType::Date | ParamType::Composite)) && is_about_now(value) {
                return Err(format!("`{code}` is compared with the time of asking").into());
            }
            codes.push(code.to_owned());
        }
        let asking = ValueContext { now: 0, base_url: "" };
        let reading = Reading { params: search_params(), asking, lenient: false };
        let query = parse_query(&reading, of, &pairs).map_err(|error| error.message)?;
        if !query.filters.iter().all(is_of_the_resource) {
            return Err("the constraint asks for other resources".into());
        }
        Ok(Self { text: text.to_owned(), filters: query.filters, codes })
    }

    #[must_use]
    pub fn is_none(&self) -> bool {
        self.filters.is_empty()
    }

    /// The query part of the scope, as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The constraint as a condition of a search.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::all(self.filters.clone())
    }

    /// A constraint that holds where both hold.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        if self == other || other.is_none() {
            return self.clone();
        }
        if self.is_none() {
            return other.clone();
        }
        Self {
            text: format!("{}&{}", self.text, other.text),
            filters: [self.filters.as_slice(), &other.filters].concat(),
            codes: [self.codes.as_slice(), &other.codes].concat(),
        }
    }

    /// Whether a resource fulfils the constraint. A condition that cannot be evaluated is not fulfilled.
    #[must_use]
    pub fn holds(&self, resource: Node<'_>) -> bool {
        if self.is_none() {
            return true;
        }
        let Some(def) = resource.str_at("resourceType").and_then(|name| r4().resource(name)) else {
            return false;
        };
        let params: Vec<_> =
            self.codes.iter().filter_map(|code| search_params().find(def, code)).cloned().collect();
        let own = entries_by(&params, resource);
        self.filters.iter().all(|filter| fulfils(filter, resource, &own, None) == Ok(true))
    }
}

fn is_of_the_resource(filter: &Filter) -> bool {
    match filter {
        Filter::Entries(_) | Filter::Text(..) | Filter::Id(_) => true,
        Filter::All(filters) | Filter::Any(filters) => filters.iter().all(is_of_the_resource),
        Filter::Not(filter) => is_of_the_resource(filter),
        Filter::Chain(..) | Filter::Has(..) | Filter::Lookup(_) | Filter::LastUpdated(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Constraint;
    use crate::definitions::r4;
    use crate::model::parse;

    #[test]
    fn what_cannot_be_kept_is_an_error() {
        let observation = r4().resource("Observation");
        for bad in [
            "",
            "categry=x",
            "category",
            "category=",
            "category=a,",
            "code:in=http://x",
            "code:above=x|y",
            "code:blurry=x",
            "subject.name=x",
            "subject:Patient.name=x",
            "_has:Provenance:target:agent=x",
            "_lastUpdated=gt2020",
            "_count=1",
            "_include=*",
            "_filter=code eq a",
            "date=ap2020",
            "_list=1",
        ] {
            assert!(Constraint::parse(observation, bad).is_err(), "{bad}");
        }
        assert!(Constraint::parse(None, "code=x").is_err());
        assert!(Constraint::parse(None, "_tag=x").is_ok());
    }

    #[test]
    fn the_resource_decides() {
        let tree = parse(
            br#"{"resourceType":"Observation","id":"o","status":"final","meta":{"tag":[{"system":"t","code":"x"}]},
            "category":[{"coding":[{"system":"c","code":"lab"}]}],"code":{"coding":[{"system":"l","code":"1"}]},
            "subject":{"reference":"Patient/p"},"effectiveDateTime":"2020-05-01","valueQuantity":{"value":5}}"#
                .to_vec(),
        )
        .unwrap();
        for (text, holds) in [
            ("category=c|lab", true),
            ("category=c%7Clab", true),
            ("category=vital,lab", true),
            ("category=vital", false),
            ("category=lab&code=2", false),
            ("category:not=lab", false),
            ("code:not=2", true),
            ("patient=Patient/p", true),
            ("subject=Patient/q", false),
            ("date=ge2020", true),
            ("date=lt2020", false),
            ("value-quantity=gt4", true),
            ("code-value-quantity=1$5", true),
            ("_id=o", true),
            ("_id=p", false),
            ("performer:missing=true", true),
        ] {
            let constraint = Constraint::parse(r4().resource("Observation"), text).unwrap();
            assert_eq!(constraint.holds(tree.root()), holds, "{text}");
        }
        assert!(Constraint::parse(None, "_tag=t|x").unwrap().holds(tree.root()));
        assert!(!Constraint::parse(None, "_tag=t|y").unwrap().holds(tree.root()));
    }
}
