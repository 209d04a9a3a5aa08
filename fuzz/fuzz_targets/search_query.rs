//! Parses the query string of a search on a type.
#![no_main]
use chartward::definitions::r4;
use chartward::model::decode_pairs;
use chartward::search::{ValueContext, Reading, parse_query, search_params};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let names = ["Patient", "Observation", "Condition", "Encounter", "MedicationRequest", "Location", "ValueSet"];
    let def = r4().resource(names[usize::from(*first) % names.len()]).expect("a type of R4");
    let asking = ValueContext { now: 1_780_000_000_000, base_url: "http://127.0.0.1/fhir" };
    for lenient in [false, true] {
        let reading = Reading { params: search_params(), asking, lenient };
        let _ = parse_query(&reading, def, &decode_pairs(text));
    }
});
