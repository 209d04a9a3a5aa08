//! The server as a program of its own, for tests that kill it.
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server in a process of its own, open to all.
pub struct Process {
    child: Child,
    pub base: String,
}

impl Process {
    /// Starts it on a data directory, and waits until it is ready.
    pub fn start(data: &Path) -> Self {
        let (ready, log) = (data.with_extension("ready"), data.with_extension("log"));
        std::fs::remove_file(&ready).ok();
        let child = Command::new(env!("CARGO_BIN_EXE_chartward"))
            .args(["serve", "--open", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::from(std::fs::File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        let mut process = Self { child, base: String::new() };
        let since = Instant::now();
        while process.base.is_empty() {
            if since.elapsed() > Duration::from_secs(30) {
                process.kill();
                panic!("the server does not start: {}", std::fs::read_to_string(&log).unwrap());
            }
            if let Ok(text) = std::fs::read(&ready) {
                let ready: Value = serde_json::from_slice(&text).unwrap();
                ready["base_url"].as_str().unwrap().clone_into(&mut process.base);
            }
            std::thread::yield_now();
        }
        process
    }

    /// SIGKILL: afterwards nothing of the process runs any more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that a test has killed is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
