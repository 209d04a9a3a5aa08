//! Walks through the pages in a real browser: by mouse, by keys alone, on a wide and a narrow window, in light and dark.
use std::path::Path;

use serde_json::Value;

use crate::clients::{installed, without};
use crate::process::Process;
use crate::webdriver::{Driver, Window};

/// The keys Tab and Enter, as WebDriver writes them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// The pages that the walk of each person passes.
const WALKS: [(&str, &[&str]); 6] = [
    (
        "doctor",
        &[
            "/",
            "/find",
            "/p/p1",
            "/p/p1/timeline",
            "/p/p1/results",
            "/p/p1/medications",
            "/p/p1/problems",
            "/p/p1/documents",
            "/p/p1/insurance",
            "/p/p1/everything",
            "/p/none",
            "/fhir",
            "/fhir/Patient/p1",
            "/fhir/Patient/p1?_view=xml",
            "/fhir/Observation?patient=p1",
        ],
    ),
    ("emergency", &["/", "/emergency", "/p/lind"]),
    (
        "technician",
        &[
            "/p/lind",
            "/p/lind/results",
            "/p/lind/results/http%3A%2F%2Floinc.org%7C4548-4",
            "/p/lind/consents",
            "/p/lind/consents/new",
        ],
    ),
    ("officer", &["/find", "/p/p1", "/p/p1/seen", "/p/lind/consents", "/account"]),
    ("patient", &["/", "/me", "/p/p1", "/p/p1/seen", "/p/p1/consents", "/p/p1/consents/new"]),
    ("representative", &["/me", "/p/child1", "/p/p1"]),
];

/// Becomes a person of the demonstration with the button.
fn become_one(window: &Window<'_>, origin: &str, name: &str) {
    window.open(&format!("{origin}/"));
    if window.run("return document.querySelector('.who') !== null") == Value::Bool(true) {
        window.click("form[action='/sign-out'] button");
        window.text(".people");
    }
    window.click(&format!("form[action='/as/{name}'] button"));
    window.text(".who");
}

/// What is wrong with the page that the window shows, for people with disabilities and on this width.
fn complaints(window: &Window<'_>, axe: &str) -> Vec<String> {
    window.run(axe);
    let found = window.run("axe.run().then(result => callback(result.violations))");
    let mut found: Vec<String> = found.as_array().unwrap().iter().map(Value::to_string).collect();
    let is_wide = window.run("return document.documentElement.scrollWidth > window.innerWidth");
    found.extend((is_wide == Value::Bool(true)).then(|| "it scrolls sideways".to_owned()));
    let stored = window.run("return localStorage.length + sessionStorage.length");
    found.extend((stored != 0).then(|| "it stores something in the browser".to_owned()));
    found
}

#[test]
fn every_page_is_for_everyone() {
    const NAME: &str = "every_page_is_for_everyone";
    let Some(axe) = installed("axe.min.js", NAME) else { return };
    let axe = std::fs::read_to_string(axe).unwrap();
    let driver = match Driver::start() {
        Ok(driver) => driver,
        Err(why) => return without(NAME, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let demo = Process::demo(&folder.path().join("demo.ready"), &["--patients", "4"]);
    let origin = demo.base.strip_suffix("/fhir").unwrap();
    let mut wrong = Vec::new();
    for (look, arguments) in [("light", &[][..]), ("dark", &["--blink-settings=preferredColorScheme=0"][..])]
    {
        let window = driver.browser_with(arguments);
        let is_dark = window.run("return matchMedia('(prefers-color-scheme: dark)').matches");
        assert_eq!(is_dark, look == "dark");
        for (person, pages) in WALKS {
            become_one(&window, origin, person);
            for page in pages {
                window.open(&format!("{origin}{page}"));
                for width in [1_440, 390] {
                    window.resize(width, 900);
                    let found = complaints(&window, &axe);
                    wrong.extend(
                        found.into_iter().map(|what| format!("{person} {page} {look} {width}: {what}")),
                    );
                    let name = format!("{person}{}-{look}-{width}", page.replace(['/', '?', '='], "-"));
                    window.picture(&name, "main");
                }
            }
        }
        let said = window.complaints();
        assert!(!said.contains("Content Security Policy"), "{said}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_chart_is_reached_by_keys_alone() {
    const NAME: &str = "a_chart_is_reached_by_keys_alone";
    let driver = match Driver::start() {
        Ok(driver) => driver,
        Err(why) => return without(NAME, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let demo = Process::demo(&folder.path().join("demo.ready"), &["--patients", "4"]);
    let window = driver.browser();
    window.open(&format!("{}/", demo.base.strip_suffix("/fhir").unwrap()));
    // The first stop leads past the bar and the menu; the first button is the doctor's.
    window.press(&[TAB]);
    assert_eq!(window.run("return document.activeElement.textContent"), "Go to the page");
    window.press(&[ENTER, TAB, ENTER]);
    assert_eq!(window.text(".who"), "A doctor");
    let focus = |wanted: &str| {
        for _ in 0..20 {
            window.press(&[TAB]);
            if window.run("return document.activeElement.textContent") == wanted {
                return;
            }
        }
        panic!("no way by keys to {wanted}");
    };
    focus("Find");
    window.press(&[ENTER]);
    window.text("#q");
    window.press(&["k", "i", "m", ENTER]);
    let name = window.text("td a");
    focus(&name);
    window.press(&[ENTER]);
    window.text(".banner");
    focus("Results");
    window.press(&[ENTER]);
    assert_eq!(window.text(".tabs [aria-current]"), "Results");
    assert!(
        Path::new(&window.run("return location.pathname").as_str().unwrap().to_owned()).ends_with("results")
    );
}
