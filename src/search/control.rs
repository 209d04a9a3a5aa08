//! The parameters that steer a search rather than filter it (R4 search.html#Summary): one table for the parser, the
//! CapabilityStatement and the documentation.

/// A control parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Count,
    Sort,
    Include,
    RevInclude,
    Summary,
    Elements,
    Total,
    Format,
    Pretty,
    /// Added by the server to the links of pages.
    Cursor,
}

/// Name, control, and what it does.
pub static CONTROLS: [(&str, Control, &str); 11] = [
    ("_count", Control::Count, "how many matches a page holds; 0 for the total alone"),
    ("_sort", Control::Sort, "parameters to sort by, `-` before one for descending"),
    ("_include", Control::Include, "`Type:parameter[:Target]`: what matches refer to"),
    ("_revinclude", Control::RevInclude, "`Type:parameter[:Target]`: what refers to matches"),
    ("_summary", Control::Summary, "true, text, data, count or false"),
    ("_elements", Control::Elements, "the elements to return, separated by commas"),
    ("_total", Control::Total, "none, estimate or accurate"),
    ("_format", Control::Format, "json or xml"),
    ("_pretty", Control::Pretty, "true: JSON with a line for every value"),
    // CHOICE: a widespread client library adds this to every count; it asks for no more than `_total` does by itself.
    ("_totalMethod", Control::Pretty, "accepted; totals are accurate either way"),
    ("_cursor", Control::Cursor, "the place of a page, as links give it"),
];

impl Control {
    /// The control of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        CONTROLS.iter().find(|(known, ..)| *known == name).map(|(_, control, _)| *control)
    }
}
