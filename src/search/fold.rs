//! Folds text for string search: without case, accents, punctuation and superfluous white space (R4 search.html#string).
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The folded form of a text: its words joined by single spaces. Punctuation separates words, except for apostrophes, which are
/// dropped. A text of punctuation alone keeps it.
#[must_use]
pub fn fold(text: &str) -> String {
    let folded = words_of(text, |letter| !letter.is_whitespace() && !is_punctuation(letter));
    if folded.is_empty() { words_of(text, |letter| !letter.is_whitespace()) } else { folded }
}

fn words_of(text: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_between = false;
    for letter in text.chars() {
        if is_part(letter) {
            if is_between && !out.is_empty() {
                out.push(' ');
            }
            is_between = false;
            fold_letter(letter, &mut out);
        } else if !is_apostrophe(letter) && !is_combining_mark(letter) {
            is_between = true;
        }
    }
    out
}

/// The typewriter apostrophe, the typographic one, and the characters that people type instead.
fn is_apostrophe(letter: char) -> bool {
    matches!(
        letter,
        '\'' | '\u{2018}' | '\u{2019}' | '`' | '\u{b4}' | '\u{2bc}' | '\u{2bb}' | '\u{2b9}' | '\u{2032}'
    )
}

/// Punctuation of Latin, Greek and East Asian texts. Signs that are read aloud, such as `&`, `+` and `%`, count as words.
fn is_punctuation(letter: char) -> bool {
    const SIGNS: [char; 12] = ['&', '+', '%', '#', '@', '$', '<', '=', '>', '~', '^', '|'];
    if !letter.is_ascii() && letter.nfkd().all(|part| part.is_ascii_punctuation()) {
        return letter.nfkd().all(is_punctuation);
    }
    is_apostrophe(letter)
        || is_combining_mark(letter)
        || (letter.is_ascii_punctuation() && !SIGNS.contains(&letter))
        || matches!(letter, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}')
        || matches!(letter, '\u{2000}'..='\u{206f}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{303f}')
}

/// Appends a letter without its case and accents.
pub(super) fn fold_letter(letter: char, out: &mut String) {
    if letter.is_ascii() {
        return out.push(letter.to_ascii_lowercase());
    }
    if is_apostrophe(letter) {
        return;
    }
    for letter in letter.nfkd().flat_map(char::to_lowercase).filter(|letter| !is_combining_mark(*letter)) {
        match plain(letter) {
            Some(text) => out.push_str(text),
            None => out.push(letter),
        }
    }
}

/// ASCII spellings of letters that Unicode normalization does not decompose.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        // The final sigma is folded to the sigma used within words.
        'ς' => "σ",
        _ => return None,
    })
}

/// The Soundex code of a folded word: its first letter and three digits. `None` for a word without a letter from `a` to `z`.
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
        // `h` and `w` do not separate letters of the same sound, so these count as one.
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

    #[test]
    fn punctuation_does_not_count() {
        for (one, other) in [
            ("O'Brien", "o\u{2019}brien"),
            ("O\u{b4}Brien", "OBRIEN"),
            ("St. John", "st john"),
            ("St.John", "St  John"),
            ("Smith-Jones", "smith jones"),
            ("(Anna)", "anna"),
            ("Straße", "STRASSE"),
            ("Łukasz Bjørn Ægir", "lukasz bjorn aegir"),
            ("İstanbul", "istanbul"),
            ("Οδυσσεύς", "ΟΔΥΣΣΕΥΣ"),
        ] {
            assert_eq!(fold(one), fold(other), "{one}");
        }
        assert_eq!(fold(" -- /"), "-- /");
        assert_eq!(fold("Smith & Sons, 5 %"), "smith & sons 5 %");
        assert_eq!(fold("  "), "");
    }
}
