//! A browser without a window, driven over WebDriver (W3C), and the pages of an app that it is shown.
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use chartward::model::decode_base64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::signer::{answer, request};

/// How long an element may take to appear, in milliseconds.
const ELEMENT_MS_MAX: u32 = 30_000;
/// The name under which the standard has the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The driver of a browser.
pub struct Driver {
    process: Child,
    // The process would fail on what it says if nobody held the other end.
    _said: BufReader<ChildStdout>,
    // Where the browser leaves what it leaves.
    _folder: TempDir,
    url: String,
    agent: ureq::Agent,
}

impl Driver {
    /// Starts the driver, or says which command is not here.
    pub fn start() -> Result<Self, String> {
        for command in ["chromium", "chromedriver"] {
            let found = Command::new(command).arg("--version").output();
            if !found.is_ok_and(|found| found.status.success()) {
                return Err(format!("the command {command} is not here"));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the driver ended");
            if let Some((_, port)) = line.trim_end().trim_end_matches('.').split_once(" on port ")
                && line.contains("successfully")
            {
                break port.to_owned();
            }
        };
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Ok(Self { process, _said: said, _folder: folder, url: format!("http://127.0.0.1:{port}"), agent })
    }

    /// A command, and its value.
    fn command(&self, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.url);
        let answer = match body {
            Some(body) => self.agent.post(url).send(body.to_string()),
            None => self.agent.get(url).call(),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        let mut read: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.status().is_success(), "{path}: {text}");
        read["value"].take()
    }

    /// A browser that remembers nothing of others.
    pub fn browser(&self) -> Window<'_> {
        // Everything may run as root, where a sandbox cannot be had; the pages are our own.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=800,900"];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}
        }}});
        let session = self.command("/session", Some(&wanted))["sessionId"].as_str().unwrap().to_owned();
        let window = Window { driver: self, session };
        window.post("/timeouts", &json!({"implicit": ELEMENT_MS_MAX}));
        window
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A window of the browser; elements are named by CSS selectors, and waited for.
pub struct Window<'d> {
    driver: &'d Driver,
    session: String,
}

impl Window<'_> {
    fn post(&self, path: &str, body: &Value) -> Value {
        self.driver.command(&format!("/session/{}{path}", self.session), Some(body))
    }

    fn get(&self, path: &str) -> Value {
        self.driver.command(&format!("/session/{}{path}", self.session), None)
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    fn element(&self, selector: &str) -> String {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &wanted);
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    pub fn click(&self, selector: &str) {
        self.post(&format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    pub fn write(&self, selector: &str, text: &str) {
        self.post(&format!("/element/{}/value", self.element(selector)), &json!({"text": text}));
    }

    pub fn text(&self, selector: &str) -> String {
        self.get(&format!("/element/{}/text", self.element(selector))).as_str().unwrap().to_owned()
    }

    /// What the browser had to complain of.
    pub fn complaints(&self) -> String {
        self.post("/se/log", &json!({"type": "browser"})).to_string()
    }

    /// Leaves a picture of the page that has the element beside the build, for people who work on it.
    pub fn picture(&self, name: &str, selector: &str) {
        self.element(selector);
        let png = decode_base64(self.get("/screenshot").as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name).with_extension("png"), png).unwrap();
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // Closes the browser. If the driver has gone, there is none left.
        drop(self.driver.agent.delete(format!("{}/session/{}", self.driver.url, self.session)).call());
    }
}

/// A server on loopback for the files of an app, by path; its origin. A browser opens connections on which it may send
/// nothing, so each has a thread.
pub fn serve(files: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let files = files.clone();
            std::thread::spawn(move || {
                let asked = request(&mut stream);
                let path = asked.split(' ').nth(1).and_then(|target| target.split('?').next());
                let file = files.iter().find(|(name, _)| Some(*name) == path.map(|path| &path[1..]));
                let text = match file {
                    Some((name, text)) => answer("200 OK", content_type(name), text),
                    None => answer("404 Not Found", "", ""),
                };
                // A browser may have had enough before it has read everything.
                drop(stream.write_all(text.as_bytes()));
            });
        }
    });
    origin
}

fn content_type(name: &str) -> &'static str {
    if name.ends_with(".js") {
        "Content-Type: text/javascript; charset=utf-8\r\n"
    } else {
        "Content-Type: text/html; charset=utf-8\r\n"
    }
}
