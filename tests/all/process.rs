//! The server as a separate process, for tests that kill it, configure it, or start several.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An HTTP client that returns every status as an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// Writes the Patient with a number; gives the status, and the body if it is JSON.
pub fn put_patient(agent: &ureq::Agent, base: &str, number: usize) -> (u16, Value) {
    let patient = json!({"resourceType": "Patient", "id": format!("p{number}"), "name": [{"family": format!("N{number}")}]});
    let request =
        agent.put(format!("{base}/Patient/p{number}")).header("Content-Type", "application/fhir+json");
    let mut answer = request.send(patient.to_string()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

/// A server in a process of its own, which is killed when the test ends.
pub struct Process {
    child: Child,
    pub base: String,
    log: PathBuf,
}

impl Process {
    /// Starts an open server on a data directory and waits until it is ready.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, "", &["--open"], &[])
    }

    /// Starts a server with options and environment variables; `name` distinguishes several on one data directory.
    pub fn start_with(data: &Path, name: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(crate::shipped::binary());
        command.arg("serve").arg("--data").arg(data).args(options).envs(variables.iter().copied());
        Self::ready(command, &data.with_extension(format!("{name}ready")))
    }

    /// Starts the demo with options and the given ready file.
    pub fn demo(ready: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(crate::shipped::binary());
        command.arg("demo").args(options).stdout(Stdio::null());
        Self::ready(command, ready)
    }

    fn ready(mut command: Command, ready: &Path) -> Self {
        let log = ready.with_extension(ready.extension().unwrap().to_str().unwrap().replace("ready", "log"));
        std::fs::remove_file(ready).ok();
        let child = command
            .args(["--listen", "127.0.0.1:0", "--ready-file"])
            .arg(ready)
            .stderr(Stdio::from(std::fs::File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        let mut process = Self { child, base: String::new(), log };
        let since = Instant::now();
        while process.base.is_empty() {
            assert!(since.elapsed() < Duration::from_secs(60), "it does not start: {}", process.log());
            if let Ok(text) = std::fs::read(ready) {
                let ready: Value = serde_json::from_slice(&text).unwrap();
                ready["base_url"].as_str().unwrap().clone_into(&mut process.base);
            }
            std::thread::yield_now();
        }
        process
    }

    /// The log of the server.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops the server with SIGTERM, as an operator does.
    pub fn stop(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills the server with SIGKILL; afterwards no part of the process runs.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The test may have killed it already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
