//! The model of a resource: its element tree, JSON and XML, primitives with their precision, references, ids, patches and
//! outcomes. No I/O.

mod encoding;
mod human_name;
mod id;
mod instant;
mod json;
mod json_patch;
mod message_error;
mod normalize;
mod outcome;
mod percent;
mod primitive;
mod reference;
mod stored_form;
mod tree;
mod xml;

pub use encoding::{
    decode_base64, decode_base64_url, encode_base64, encode_base64_url, encode_base64_url_unpadded, from_hex,
    hex,
};
pub use human_name::human_name;
pub use id::{ResourceId, ResourceKey, VersionId};
pub use instant::{Interval, Millis, NANOS_PER_MILLI, Nanos, Precision, Span, Temporal};
pub use json::{JSON_DEPTH_MAX, SyntaxError, parse};
pub use json_patch::{PATCH_COPIED_BYTES_MAX, PATCH_OPERATIONS_MAX, apply as apply_json_patch};
pub(crate) use message_error::message_error;
pub use normalize::{Normalized, minify, prettify, quote};
pub use outcome::{FINDINGS_KEPT_MAX, Findings, Issue, IssueCode, Outcome, Severity};
pub use percent::{decode, decode_pairs, encode};
pub use primitive::{PrimitiveFault, check_primitive, is_xml_char};
pub use reference::{Reference, ReferenceTarget};
pub use stored_form::{Amendments, StoredForm, copied, stored_form};
pub use tree::{JsonKind, Node, Tree};
pub use xml::{Unreadable, from_xml, to_xml, xml_root};
