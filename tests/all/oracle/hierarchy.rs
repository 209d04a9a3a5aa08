//! The hierarchy of a code system: of a stored CodeSystem, or of one in the standard's tables.
use std::collections::{HashMap, HashSet};

use chartward::definitions::r4;
use chartward::model::Node;

use super::corpus::Oracle;
use super::occurrence::Token;
use super::token::AskedToken;

/// The hierarchy of a system: for each code the codes directly above it.
pub struct Hierarchy {
    system: String,
    stored: Option<HashMap<String, HashSet<String>>>,
}

impl Hierarchy {
    fn broader(&self, code: &str) -> Vec<String> {
        match &self.stored {
            Some(stored) => stored.get(code).into_iter().flatten().cloned().collect(),
            None => r4().broader(&self.system, code).to_vec(),
        }
    }

    fn knows(&self, code: &str) -> bool {
        let in_tables = || {
            let mut rows = r4().hierarchy(&self.system);
            rows.any(|(narrow, broad)| narrow == code || broad.iter().any(|broad| broad == code))
        };
        match &self.stored {
            Some(stored) => stored.contains_key(code) || stored.values().any(|above| above.contains(code)),
            None => in_tables(),
        }
    }

    /// Whether it comes from a stored CodeSystem.
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// The codes of a stored CodeSystem, sorted.
    pub fn codes(&self) -> Vec<String> {
        let mut codes: Vec<String> = self.stored.iter().flat_map(HashMap::keys).cloned().collect();
        codes.sort();
        codes
    }

    /// The code itself and all codes above it.
    pub fn ancestors(&self, code: &str) -> HashSet<String> {
        let mut found = HashSet::from([code.to_owned()]);
        let mut open = vec![code.to_owned()];
        while let Some(code) = open.pop() {
            for broader in self.broader(&code) {
                if found.insert(broader.clone()) {
                    open.push(broader);
                }
            }
        }
        found
    }
}

impl Oracle {
    /// The hierarchy of a system; empty if the system is unknown.
    pub fn hierarchy(&self, system: &str) -> Hierarchy {
        let numbers = self.with_url("CodeSystem", system);
        let mut broader = HashMap::new();
        for number in numbers {
            read_concepts(self.resources[*number].root(), None, &mut broader);
        }
        Hierarchy { system: system.to_owned(), stored: (!numbers.is_empty()).then_some(broader) }
    }
}

fn read_concepts(holder: Node<'_>, above: Option<&str>, broader: &mut HashMap<String, HashSet<String>>) {
    for concept in holder.items_at("concept") {
        let Some(code) = concept.str_at("code") else { continue };
        broader.entry(code.to_owned()).or_default().extend(above.map(str::to_owned));
        for property in concept.items_at("property") {
            let Some(other) = property.str_at("valueCode") else { continue };
            let (lower, upper) = match property.str_at("code") {
                Some("parent") => (code, other),
                Some("child") => (other, code),
                _ => continue,
            };
            broader.entry(lower.to_owned()).or_default().insert(upper.to_owned());
        }
        read_concepts(concept, Some(code), broader);
    }
}

/// The condition of `:below` or `:above`.
pub struct AskedKin {
    system: String,
    code: String,
    hierarchy: Hierarchy,
    above: HashSet<String>,
    down: bool,
}

impl AskedKin {
    pub fn parse(oracle: &Oracle, text: &str, down: bool) -> Result<Self, String> {
        let AskedToken::Coded { system, code } = AskedToken::parse(text)? else {
            return Err(format!("`{text}` is not system|code"));
        };
        let hierarchy = oracle.hierarchy(&system);
        if !hierarchy.knows(&code) {
            return Err(format!("`{text}` is in no known hierarchy"));
        }
        let above = hierarchy.ancestors(&code);
        Ok(Self { system, code, hierarchy, above, down })
    }

    pub fn finds(&self, token: &Token) -> bool {
        let Some(code) = &token.code else { return false };
        let is_kin = || {
            if self.down {
                self.hierarchy.ancestors(code).contains(&self.code)
            } else {
                self.above.contains(code)
            }
        };
        token.system.fits(&self.system) && is_kin()
    }
}
