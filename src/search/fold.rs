//! Text as string search compares it: without case, accents and superfluous white space (R4 search.html#string).
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The folded form of a text.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if word.is_ascii() {
            out.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            out.extend(word.nfkd().filter(|letter| !is_combining_mark(*letter)).flat_map(char::to_lowercase));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn case_accents_and_space_do_not_count() {
        assert_eq!(fold("  Müller\t van  DÉ "), "muller van de");
        assert_eq!(fold("ﬁ"), "fi");
    }
}
