//! XML into a tree: what was read is written as JSON that parses.
#![no_main]
use chartward::model::{from_xml, minify, parse, to_xml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tree) = from_xml(bytes) else { return };
    let mut text = String::new();
    minify(tree.root(), &mut text);
    parse(text.into_bytes()).expect("what was written is read");
    if let Ok(xml) = to_xml(tree.root()) {
        from_xml(xml.as_bytes()).expect("the XML that was written is read");
    }
});
