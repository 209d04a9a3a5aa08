//! The conditions of a search on a resource: on its index entries, on the resources it refers to and on those that refer to it.
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::definitions::{ParamType, TypeDef, r4};
use crate::model::{Interval, ResourceId, Span};

use super::entry::{Encoded, Form, TEXT_BYTES_MAX, cut};
use super::fold::fold;
use super::invalid_value::InvalidValue;
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
    /// The resource has an entry that one of these matchers finds.
    Entries(Vec<Matcher>),
    /// One of its texts for the parameter passes the check. This needs the resource; the entries do not tell.
    Text(Arc<Param>, TextCheck),
    Id(Vec<ResourceId>),
    LastUpdated(Prefix, Interval),
    /// It refers by the parameter to a resource of a link's type that fulfils the link's filter.
    Chain(Arc<Param>, Vec<Link>),
    /// A resource of the link's type that fulfils the link's filter refers to it by the parameter.
    Has(Arc<Param>, Link),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    /// A condition that needs other resources first. INVARIANT: replaced by plain filters before the index is read.
    Lookup(Lookup),
}

/// The other end of a reference: its type, and the condition on it.
#[derive(Clone, Debug)]
pub struct Link {
    pub def: &'static TypeDef,
    pub filter: Box<Filter>,
}

/// A condition that needs a look-up in other resources before the search runs.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The token is in the value set with that URL or `ValueSet/id`.
    InValueSet(Arc<Param>, String),
    /// The token is `system|code` itself or is subsumed by it (`Below`) or subsumes it (`Above`).
    Hierarchy(Arc<Param>, Way, String),
    /// The reference is to this resource, to a part of it (`Below`), or to what it is a part of (`Above`).
    Parts(Arc<Param>, Way, String),
    /// The resource is an entry of the List with that id.
    List(ResourceId),
}

/// The direction in a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Above,
    Below,
}

impl Filter {
    /// A filter that no resource fulfils.
    #[must_use]
    pub fn never() -> Self {
        Self::Any(Vec::new())
    }

    /// The negation of the filter if `negated`, else the filter itself.
    #[must_use]
    pub fn negated_if(self, negated: bool) -> Self {
        if negated { Self::Not(Box::new(self)) } else { self }
    }

    /// The conjunction of the filters; a single filter is returned unwrapped.
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

    /// Whether the filter, in any of its links too, tests content that masking may remove from an answer: full text, identifiers
    /// of references, or a parameter that `is_masked` names.
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

    /// The disjunction of the filters; a single filter is returned unwrapped.
    #[must_use]
    pub fn any(mut filters: Vec<Self>) -> Self {
        if filters.len() == 1
            && let Some(only) = filters.pop()
        {
            return only;
        }
        Self::Any(filters)
    }

    /// The resource has one of these tokens (system, code); without a system, the code matches in any system.
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

    /// The resource refers by the parameter to that resource.
    #[must_use]
    pub fn refers(param: &Param, type_name: &str, id: &str) -> Self {
        Self::Entries(to_resource(type_name, id).matchers(param.id, param.kind))
    }

    /// The resource has a reference by the parameter that carries this identifier (`Reference.identifier`).
    #[must_use]
    pub fn identifies(param: &Param, system: &str, value: &str) -> Self {
        Self::Entries(to_identifier(system, value).matchers(param.id, param.kind))
    }

    /// The resource has no value of the parameter.
    #[must_use]
    pub fn missing(param: &Param) -> Self {
        Self::Not(Box::new(Self::present(param.id)))
    }

    /// The resource has a canonical reference by the parameter to that URL, in any version.
    #[must_use]
    pub fn refers_to_url(param: &Param, url: &str) -> Self {
        Self::Entries(to_url(url).matchers(param.id, param.kind))
    }

    /// The resource has a canonical reference by the parameter to that URL, in this version or without a version.
    #[must_use]
    pub fn refers_to_version(param: &Param, url: &str, version: &str) -> Self {
        let asks = to_version(url, version).into_iter();
        Self::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    }

    /// The resource refers by the parameter to a resource that it contains.
    #[must_use]
    pub fn refers_within(param: &Param) -> Self {
        Self::Entries(to_contained().matchers(param.id, param.kind))
    }

    /// The resource has exactly this URI.
    #[must_use]
    pub fn uri(param: &Param, url: &str) -> Self {
        Self::Entries(Ask::key(Encoded::new(Form::Value).text(cut(url))).matchers(param.id, param.kind))
    }

    /// The resource has a date that overlaps the interval.
    #[must_use]
    pub fn overlapping(param: &Param, asked: Span) -> Self {
        let asks = overlapping(asked).into_iter();
        Self::Entries(asks.flat_map(|ask| ask.matchers(param.id, param.kind)).collect())
    }

