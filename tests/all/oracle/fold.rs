//! Makes texts comparable: folds them, splits them into words, and computes their sound.
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Signs that are read aloud; other punctuation separates words, except apostrophes, which are dropped.
const READ_ALOUD: &str = "&+%#@$<=>~^|";
const APOSTROPHES: &str = "'`\u{b4}\u{2018}\u{2019}\u{2b9}\u{2bb}\u{2bc}\u{2032}";

/// The text in lower case, without accents and punctuation, with single spaces, trimmed. A text of punctuation alone keeps it.
pub fn fold(text: &str) -> String {
    let without: String = text.chars().filter(|letter| !APOSTROPHES.contains(*letter)).collect();
    let parts = |is_gap: fn(char) -> bool| {
        plain(&without).split(is_gap).filter(|word| !word.is_empty()).collect::<Vec<&str>>().join(" ")
    };
    let folded = parts(is_gap);
    if folded.is_empty() { parts(char::is_whitespace) } else { folded }
}

fn is_gap(letter: char) -> bool {
    let code = u32::from(letter);
    letter.is_whitespace()
        || (letter.is_ascii_punctuation() && !READ_ALOUD.contains(letter))
        || "\u{a1}\u{a7}\u{ab}\u{b6}\u{b7}\u{bb}\u{bf}".contains(letter)
        || [0x2000..0x2070, 0x2e00..0x2e80, 0x3000..0x3040].iter().any(|block| block.contains(&code))
}

/// Lower case without accents, and special letters in their ASCII spelling.
fn plain(text: &str) -> String {
    const WRITTEN: [(&str, &str); 12] = [
        ("ß", "ss"),
        ("æ", "ae"),
        ("œ", "oe"),
        ("ø", "o"),
        ("ł", "l"),
        ("đ", "d"),
        ("ð", "d"),
        ("þ", "th"),
        ("ħ", "h"),
        ("ŧ", "t"),
        ("ı", "i"),
        ("ς", "σ"),
    ];
    let lower = text.chars().flat_map(char::to_lowercase);
    let plain: String = lower.nfkd().filter(|letter| !is_combining_mark(*letter)).collect();
    WRITTEN.iter().fold(plain, |text, (letter, as_written)| text.replace(letter, as_written))
}

/// The words of a text, folded.
pub fn words(text: &str) -> Vec<String> {
    plain(text)
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The American Soundex code of a folded word; `None` without a letter of the English alphabet.
pub fn soundex(word: &str) -> Option<String> {
    let letters: Vec<char> = word.chars().filter(char::is_ascii_lowercase).collect();
    let first = *letters.first()?;
    let mut code = String::from(first);
    let mut last = digit(first);
    for letter in &letters[1..] {
        // `h` and `w` do not separate equal sounds, unlike vowels.
        if matches!(letter, 'h' | 'w') {
            continue;
        }
        let sound = digit(*letter);
        if sound != last {
            code.extend(sound);
        }
        last = sound;
    }
    Some(code.chars().chain("000".chars()).take(4).collect())
}

fn digit(letter: char) -> Option<char> {
    match letter {
        'b' | 'f' | 'p' | 'v' => Some('1'),
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => Some('2'),
        'd' | 't' => Some('3'),
        'l' => Some('4'),
        'm' | 'n' => Some('5'),
        'r' => Some('6'),
        _ => None,
    }
}
