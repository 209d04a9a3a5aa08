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

/// The Soundex code of a folded word: its first letter and three digits. `None` for what does not begin with a letter of
/// the Latin alphabet.
#[must_use]
pub fn soundex(word: &str) -> Option<String> {
    let digit = |letter: char| match letter {
        'b' | 'f' | 'p' | 'v' => Some('1'),
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => Some('2'),
        'd' | 't' => Some('3'),
        'l' => Some('4'),
        'm' | 'n' => Some('5'),
        'r' => Some('6'),
        _ => None,
    };
    let mut letters =
        word.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
    let first = letters.next()?;
    let mut code = String::from(first.to_ascii_uppercase());
    let mut last = digit(first);
    for letter in letters {
        let next = digit(letter);
        if next != last {
            code.extend(next);
        }
        // Letters of one sound that only `h` or `w` stands between are one.
        if !matches!(letter, 'h' | 'w') {
            last = next;
        }
        if code.len() == 4 {
            break;
        }
    }
    while code.len() < 4 {
        code.push('0');
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::{fold, soundex};

    #[test]
    fn words_that_sound_alike_have_one_code() {
        let code = |word: &str| soundex(word).unwrap_or_default();
        for (word, expected) in [
            ("robert", "R163"),
            ("rupert", "R163"),
            ("ashcraft", "A261"),
            ("tymczak", "T522"),
            ("lee", "L000"),
        ] {
            assert_eq!(code(word), expected, "{word}");
        }
        assert_eq!(soundex("42"), None);
    }

    #[test]
    fn case_accents_and_space_do_not_count() {
        assert_eq!(fold("  Müller\t van  DÉ "), "muller van de");
        assert_eq!(fold("ﬁ"), "fi");
    }
}
