//! The tour of the demo, run as a newcomer runs it.
use crate::shipped;

#[test]
fn every_step_comes_as_expected() {
    let text = shipped::printed(["demo", "--tour"]);
    assert!(text.lines().count() >= 16 && !text.contains('✗'), "{text}");
}
