//! The error of values that a search parameter does not take.
use crate::model::message_error;

message_error! {
    /// Why a value of a search parameter, or an expression of `_filter`, `_text` or `_content`, is invalid: a message for the client.
    pub InvalidValue
}
