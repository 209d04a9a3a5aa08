//! Values for token and reference parameters, in all their spellings.
use chartward::definitions::SearchParamRow;

use super::generator::Generator;
use super::random::Random;
use super::text::beginning;
use crate::oracle::OWN_BASE;
use crate::oracle::escape::escape;
use crate::oracle::occurrence::{Pointer, System, Token};
use crate::oracle::reference::part_of;

/// The prefix of HL7 Version 3 URLs: such systems are both in stored CodeSystems and in the standard's tables.
const VERSION_3: &str = "http://terminology.hl7.org/CodeSystem/v3-";

/// `code`, `system|code`, `|code` or `system|`.
pub fn plain_token(random: &mut Random, token: &Token) -> Option<String> {
    let code = token.code.as_deref().map(escape);
    match (&token.system, code) {
        (System::Named(system), Some(code)) => Some(match random.below(7) {
            0 | 1 => code,
            2 => format!("{}|", escape(system)),
            3 if random.chance(30) => format!("|{code}"),
            _ => format!("{}|{code}", escape(system)),
        }),
        (System::Named(system), None) => Some(format!("{}|", escape(system))),
        (System::None, Some(code)) => Some(if random.chance(40) { format!("|{code}") } else { code }),
        (System::Implied, Some(code)) => Some(match random.below(10) {
            0 => format!("http://example.org/any|{code}"),
            1 if random.chance(50) => format!("|{code}"),
            _ => code,
        }),
        (System::None | System::Implied, None) => None,
    }
}

impl Generator<'_> {
    /// A value for a token parameter.
    pub fn token(&mut self, modifier: &str, token: &Token) -> Option<String> {
        match modifier {
            "" | "not" => plain_token(&mut self.random, token),
            "text" => {
                let text = self.random.pick(&token.texts)?;
                beginning(&mut self.random, &text.text).map(|text| escape(&text))
            }
            "in" | "not-in" => self.set_with(token).map(|name| escape(&name)),
            "below" | "above" => self.kin(token, modifier == "below"),
            "of-type" => {
                let (system, code) = self.random.pick(&token.types)?;
                let value = token.code.as_deref()?;
                Some(format!("{}|{}|{}", escape(system), escape(code), escape(value)))
            }
            _ => None,
        }
    }

    /// A value set that contains the token.
    pub fn set_with(&mut self, token: &Token) -> Option<String> {
        let with_it: Vec<usize> = (0..self.inventory.sets.len())
            .filter(|at| self.inventory.sets[*at].members.finds(token))
            .collect();
        let at = *self.random.pick(&with_it)?;
        self.random.pick(&self.inventory.sets[at].names).cloned()
    }

    /// A code above (for `:below`) or below the token's own.
    pub fn kin(&mut self, token: &Token, down: bool) -> Option<String> {
        let (System::Named(system), Some(code)) = (&token.system, &token.code) else { return None };
        let hierarchy = self.oracle.hierarchy(system);
        if hierarchy.is_stored() && system.starts_with(VERSION_3) {
            return None;
        }
        let mut codes: Vec<String> = if down {
            hierarchy.ancestors(code).into_iter().collect()
        } else {
            hierarchy.codes().into_iter().filter(|lower| hierarchy.ancestors(lower).contains(code)).collect()
        };
        codes.sort();
        let asked = self.random.pick(&codes).unwrap_or(code);
        Some(format!("{}|{}", escape(system), escape(asked)))
    }

    /// A value for a reference parameter.
    pub fn reference(
        &mut self,
        row: &'static SearchParamRow,
        modifier: &str,
        pointer: &Pointer,
    ) -> Option<String> {
        match modifier {
            "" => self.plain_reference(pointer),
            "identifier" => plain_token(&mut self.random, pointer.identifier.as_ref()?),
            "below" | "above" => {
                let key = pointer.local.as_ref()?;
                part_of(key.type_name)?;
                let family = self.oracle.family(row, &key.to_string(), modifier == "above").ok()?;
                let mut names: Vec<String> = family.iter().map(ToString::to_string).collect();
                names.sort();
                self.random.pick(&names).cloned()
            }
            _ => {
                let key = pointer.local.as_ref().filter(|key| key.type_name == modifier)?;
                Some(if self.random.chance(70) { key.id.to_string() } else { key.to_string() })
            }
        }
    }

    fn plain_reference(&mut self, pointer: &Pointer) -> Option<String> {
        let mut spellings = Vec::new();
        if let Some(key) = &pointer.local {
            spellings.extend([key.to_string(), key.id.to_string(), format!("{OWN_BASE}/{key}")]);
        }
        if let Some(url) = &pointer.url {
            spellings.push(url.clone());
            spellings.extend(url.split_once('|').map(|(url, _)| url.to_owned()));
        }
        self.random.pick(&spellings).map(|text| escape(text))
    }
}
