//! JSON into a tree and back: what was parsed is written so that it parses again, also through XML if it is a resource.
#![no_main]
use chartward::model::{from_xml, minify, normalize, parse, prettify, to_xml};
use chartward::validate::{Incoming, Rules, Valid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tree) = parse(bytes.to_vec()) else { return };
    let mut text = String::new();
    minify(tree.root(), &mut text);
    let again = parse(text.clone().into_bytes()).expect("what was written is read");
    let mut twice = String::new();
    minify(again.root(), &mut twice);
    assert_eq!(text, twice);
    let mut pretty = String::new();
    prettify(tree.root(), 0, &mut pretty);
    parse(pretty.into_bytes()).expect("what was written prettily is read");
    let Ok(valid) = Valid::check(Incoming::new(tree), chartward::definitions::r4(), Rules::default()) else { return };
    let normal = normalize(valid.root(), "f1");
    let stored = parse(normal.text.into_bytes()).expect("the normal form is read");
    if let Ok(xml) = to_xml(stored.root()) {
        from_xml(xml.as_bytes()).expect("the XML that was written is read");
    }
});
