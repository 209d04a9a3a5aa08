//! A headless browser driven over WebDriver (W3C), and a server for the pages of an app that it opens.
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
/// The member name that the standard gives to an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The driver process of a browser.
pub struct Driver {
    process: Child,
    // Keeps the pipe open; the process would fail when it writes to a closed one.
    _said: BufReader<ChildStdout>,
    // The browser's temporary files.
    _folder: TempDir,
    url: String,
    agent: ureq::Agent,
}

impl Driver {
    /// Starts the driver, or names the command that is missing.
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

    /// Sends a WebDriver command and gives the value of its answer.
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

    /// A new browser session without state of others.
    pub fn browser(&self) -> Window<'_> {
        self.browser_with(&[])
    }

    /// A new browser session with further arguments of the browser.
    pub fn browser_with(&self, more: &[&str]) -> Window<'_> {
        // The tests may run as root, where Chromium's sandbox is not available; the pages are our own.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=800,900"];
        let arguments = [arguments.as_slice(), more].concat();
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

/// A browser window. Elements are selected by CSS selectors; commands wait for them to appear.
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

    /// Runs a script in the page, as the body of a function, and gives what it returns. With `callback` in it, what that is
    /// called with.
    pub fn run(&self, script: &str) -> Value {
        if script.contains("callback(") {
            let script = format!("const callback = arguments[0]; {script}");
            return self.post("/execute/async", &json!({"script": script, "args": []}));
        }
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The size of the window, in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        self.post("/window/rect", &json!({"width": width, "height": height}));
    }

    /// Presses keys where the focus is.
    pub fn press(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// The browser's log.
    pub fn complaints(&self) -> String {
        self.post("/se/log", &json!({"type": "browser"})).to_string()
    }

    /// Saves a screenshot of the page that has the element in the build's folder, for developers.
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
        // Closes the browser; if the driver is gone, so is the browser.
        drop(self.driver.agent.delete(format!("{}/session/{}", self.driver.url, self.session)).call());
    }
}

/// A loopback server for the files of an app, by path; gives its origin. Each connection has a thread, because a browser may
/// open connections and send nothing on them.
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
                // The browser may have closed the connection early.
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
