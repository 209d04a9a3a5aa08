//! What a search asks of a resource: conditions on its entries, on what it refers to and on what refers to it.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Interval, ResourceId, Span};

use super::entry::{Encoded, Form, TEXT_BYTES_MAX, cut};
use super::fold::fold;
use super::matcher::{Ask, Check, Matcher};
use super::param::{
    ValueContext, asks, media_types_below, modifiers, overlapping, sounds, to_contained, to_identifier,
    to_resource, to_url, to_version, to_versions_below, token_ask, word,
};
use super::params::{Param, SearchParams, param_id};
use super::text::{Prefix, unescape};
use super::whole_text::TextCheck;

/// A condition on a resource.
#[derive(Clone, Debug)]
pub enum Filter {
    /// It has an entry that one of these finds.
    Entries(Vec<Matcher>),
    /// One of its texts for the parameter is so, as the resource alone tells.
    Text(Arc<Param>, TextCheck),
    Id(Vec<ResourceId>),
    LastUpdated(Prefix, Interval),
    /// It refers by the parameter to a resource that one of the links describes.
    Chain(Arc<Param>, Vec<Link>),
    /// A resource of the link's type that is as it describes refers to it by the parameter.
    Has(Arc<Param>, Link),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    /// What only other resources tell. INVARIANT: replaced before rows are asked for.
    Lookup(Lookup),
}

/// The other end of a reference.
#[derive(Clone, Debug)]
pub struct Link {
    pub def: &'static TypeDef,
    pub filter: Box<Filter>,
}

/// A condition that has to be looked up in other resources first.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The token is in the value set of that URL or `ValueSet/id`.
    InValueSet(Arc<Param>, String),
    /// The token is narrower than (or broader than), or is, `system|code`.
    Hierarchy(Arc<Param>, Way, String),
    /// The reference is to what is part of this resource (or what it is part of), or to itself.
    Parts(Arc<Param>, Way, String),
    /// It is in the List of that id.
    List(ResourceId),
}

/// Which way up or down a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Above,
    Below,
}

impl Filter {
    /// Nothing fulfils it.
    #[must_use]
    pub fn never() -> Self {
        Self::Any(Vec::new())
    }

    /// The condition and its opposite.
    #[must_use]
    pub fn negated_if(self, negated: bool) -> Self {
        if negated { Self::Not(Box::new(self)) } else { self }
    }

