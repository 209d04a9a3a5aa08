//! URIs (R4 search.html#uri): compared as written, or by their beginning.
use crate::model::Node;
use crate::search::entry::{Encoded, Form, cut, cut_mark};
use crate::search::matcher::Ask;
use crate::search::text::unescape;

pub(super) fn extract(node: Node<'_>, out: &mut Vec<Encoded>) {
    out.push(whole(node.text()));
    out.extend(cut_mark(node.text()));
}

fn whole(text: &str) -> Encoded {
    Encoded::new(Form::Value).text(cut(text))
}

/// `:below` is handled in `filter.rs`, because it may need the resource itself.
pub(super) fn asks(modifier: Option<&str>, value: &str) -> Vec<Ask> {
    let value = unescape(value);
    match modifier {
        Some("above") => above(&value).map(|text| Ask::key(whole(text))).collect(),
        _ => vec![Ask::key(whole(&value))],
    }
}

/// The prefixes of a URL that end before or after a `/`, and the URL itself.
fn above(url: &str) -> impl Iterator<Item = &str> {
    let ends = url.char_indices().filter(|(_, letter)| *letter == '/').flat_map(|(at, _)| [at, at + 1]);
    ends.chain([url.len()]).filter(|end| *end > 0).filter_map(|end| url.get(..end))
}
