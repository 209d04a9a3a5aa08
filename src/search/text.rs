//! Splits the text of a search value into alternatives, and handles escapes and prefixes (R4 search.html#escaping, #prefix).

/// The comparison of an ordered value (R4 search.html#prefix).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

/// The prefixes as queries write them.
pub static PREFIXES: [(&str, Prefix); 9] = [
    ("eq", Prefix::Eq),
    ("ne", Prefix::Ne),
    ("gt", Prefix::Gt),
    ("lt", Prefix::Lt),
    ("ge", Prefix::Ge),
    ("le", Prefix::Le),
    ("sa", Prefix::Sa),
    ("eb", Prefix::Eb),
    ("ap", Prefix::Ap),
];

/// Splits the prefix off an ordered value; a value without one means `eq`.
#[must_use]
pub fn prefixed(value: &str) -> (Prefix, &str) {
    let found = PREFIXES.iter().find_map(|(text, prefix)| Some((*prefix, value.strip_prefix(text)?)));
    found.unwrap_or((Prefix::Eq, value))
}

/// Splits at the first separator that is not escaped by a backslash.
#[must_use]
pub fn split_escaped(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if letter == separator && !escaped {
            return text.get(..at).zip(text.get(at + separator.len_utf8()..));
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

/// The parts between separators that are not escaped by a backslash.
#[must_use]
pub fn parts(text: &str, separator: char) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((part, after)) = split_escaped(rest, separator) {
        found.push(part);
        rest = after;
    }
    found.push(rest);
    found
}

/// The alternatives of a value: split at unescaped commas, without empty ones.
#[must_use]
pub fn alternatives(text: &str) -> Vec<String> {
    parts(text, ',').into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Resolves `\,` `\|` `\$` and `\\` (R4 search.html#escaping).
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next @ (',' | '|' | '$' | '\\')) if letter == '\\' => {
                out.push(*next);
                letters.next();
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Prefix, alternatives, prefixed, split_escaped, unescape};

    #[test]
    fn escapes_are_honoured() {
        assert_eq!(alternatives("a,b\\,c,,d"), ["a", "b\\,c", "d"]);
        assert_eq!(unescape("b\\,c\\\\"), "b,c\\");
        assert_eq!(split_escaped("a\\|b|c", '|'), Some(("a\\|b", "c")));
        assert_eq!(prefixed("ge5"), (Prefix::Ge, "5"));
        assert_eq!(prefixed("-5"), (Prefix::Eq, "-5"));
    }
}
