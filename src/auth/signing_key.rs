//! The error of signing keys, of access tokens, id tokens and the audit log.
use crate::model::message_error;

message_error! {
    /// Why a signing key cannot be generated, read or used: a message for the log.
    pub SigningKeyError
}
