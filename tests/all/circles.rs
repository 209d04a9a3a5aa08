//! Checks that no files of `src` depend on each other in a cycle, so that a reader who starts at the bottom never needs a file
//! from further up.
use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{is_test_file, product, sources};

/// A module path: `["store", "kv"]`.
type Module = Vec<String>;

/// The files of `src` and the names that they export.
struct House {
    /// The file of each module.
    files: BTreeMap<Module, String>,
    /// What the modules re-export with `pub use`, by module and name.
    named: BTreeMap<(Module, String), Module>,
}

impl House {
    /// Resolves a path as written in a module; `None` for paths into other crates.
    fn absolute(&self, own: &[String], path: &[String]) -> Option<Module> {
        let first = path.first()?;
        let (base, rest): (&[String], &[String]) = match first.as_str() {
            "crate" => (&[], &path[1..]),
            "self" => (own, &path[1..]),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                (own.get(..own.len().checked_sub(ups)?)?, &path[ups..])
            }
            _ => {
                let child: Module = own.iter().chain([first]).cloned().collect();
                self.files.contains_key(&child).then_some((own, path))?
            }
        };
        Some(base.iter().chain(rest).cloned().collect())
    }

    /// The file that defines what an absolute path names.
    fn file_of(&self, path: &[String]) -> Option<&String> {
        let mut path = path.to_vec();
        // Chains of re-exports are short.
        for _ in 0..8 {
            let len = (0..=path.len()).rev().find(|len| self.files.contains_key(&path[..*len]))?;
            let (module, rest) = path.split_at(len);
            let name = rest.first().map(|name| (module.to_vec(), name.clone()));
            match name.and_then(|name| self.named.get(&name)) {
                Some(leads_to) => path = leads_to.iter().chain(&rest[1..]).cloned().collect(),
                None => return self.files.get(module),
            }
        }
        None
    }
}

fn module_of(path: &str) -> Module {
    let mut parts: Module = path.trim_end_matches(".rs").split('/').skip(1).map(str::to_owned).collect();
    if parts.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Splits `a::{b, c::{d}}` into `a::b` and `a::c::d`.
fn flattened(tree: &str, out: &mut Vec<String>) {
    let Some((before, inner)) = tree.split_once('{') else {
        out.push(tree.trim().to_owned());
        return;
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut begin) = (0_usize, 0);
    let parts = inner.char_indices().filter_map(|(at, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &inner[begin..at];
                begin = at + 1;
                return Some(part);
            }
            _ => {}
        }
        None
    });
    let mut parts: Vec<&str> = parts.collect();
    parts.push(&inner[inner.len().min(parts.iter().map(|part| part.len() + 1).sum::<usize>())..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        flattened(&format!("{}{part}", before.trim()), out);
    }
}

/// The `use` statements of a text: whether each is public, and each path with the name that it binds.
fn uses(text: &str) -> Vec<(bool, Module, String)> {
    let mut found = Vec::new();
    for statement in text.split(';') {
        let Some(at) = statement.rfind("use ").filter(|at| {
            let before = statement[..*at].trim_end_matches(|letter: char| letter != '\n').len();
            let line = statement[before..*at].trim();
            line.is_empty() || (line.starts_with("pub") && !line.contains(' '))
        }) else {
            continue;
        };
        let line = statement[..at].rsplit('\n').next().unwrap_or_default();
        let mut paths = Vec::new();
        flattened(&statement[at + 4..].split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
        for path in paths {
            let (path, alias) = path.split_once(" as ").map_or((path.as_str(), None), |(a, b)| (a, Some(b)));
            let mut parts: Module = path.split("::").map(|part| part.trim().to_owned()).collect();
            if parts.last().is_some_and(|last| last == "self") {
                parts.pop();
            }
            let name = alias.map_or_else(|| parts.last().cloned().unwrap_or_default(), str::to_owned);
            found.push((line.trim_start().starts_with("pub"), parts, name));
        }
    }
    found
}

/// All paths of at least two segments in a text.
fn paths(text: &str) -> BTreeSet<Module> {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    text.split(|letter: char| !word(letter))
        .map(|path| path.trim_matches(':'))
        .filter(|path| path.contains("::") && path.starts_with(|letter: char| letter.is_lowercase()))
        .map(|path| path.split("::").map(str::to_owned).collect())
        .collect()
}

/// For each file, the files that it uses. Re-exports by a module's file of its own submodules do not count.
fn used() -> BTreeMap<String, BTreeSet<String>> {
    let all = sources();
    let without_comments = |text: &str| {
        text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect::<String>()
    };
    let texts: Vec<(String, String)> = all
        .iter()
        .filter(|(path, _)| path.starts_with("src/") && !is_test_file(path, &all))
        .map(|(path, text)| (path.clone(), without_comments(&product(text))))
        .collect();
    let files = texts.iter().map(|(path, _)| (module_of(path), path.clone())).collect();
    let mut house = House { files, named: BTreeMap::new() };
    for (path, text) in &texts {
        let own = module_of(path);
        for (_, parts, name) in uses(text).into_iter().filter(|(is_public, ..)| *is_public) {
            if let Some(target) = house.absolute(&own, &parts) {
                house.named.insert((own.clone(), name), target);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (path, text) in &texts {
        let own = module_of(path);
        let named = uses(text);
        let is_index = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
        let statements: BTreeSet<&Module> = named.iter().map(|(_, parts, _)| parts).collect();
        let of_statements = named
            .iter()
            .filter(|(is_public, ..)| !(*is_public && is_index))
            .map(|(_, parts, _)| parts.clone());
        let in_text = paths(text).into_iter().filter(|path| {
            // Paths of `use` statements are already covered.
            !statements.iter().any(|statement| statement.starts_with(path))
        });
        let targets = of_statements
            .chain(in_text)
            .filter_map(|parts| house.file_of(&house.absolute(&own, &parts)?).cloned())
            .filter(|target| target != path);
        found.insert(path.clone(), targets.collect());
    }
    found
}

/// The files that a file uses directly or indirectly.
fn reached<'u>(from: &str, used: &'u BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'u str> {
    let mut reached = BTreeSet::new();
    let mut due: Vec<&str> = used[from].iter().map(String::as_str).collect();
    while let Some(path) = due.pop() {
        if reached.insert(path) {
            due.extend(used[path].iter().map(String::as_str));
        }
    }
    reached
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let used = used();
    let uses: usize = used.values().map(BTreeSet::len).sum();
    // If the uses were not found, the test would prove nothing.
    assert!(used.len() > 300 && uses > 1_500, "{} files with {uses} uses", used.len());
    let in_circles: Vec<&String> =
        used.keys().filter(|path| reached(path, &used).contains(path.as_str())).collect();
    assert!(in_circles.is_empty(), "these use each other in circles: {in_circles:#?}");
}

#[test]
fn statements_and_paths_are_read() {
    let text = "pub use a::b;\nuse super::{c, d::{e as f, self}};\n    let x = crate::g::h(1);\n";
    let told: Vec<String> = uses(text)
        .into_iter()
        .map(|(public, path, name)| format!("{public} {} {name}", path.join("::")))
        .collect();
    assert_eq!(told, ["true a::b b", "false super::c c", "false super::d::e f", "false super::d d"]);
    assert!(paths(text).contains(["crate", "g", "h"].map(str::to_owned).as_slice()));
}
