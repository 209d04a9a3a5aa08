//! The error of registrations that contradict themselves or the standards.
use crate::model::message_error;

message_error! {
    /// Why a client or user cannot be registered as it is: a message for the administrator.
    pub InvalidRegistration
}
