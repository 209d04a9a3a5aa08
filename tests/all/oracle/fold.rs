//! How texts are made comparable: folded, split into words, and brought to their sound.
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Lower case, without accents, white space runs as one space, trimmed.
pub fn fold(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    let plain: String = lower.nfkd().filter(|letter| !is_combining_mark(*letter)).collect();
    plain.split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// The words of a text, folded.
pub fn words(text: &str) -> Vec<String> {
    fold(text)
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
        // These two do not part equal sounds, as vowels do.
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
