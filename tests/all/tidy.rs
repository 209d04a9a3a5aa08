//! Checks the structure of the source: no import against the order of the layers, a first line that says what a file is, and
//! files of readable length.
use crate::sources::{is_test_file, product, sources};

/// The layers from the lowest to the highest; each may use itself and those before it.
const FLOORS: [&str; 12] = [
    "definitions",
    "model",
    "fhirpath",
    "validate",
    "search",
    "store",
    "auth",
    "consent",
    "audit",
    "operations",
    "http",
    "cli",
];
/// A folder of this name, if there is one, stands beside `http`: it may use every layer up to `operations`, and only `cli` may
/// use it.
const SECOND_FACE: &str = "ui";
const FILE_LINES_MAX: usize = 600;
/// Crates and modules with effects outside the process, and the folders that may use them.
const KEPT_APART: [(&str, &[&str]); 7] = [
    ("axum::", &["src/http", "src/ui"]),
    ("tokio::", &["src/http", "src/ui", "src/cli"]),
    ("use sled", &["src/store/sled"]),
    ("postgres::", &["src/store/postgres", "src/store/mod.rs"]),
    ("std::fs", &["src/store", "src/cli"]),
    // RSA keys take a source of randomness as a parameter.
    ("getrandom", &["src/store/random.rs", "src/auth/oauth/identity.rs"]),
    // The time of day comes from the store's clock; figures state when the process began.
    ("SystemTime::now", &["src/store/clock.rs", "src/http/observe.rs", "src/cli"]),
];

fn floor_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(floor, _)| floor)
}

#[test]
fn no_floor_uses_one_above_it() {
    let rank = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let all = sources();
    for (path, text) in all.iter().filter(|(path, _)| !is_test_file(path, &all)) {
        let Some(own) = floor_of(path) else { continue };
        assert!(rank(own).is_some() || own == SECOND_FACE, "{path}: `{own}` is not a floor");
        for part in product(text).split("crate::").skip(1) {
            let used: String =
                part.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let allowed = match (rank(own), rank(&used)) {
                (Some(own), Some(used)) => used <= own,
                (None, Some(used)) => used <= rank("operations").unwrap(),
                (Some(_) | None, None) => own == used || (own == "cli" && used == SECOND_FACE),
            };
            assert!(allowed, "{path} uses `{used}`, which stands above `{own}`");
        }
    }
}

#[test]
fn crates_of_the_outside_stay_where_they_belong() {
    let all = sources();
    for (path, text) in all.iter().filter(|(path, _)| !is_test_file(path, &all)) {
        for (name, homes) in KEPT_APART {
            let at_home = !path.starts_with("src/") || homes.iter().any(|home| path.starts_with(home));
            assert!(at_home || !product(text).contains(name), "{path} names `{name}`");
        }
    }
}

/// Files whose answers may become public without a consent decision: they contain only tables, numbers and signed tokens.
const HOLD_NOBODY: [&str; 4] = [
    "src/operations/audit/disclose.rs",
    "src/operations/break_glass.rs",
    "src/operations/operation_definitions.rs",
    "src/operations/statement_cache.rs",
];

#[test]
fn what_becomes_public_is_of_few_types() {
    let mut homes: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| path.starts_with("src/") && text.contains("impl HoldsNobody for "))
        .map(|(path, _)| path)
        .collect();
    homes.sort();
    assert_eq!(homes, HOLD_NOBODY);
}

/// Whether a text has a `Result` whose error is a `String`.
fn has_text_as_error(text: &str) -> bool {
    text.match_indices("Result<").any(|(place, begin)| {
        let mut depth = 1_usize;
        let inner = &text[place + begin.len()..];
        let end = inner.char_indices().find(|(at, letter)| {
            match letter {
                '<' => depth += 1,
                '>' if !inner[..*at].ends_with('-') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let arguments = end.map_or(inner, |(end, _)| &inner[..end]);
        arguments.trim_end().trim_end_matches(',').ends_with(", String")
    })
}

#[test]
fn errors_are_types_below_the_command_line() {
    assert!(
        has_text_as_error("Result<Vec<u8>, String>") && !has_text_as_error("Result<(String, String), E>")
    );
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/")) {
        assert!(
            path.starts_with("src/cli/") || !has_text_as_error(text),
            "{path}: a text is returned as error"
        );
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path}: the first line says what the file is");
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{path}: {lines} lines are two ideas");
    }
}

/// The functions of a text: name and body, delimited by counting braces.
fn functions(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (place, _) in text.match_indices("fn ") {
        let rest = &text[place + 3..];
        let name = &rest[..rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(0)];
        let Some(begin) = rest.find('{').filter(|begin| !name.is_empty() && !rest[..*begin].contains(';'))
        else {
            continue;
        };
        let mut depth = 0_usize;
        let end = rest[begin..].find(|letter| {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        found.push((name, &rest[begin..end.map_or(rest.len(), |end| begin + end)]));
    }
    found
}

/// Whether a statement of the body takes a minimum or maximum of the function's own result.
fn recurses_under_max(name: &str, body: &str) -> bool {
    let calls = [format!("{name}("), format!("{name})")];
    body.split([';', '{', '}']).flat_map(|statement| statement.split("=>")).any(|part| {
        let is_own = |place: usize| {
            let before = &part[..place];
            before.ends_with("Self::")
                || before.ends_with("self.")
                || !before.ends_with(|letter: char| letter.is_alphanumeric() || "_.:".contains(letter))
        };
        let calls_itself = calls.iter().any(|call| part.match_indices(call).any(|(place, _)| is_own(place)));
        calls_itself && [".max", ".min", "max(", "min("].iter().any(|word| part.contains(word))
    })
}

/// See docs/decisions/0011-recursion-under-max.md.
#[test]
fn no_function_calls_itself_under_min_or_max() {
    for (path, text) in sources() {
        for (name, body) in functions(&text) {
            assert!(
                !recurses_under_max(name, body),
                "{path}: `{name}` takes a minimum or maximum of what it gives itself"
            );
        }
    }
    // A form that was miscompiled, another one, and a harmless one.
    let known = "Criterion::Partly(known) => matches(known, effect).max(Answer::Maybe),";
    assert!(recurses_under_max("matches", known));
    assert!(recurses_under_max("depth_of", "1 + items.iter().map(depth_of).max().unwrap_or(0)"));
    assert!(!recurses_under_max("max", "self.all.iter().max().map(|all| all.max(other))"));
}
