//! The tour of the demo, as a newcomer runs it.
use std::process::Command;

#[test]
fn every_step_comes_as_expected() {
    let ran = Command::new(env!("CARGO_BIN_EXE_chartward")).args(["demo", "--tour"]).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(text.lines().count() >= 16 && !text.contains('✗'), "{text}");
}
