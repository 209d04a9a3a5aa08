//! JSON into a tree and back: what was parsed is written so that it parses again, also through XML if it is a resource.
#![no_main]
use chartward::model::{Amendments, from_xml, minify, parse, prettify, stored_form, to_xml};
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
    let form = stored_form(valid.root(), "f1", &Amendments::default());
    let stored = parse(form.tree.text().as_bytes().to_vec()).expect("the stored form is read");
    let nodes = form.tree.root().subtree().zip(stored.root().subtree());
    for (written, read) in nodes {
        assert_eq!((written.kind(), written.key(), written.raw()), (read.kind(), read.key(), read.raw()));
    }
    if let Ok(xml) = to_xml(stored.root()) {
        from_xml(xml.as_bytes()).expect("the XML that was written is read");
    }
});
