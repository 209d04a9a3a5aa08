//! Messages to the person at the terminal, on the standard error.

/// Tells a person at a terminal something that is no output.
#[allow(clippy::print_stderr, reason = "the one place where commands speak to a person")]
pub(super) fn report(message: &str) {
    eprintln!("chartward: {message}");
}