    /// The resource has any value of the parameter.
    #[must_use]
    pub fn present(param: u32) -> Self {
        Self::Entries(vec![Matcher::any(param)])
    }

    /// The resource has this word, or one that begins with it (`is_beginning`).
    pub(super) fn word(param: &Param, text: &str, is_beginning: bool) -> Self {
        let ask = if is_beginning { Ask::text_from(Form::Value, text) } else { Ask::key(word(text)) };
        Self::Entries(ask.matchers(param.id, param.kind))
    }
}

/// How a filter compares a text with an indexed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextMatch {
    Whole,
    Begins,
    Holds,
    Ends,
}

/// Compares the texts of a form with `text`, which is folded if the indexed ones are. Entries hold only the beginning of a long
/// text; the rest is compared in the resource itself.
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
    // The marks of cut texts are matched through the index, so that the plan sees at once when there are none.
    let is_cut = entries(Ask::all(Form::Cut).with(Check::Holds(Vec::new())));
    Filter::Any(vec![entries(Ask::all(form).with(held)), Filter::All(vec![is_cut, whole(check)])])
}

/// A value with more different words than this is not also searched word by word.
const WORDS_MAX: usize = 32;

/// Matches strings that begin with `text`. For names and addresses, each word of `text` may also begin any part, or any word of
/// a name.
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
    // A text that folds to nothing, such as a lone apostrophe, would be the beginning of every text.
    if text.trim().is_empty() {
        return Filter::never();
    }
    let words: BTreeSet<&str> = text.split(' ').collect();
    if text.contains(' ') && words.len() <= WORDS_MAX && param.is_of_parts {
        // CHOICE: the standard only says that any part of a name or address may match, so its words match in any order; other
        // texts, such as titles, must begin with the whole value.
        let words = Filter::All(words.into_iter().map(begins).collect());
        Filter::Any(vec![begins(text), words])
    } else {
        begins(text)
    }
}

/// The filter for a parameter with a modifier and the alternatives of its value.
///
/// # Errors
/// A message that says what is wrong with the modifier or a value.
pub(super) fn term(
    param: &Arc<Param>,
    modifier: Option<&str>,
    values: &[String],
    asking: ValueContext<'_>,
) -> Result<Filter, InvalidValue> {
    let is_target = |name: &str| param.kind == ParamType::Reference && r4().resource(name).is_some();
    if let Some(name) = modifier
        && !is_target(name)
        && !modifiers(param.kind).any(|known| known == name)
    {
        return Err(format!("the modifier `:{name}` is not served for `{}`", param.code).into());
    }
    if modifier == Some("missing") {
        return match values {
            [value] if value == "true" => Ok(Filter::Not(Box::new(Filter::present(param.id)))),
            [value] if value == "false" => Ok(Filter::present(param.id)),
            _ => Err("`:missing` takes true or false".into()),
        };
    }
    if param.kind == ParamType::Uri
        && matches!(modifier, Some("above" | "below"))
        && let Some(urn) = values.iter().find(|value| value.to_ascii_lowercase().starts_with("urn:"))
    {
        // R4 search.html#modifiers: `:above` and `:below` are for URLs.
        return Err(format!("`{urn}` is a URN; `:above` and `:below` are for URLs").into());
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

/// The disjunction of the filters, with all matchers merged into one filter so that the index is read once.
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

/// The filter for a modifier that needs other resources or hierarchies; `None` for all other modifiers.
fn looked_up(
    param: &Arc<Param>,
    modifier: Option<&str>,
    values: &[String],
) -> Result<Option<Filter>, InvalidValue> {
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
            // R4 search.html#versions: a canonical URL without a version is above its versions.
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
                    return Err(InvalidValue::from(message.replace("{}", &param.code)));
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
    let filters: Result<Vec<Filter>, InvalidValue> = values.iter().map(lookup).collect();
    Ok(Some(Filter::any(filters?).negated_if(modifier == Some("not-in"))))
}

/// The target types of a reference whose resources form part-of hierarchies, each with the code of the parameter for the parent.
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

/// The resources of a type that are in a compartment (R4 compartmentdefinition.html); `None` if the type is not part of it.
#[must_use]
pub fn compartment(params: &SearchParams, of: &TypeDef, id: &ResourceId, def: &TypeDef) -> Option<Filter> {
    let codes = r4().compartment_params(&of.name, &def.name);
    let mut members: Vec<Filter> = codes
        .iter()
        .filter_map(|code| params.find(def, code))
        .map(|param| Filter::refers(param, &of.name, id.as_str()))
        .collect();
    if def.id == of.id {
        // A compartment includes the resource that it is named after.
        members.push(Filter::Id(vec![id.clone()]));
    }
    (!members.is_empty()).then(|| Filter::any(members))
}
