//! Messages to the person at the terminal, on standard error.

/// Prints a message that is not part of a command's output.
#[allow(clippy::print_stderr, reason = "the one place where commands speak to a person")]
pub(super) fn report(message: &str) {
    eprintln!("chartward: {message}");
}