    /// All of them, without a list around a single one.
    #[must_use]
    pub fn all(mut filters: Vec<Self>) -> Self {
        match (filters.pop(), filters.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                filters.push(last);
                Self::All(filters)
            }
            (None, _) => Self::All(filters),
        }
    }

    /// Whether it asks for texts or identifiers of references of the resources that are searched: what a mask may leave out
    /// of what is shown.
    #[must_use]
    pub fn asks_for_texts(&self, is_masked: &dyn Fn(u32) -> bool) -> bool {
        let of_words =
            |param: u32| [param_id("_text"), param_id("_content")].contains(&param) || is_masked(param);
        match self {
            Self::Entries(matchers) => matchers.iter().any(|matcher| {
                of_words(matcher.param) || matcher.start.first() == Some(&Form::Identifier.byte())
            }),
            Self::Text(_, TextCheck::Phrase(_)) => true,
            Self::Text(param, _) => of_words(param.id),
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().any(|filter| filter.asks_for_texts(is_masked))
            }
            Self::Not(filter) => filter.asks_for_texts(is_masked),
            Self::Chain(_, links) => links.iter().any(|link| link.filter.asks_for_texts(is_masked)),
            Self::Has(_, link) => link.filter.asks_for_texts(is_masked),
            Self::Id(_) | Self::LastUpdated(..) | Self::Lookup(_) => false,
        }
    }

    /// Any of them, without a list around a single one.
    #[must_use]
    pub fn any(mut filters: Vec<Self>) -> Self {
        if filters.len() == 1
            && let Some(only) = filters.pop()
        {
            return only;
        }
        Self::Any(filters)
    }

    /// A token that is any of these systems and codes; without a system any will do.
    #[must_use]
    pub fn codes(param: &Param, codes: &[(Option<String>, String)]) -> Self {
        let in_case = |code: &str| if param.may_be_string { code.to_lowercase() } else { code.to_owned() };
        let asks = codes.iter().flat_map(|(system, code)| {
            let small = in_case(code);
            let others = (small != *code).then(|| token_ask(system.as_deref(), &small));
            [token_ask(system.as_deref(), code)].into_iter().chain(others)
        });
        Self::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    }

    /// A reference by the parameter to that resource.
    #[must_use]
    pub fn refers(param: &Param, type_name: &str, id: &str) -> Self {
        Self::Entries(to_resource(type_name, id).matchers(param.id, param.kind))
    }

    /// A reference by the parameter that has this identifier of its own.
    #[must_use]
    pub fn identifies(param: &Param, system: &str, value: &str) -> Self {
        Self::Entries(to_identifier(system, value).matchers(param.id, param.kind))
    }

    /// Whatever has no value of the parameter.
    #[must_use]
    pub fn missing(param: &Param) -> Self {
        Self::Not(Box::new(Self::present(param.id)))
    }

    /// A canonical reference by the parameter to that URL, in any version.
    #[must_use]
    pub fn refers_to_url(param: &Param, url: &str) -> Self {
        Self::Entries(to_url(url).matchers(param.id, param.kind))
    }

    /// A canonical reference by the parameter to that URL, in this version or without one.
    #[must_use]
    pub fn refers_to_version(param: &Param, url: &str, version: &str) -> Self {
        let asks = to_version(url, version).into_iter();
        Self::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    }

    /// A reference by the parameter to a resource that is contained.
    #[must_use]
    pub fn refers_within(param: &Param) -> Self {
        Self::Entries(to_contained().matchers(param.id, param.kind))
    }

    /// A URI that is exactly this.
    #[must_use]
    pub fn uri(param: &Param, url: &str) -> Self {
        Self::Entries(Ask::key(Encoded::new(Form::Value).text(cut(url))).matchers(param.id, param.kind))
    }

    /// A date that has an instant in common with the interval.
    #[must_use]
    pub fn overlapping(param: &Param, asked: Span) -> Self {
        let asks = overlapping(asked).into_iter();
        Self::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    }

    /// Whether the parameter has any value.
    #[must_use]
    pub fn present(param: u32) -> Self {
        Self::Entries(vec![Matcher::any(param)])
    }

    /// That a resource has the word.
    pub(super) fn word(param: &Param, text: &str, is_beginning: bool) -> Self {
        let ask = if is_beginning { Ask::text_from(Form::Value, text) } else { Ask::key(word(text)) };
        Self::Entries(ask.matchers(param.id, param.kind))
    }
}

/// How a text is compared in the filter language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextMatch {
    Whole,
    Begins,
    Holds,
    Ends,
}

/// Texts in a form compared with a text that is folded where theirs are. Entries have the beginning of a long text only: how it
/// goes on the resource tells.
pub(super) fn text_filter(param: &Arc<Param>, form: Form, how: TextMatch, text: &str) -> Filter {
    let entries = |ask: Ask| Filter::Entries(ask.matchers(param.id, param.kind));
    let whole = |check: TextCheck| Filter::Text(param.clone(), check);
    let (held, check) = match how {
        TextMatch::Whole => return entries(Ask::key(Encoded::new(form).text(cut(text)))),
        TextMatch::Begins => {
            let beginning = entries(Ask::text_from(form, text));
            return if text.len() > TEXT_BYTES_MAX {
                Filter::All(vec![beginning, whole(TextCheck::Begins(text.to_owned()))])
            } else {
                beginning
            };
        }
        TextMatch::Holds => (Check::Holds(text.as_bytes().to_vec()), TextCheck::Holds(text.to_owned())),
        TextMatch::Ends => (Check::Ends(text.as_bytes().to_vec()), TextCheck::Ends(text.to_owned())),
    };
    // Looked for like the texts themselves, so that the plan knows at once where there is none.
    let is_cut = entries(Ask::all(Form::Cut).with(Check::Holds(Vec::new())));
    Filter::Any(vec![entries(Ask::all(form).with(held)), Filter::All(vec![is_cut, whole(check)])])
}

