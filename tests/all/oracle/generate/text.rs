//! Values for text parameters: beginnings and other parts of texts, sounds, and words.
use super::generator::{Generator, Pair};
use super::random::Random;
use crate::oracle::escape::escape;
use crate::oracle::fold::{fold, words};
use crate::oracle::text::Written;

const CUT_LETTERS_MAX: usize = 24;
const TEXT_LETTERS_MAX: usize = 300;

/// The text, unless it folds to nothing.
fn checked(letters: &[char]) -> Option<String> {
    let text: String = letters.iter().collect();
    if fold(&text).is_empty() { None } else { Some(text) }
}

pub fn beginning(random: &mut Random, text: &str) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    let len = 1 + random.below(letters.len().clamp(1, CUT_LETTERS_MAX));
    checked(&letters[..len.min(letters.len())])
}

pub fn middle(random: &mut Random, text: &str) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    let start = random.below(letters.len().max(1));
    let len = 1 + random.below(CUT_LETTERS_MAX / 2);
    checked(&letters[start.min(letters.len())..(start + len).min(letters.len())])
}

pub fn ending(random: &mut Random, text: &str) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    let len = 1 + random.below(letters.len().clamp(1, CUT_LETTERS_MAX));
    checked(&letters[letters.len().saturating_sub(len)..])
}

/// The whole text, unless it is very long.
pub fn whole(text: &str) -> Option<String> {
    let letters: Vec<char> = text.chars().take(TEXT_LETTERS_MAX + 1).collect();
    if letters.len() > TEXT_LETTERS_MAX { None } else { checked(&letters) }
}

/// A value for a string parameter.
pub fn string(random: &mut Random, modifier: &str, parts: &[Written]) -> Option<String> {
    let text = &random.pick(parts)?.text;
    let cut = match modifier {
        "contains" => middle(random, text)?,
        "exact" if random.chance(80) => whole(text)?,
        _ => beginning(random, text)?,
    };
    let shouted = cut.is_ascii() && modifier != "exact" && random.chance(20);
    Some(escape(&if shouted { cut.to_uppercase() } else { cut }))
}

/// One or two words of a name, some with changed vowels.
pub fn sound(random: &mut Random, parts: &[Written]) -> Option<String> {
    let all: Vec<String> = parts
        .iter()
        .flat_map(|part| words(&part.text))
        .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect();
    let mut asked = random.pick(&all)?.clone();
    if random.chance(30) {
        asked = format!("{}{}", &asked[..1], asked[1..].replace('e', "a"));
    }
    if random.chance(30) {
        asked = format!("{asked} {}", random.pick(&all)?);
    }
    Some(asked)
}

/// A value for a URI parameter.
pub fn uri(random: &mut Random, modifier: &str, uri: &str) -> Option<String> {
    let letters: Vec<char> = uri.chars().collect();
    let asked: String = match modifier {
        "below" => letters[..1 + random.below(letters.len())].iter().collect(),
        "above" => format!("{uri}{}", random.word(&["", "/part", "/part/of", "part"])),
        _ => uri.to_owned(),
    };
    Some(escape(&asked))
}

impl Generator<'_> {
    /// `_text` or `_content` with words of the resource.
    pub fn words(&mut self, number: usize) -> Option<Pair> {
        let texts = self.oracle.resources[number].texts();
        let narrative = self.random.chance(50) && !texts.narrative.is_empty();
        let (name, texts) = if narrative { ("_text", &texts.narrative) } else { ("_content", &texts.all) };
        let first = self.random.pick(texts)?;
        let second = self.random.pick(texts)?;
        let value = words_of(&mut self.random, first, second)?;
        Some((name.to_owned(), value))
    }
}

fn words_of(random: &mut Random, first: &[String], second: &[String]) -> Option<String> {
    let (one, other) = (random.pick(first)?.clone(), random.pick(second)?.clone());
    if [&one, &other].iter().any(|word| matches!(word.as_str(), "and" | "or" | "not")) {
        return None;
    }
    Some(match random.below(10) {
        0 | 1 => one,
        2 => format!("{one} {other}"),
        3 => format!("{one} AND {other}"),
        4 => format!("{one} OR {other}"),
        5 => format!("NOT {one}"),
        6 => format!("({one} OR {other}) NOT {}", random.pick(first)?),
        7 => format!("{}*", beginning(random, &one)?),
        _ => {
            let start = random.below(first.len());
            let end = (start + 1 + random.below(3)).min(first.len());
            format!("\"{}\"", first[start..end].join(" "))
        }
    })
}
