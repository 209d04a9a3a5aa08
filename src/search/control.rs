//! The parameters that control a search rather than filter it (R4 search.html#Summary), and the filters that every type has
//! without index entries: one table for the parser, the CapabilityStatement and the documentation.

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
    Contained,
    ContainedType,
    Type,
    Explain,
    /// Controls the format of the answer; read where the answer is written.
    Answer,
    /// Added by the server to the links between pages.
    Cursor,
}

/// Name, control, and its description.
pub static CONTROLS: [(&str, Control, &str); 15] = [
    ("_count", Control::Count, "how many matches a page holds; 0 for the total alone"),
    ("_sort", Control::Sort, "parameters to sort by, `-` before one for descending"),
    (
        "_include",
        Control::Include,
        "`Type:parameter[:Target]`, `Type:*` or `*`: what matches refer to; `:iterate`",
    ),
    (
        "_revinclude",
        Control::RevInclude,
        "`Type:parameter[:Target]`, `Type:*`: what refers to matches; `:iterate`",
    ),
    ("_summary", Control::Summary, "true, text, data, count or false"),
    ("_elements", Control::Elements, "the elements to return, separated by commas"),
    ("_total", Control::Total, "none, estimate or accurate"),
    ("_contained", Control::Contained, "true, both or false: whether contained resources are searched"),
    ("_containedType", Control::ContainedType, "container or contained: what is returned then"),
    (
        "_type",
        Control::Type,
        "for a search of the whole server or a compartment: the types, separated by commas",
    ),
    ("_explain", Control::Explain, "true: how the answer was found, for administrators"),
    ("_format", Control::Answer, "json or xml"),
    ("_pretty", Control::Answer, "true: JSON with a line for every value"),
    // CHOICE: a widespread client library adds this to every count; it asks for nothing beyond `_total`.
    ("_totalMethod", Control::Answer, "accepted; totals are accurate either way"),
    ("_cursor", Control::Cursor, "the place of a page, as links give it"),
];

/// The filters that every type has besides its search parameters: name, type, URL of the definition.
pub static COMMON_FILTERS: [(&str, &str, &str); 5] = [
    ("_id", "token", "http://hl7.org/fhir/SearchParameter/Resource-id"),
    ("_lastUpdated", "date", "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated"),
    ("_list", "string", "http://hl7.org/fhir/SearchParameter/Resource-list"),
    ("_filter", "special", "http://hl7.org/fhir/SearchParameter/filter"),
    ("_has", "string", "http://hl7.org/fhir/SearchParameter/Resource-has"),
];

impl Control {
    /// The control of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        CONTROLS.iter().find(|(known, ..)| *known == name).map(|(_, control, _)| *control)
    }
}