/// More different words of a value are not looked for each for itself.
const WORDS_MAX: usize = 32;

/// A string begins so; of names and addresses of which several words are asked for each may begin one of the parts, or a word of a name.
fn string_filter(param: &Arc<Param>, text: &str) -> Filter {
    let begins = |text: &str| {
        let asks = [Form::Value, Form::Word].map(|form| Ask::text_from(form, text)).into_iter();
        let entries = Filter::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect());
        if text.len() > TEXT_BYTES_MAX {
            Filter::All(vec![entries, Filter::Text(param.clone(), TextCheck::Begins(text.to_owned()))])
        } else {
            entries
        }
    };
    // Of what folds to nothing, such as an apostrophe alone, every text would be a continuation.
    if text.trim().is_empty() {
        return Filter::never();
    }
    let words: BTreeSet<&str> = text.split(' ').collect();
    if text.contains(' ') && words.len() <= WORDS_MAX && param.is_of_parts {
        // CHOICE: the words of a name or address may be asked for in any order, the standard says no more than that any part fits; other
        // texts, such as titles, begin as they are asked for.
        let words = Filter::All(words.into_iter().map(begins).collect());
        Filter::Any(vec![begins(text), words])
    } else {
        begins(text)
    }
}

/// The filter for a parameter with a modifier and alternatives.
///
/// # Errors
/// What is wrong with the modifier or a value, in words.
pub(super) fn term(
    param: &Arc<Param>,
    modifier: Option<&str>,
    values: &[String],
    asking: ValueContext<'_>,
) -> Result<Filter, String> {
    let is_target = |name: &str| param.kind == ParamType::Reference && r4().resource(name).is_some();
    if let Some(name) = modifier
        && !is_target(name)
        && !modifiers(param.kind).any(|known| known == name)
    {
        return Err(format!("the modifier `:{name}` is not served for `{}`", param.code));
    }
    if modifier == Some("missing") {
        return match values {
            [value] if value == "true" => Ok(Filter::Not(Box::new(Filter::present(param.id)))),
            [value] if value == "false" => Ok(Filter::present(param.id)),
            _ => Err("`:missing` takes true or false".to_owned()),
        };
    }
    if param.kind == ParamType::Uri
        && matches!(modifier, Some("above" | "below"))
        && let Some(urn) = values.iter().find(|value| value.to_ascii_lowercase().starts_with("urn:"))
    {
        // R4 search.html#modifiers: these are for URLs.
        return Err(format!("`{urn}` is a URN; `:above` and `:below` are for URLs"));
    }
    if let Some(filter) = looked_up(param, modifier, values)? {
        return Ok(filter);
    }
    if param.is_phonetic {
        let each = |value: &String| {
            let sounds = sounds(value).into_iter();
            Filter::all(sounds.map(|ask| Filter::Entries(ask.matchers(param.id, param.kind))).collect())
        };
        return Ok(Filter::any(values.iter().map(each).collect()));
    }
    let text_of = |value: &String| match (param.kind, modifier) {
        (ParamType::String, None) => Some(string_filter(param, &fold(&unescape(value)))),
        (ParamType::String, Some("contains")) if fold(&unescape(value)).trim().is_empty() => {
            Some(Filter::never())
        }
        (ParamType::String, Some("contains")) => {
            Some(text_filter(param, Form::Value, TextMatch::Holds, &fold(&unescape(value))))
        }
        (ParamType::Token, Some("text")) => {
            Some(text_filter(param, Form::Text, TextMatch::Begins, &fold(&unescape(value))))
        }
        (ParamType::Uri, Some("below")) => {
            Some(text_filter(param, Form::Value, TextMatch::Begins, &unescape(value)))
        }
        _ => None,
    };
    if let Some(filters) = values.iter().map(text_of).collect() {
        return Ok(joined(filters));
    }
    let asked_with = modifier.filter(|name| *name != "not");
    let mut matchers = Vec::new();
    for value in values {
        for ask in asks(param, asked_with, value, asking)? {
            matchers.extend(ask.matchers(param.id, param.kind));
        }
    }
    Ok(Filter::Entries(matchers).negated_if(modifier == Some("not")))
}

