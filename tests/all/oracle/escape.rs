//! The separators of search values, and their escaping by a backslash (R4 search.html#escaping).

const SPECIAL: [char; 4] = [',', '$', '|', '\\'];

/// Splits at every unescaped separator; the parts keep their escapes.
pub fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == separator {
            parts.push(String::new());
            continue;
        }
        let part = parts.last_mut().unwrap();
        part.push(letter);
        if letter == '\\' {
            part.extend(letters.next());
        }
    }
    parts
}

/// The unescaped text; a backslash before any other character stands for itself.
pub fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        match next {
            Some(next) if letter == '\\' && SPECIAL.contains(&next) => {
                plain.push(next);
                letters.next();
            }
            _ => plain.push(letter),
        }
    }
    plain
}

/// The text with a backslash before every special character.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if SPECIAL.contains(&letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Whether the text can be used in a value unescaped.
pub fn is_plain(text: &str) -> bool {
    !text.contains(SPECIAL)
}
