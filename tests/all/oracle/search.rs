//! A whole search: all conditions must hold, and the matches are sorted.
use chartward::definitions::r4;

use super::corpus::{Oracle, Set, resource_type};

/// Parameters that control the answer rather than filter the matches.
const RESULT_PARAMETERS: [&str; 9] =
    ["_sort", "_count", "_total", "_summary", "_elements", "_include", "_revinclude", "_format", "_pretty"];

impl Oracle {
    /// `Type/id` of the matches in the order of the answer. Without a type, of all types or those of `_type`.
    ///
    /// # Errors
    /// If the query is malformed.
    pub fn search(&self, type_name: &str, pairs: &[(String, String)]) -> Result<Vec<String>, String> {
        let types = asked_types(type_name, pairs)?;
        let is_condition = |name: &str, value: &str| {
            let code = name.split(':').next().unwrap_or(name);
            let names_types = type_name.is_empty() && code == "_type";
            !RESULT_PARAMETERS.contains(&code) && !names_types && !value.is_empty()
        };
        let conditions: Vec<&(String, String)> =
            pairs.iter().filter(|(name, value)| is_condition(name, value)).collect();
        let mut matches = Set::new();
        for &type_name in &types {
            matches.extend(self.matches(type_name, &conditions)?);
        }
        let sort = pairs.iter().find(|(name, _)| name == "_sort").map(|(_, value)| value.as_str());
        let order = self.sorted(&types, matches, sort)?;
        Ok(order.into_iter().map(|number| self.resources[number].key.to_string()).collect())
    }

    fn matches(&self, type_name: &'static str, conditions: &[&(String, String)]) -> Result<Set, String> {
        let mut left: Set = self.all(type_name).iter().copied().collect();
        for (name, value) in conditions {
            let found = self.find(type_name, name, value, 0)?;
            left.retain(|number| found.contains(number));
        }
        Ok(left)
    }
}

fn asked_types(type_name: &str, pairs: &[(String, String)]) -> Result<Vec<&'static str>, String> {
    if !type_name.is_empty() {
        return Ok(vec![resource_type(type_name)?]);
    }
    match pairs.iter().find(|(name, value)| name == "_type" && !value.is_empty()) {
        Some((_, names)) => names.split(',').map(resource_type).collect(),
        None => Ok(r4().resources().map(|def| &*def.name).collect()),
    }
}