/// Any of them; entries together, because they are read together.
fn joined(filters: Vec<Filter>) -> Filter {
    let mut matchers = Vec::new();
    let mut others = Vec::new();
    for filter in filters {
        match filter {
            Filter::Entries(some) => matchers.extend(some),
            other => others.push(other),
        }
    }
    if !matchers.is_empty() || others.is_empty() {
        others.push(Filter::Entries(matchers));
    }
    Filter::any(others)
}

/// The modifiers that ask for other resources.
fn looked_up(
    param: &Arc<Param>,
    modifier: Option<&str>,
    values: &[String],
) -> Result<Option<Filter>, String> {
    let way = match modifier {
        Some("above") => Way::Above,
        _ => Way::Below,
    };
    let entries = |asks: Vec<Ask>| {
        Filter::Entries(asks.into_iter().flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    };
    let lookup = |value: &String| {
        if modifier == Some("below") && param.kind == ParamType::Token && param.is_media_type {
            return Ok(entries(media_types_below(value)));
        }
        if modifier == Some("below") && param.kind == ParamType::Reference && value.contains(':') {
            // R4 search.html#versions: a canonical URL is above its versions.
            let value = unescape(value);
            return Ok(match value.split_once('|') {
                Some((url, version)) => entries(to_versions_below(url, version)),
                None => entries(vec![to_url(&value)]),
            });
        }
        Ok(Filter::Lookup(match (modifier, param.kind) {
            (Some("in" | "not-in"), ParamType::Token) => Lookup::InValueSet(param.clone(), value.clone()),
            (Some("above" | "below"), ParamType::Token) => {
                Lookup::Hierarchy(param.clone(), way, value.clone())
            }
            _ => {
                if part_param(param).is_empty() {
                    let message = "what `{}` refers to has no parts; `:below` takes a canonical URL, with or without a version";
                    return Err(message.replace("{}", &param.code));
                }
                Lookup::Parts(param.clone(), way, value.clone())
            }
        }))
    };
    let is_looked_up = match param.kind {
        ParamType::Token => matches!(modifier, Some("in" | "not-in" | "above" | "below")),
        ParamType::Reference => matches!(modifier, Some("above" | "below")),
        _ => false,
    };
    if !is_looked_up {
        return Ok(None);
    }
    let filters: Result<Vec<Filter>, String> = values.iter().map(lookup).collect();
    Ok(Some(Filter::any(filters?).negated_if(modifier == Some("not-in"))))
}

/// The types that a reference may lead to whose resources are parts of each other, with the parameter that says so.
#[must_use]
pub fn part_param(param: &Param) -> Vec<(&'static TypeDef, &'static str)> {
    let params = super::params::search_params();
    let part_of = |target: &&'static str| {
        let def = r4().resource(target)?;
        let code = ["partof", "part-of"]
            .into_iter()
            .find(|code| params.find(def, code).is_some_and(|param| param.targets.contains(&&*def.name)))?;
        Some((def, code))
    };
    param.targets.iter().filter_map(part_of).collect()
}

/// The members of a compartment among the resources of a type (R4 compartmentdefinition.html).
#[must_use]
pub fn compartment(params: &SearchParams, of: &TypeDef, id: &ResourceId, def: &TypeDef) -> Option<Filter> {
    let codes = r4().compartment_params(&of.name, &def.name);
    let mut members: Vec<Filter> = codes
        .iter()
        .filter_map(|code| params.find(def, code))
        .map(|param| Filter::refers(param, &of.name, id.as_str()))
        .collect();
    if def.id == of.id {
        // A compartment holds what it is named after.
        members.push(Filter::Id(vec![id.clone()]));
    }
    (!members.is_empty()).then(|| Filter::any(members))
}
