//! Chromium without a window, to see a page as a person does.
//!
//! It is the headless shell: the same engine without what the browser does on its own behalf, such as asking for
//! updates. All that it asks for goes through a proxy of ours, so a test sees every request, and none leaves the
//! machine. It is told what to do over a pipe, in the DevTools protocol, because what it can be told on the command
//! line it does with scripts of its own, which do not run either when scripts are switched off.
//! <https://chromedevtools.github.io/devtools-protocol/>

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fault_server::{Answer, FaultServer};
use crate::{http, tools};

/// How long one command may take: on a busy machine the browser starts slowly.
const LIMIT: Duration = Duration::from_secs(60);
/// The file in the profile with what the browser complains about; without a desktop, that is a lot.
const COMPLAINTS: &str = "complaints";

/// How to look at a page.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether scripts run.
    pub scripts: bool,
    /// Whether the person prefers light text on a dark ground.
    pub dark: bool,
    /// Width of the window, in pixels.
    pub width: u32,
}

impl Default for Look {
    fn default() -> Self {
        Self { scripts: true, dark: false, width: 1280 }
    }
}

/// A browser for the pages of one port of this machine.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    proxy: FaultServer,
    child: Child,
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    last: Cell<u32>,
    profile: TempDir,
}

impl Browser {
    /// A browser that reaches this port of the loopback address and nothing else.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn for_port(port: u16) -> Self {
        let prefix = format!("http://127.0.0.1:{port}/");
        let proxy = FaultServer::start(move |_, request| {
            let path = request.target.strip_prefix(&prefix);
            match path.map(|path| http::get(port, &format!("/{path}"))) {
                Some(Ok(response)) => forwarded(response),
                _ => Answer::status("404 Not Found"),
            }
        });
        let program = tools::debian_package("chromium-headless-shell", "/usr/bin/chromium-headless-shell");
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let complaints = File::create(profile.path().join(COMPLAINTS)).expect("a file in it");
        let mut command = Command::new("/bin/sh");
        command
            // The pipe is expected at descriptors 3 and 4.
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .arg(program)
            .args(["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--hide-scrollbars"])
            .arg(format!("--proxy-server=http://127.0.0.1:{}", proxy.port()))
            // Loopback addresses, too.
            .arg("--proxy-bypass-list=<-loopback>")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            // It ends with the pipe, and so with the test process, however that ends.
            .process_group(0);
        let mut child = command.spawn().expect("the browser starts");
        let commands = RefCell::new(child.stdin.take().expect("its input is a pipe"));
        let said = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in said.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { port, proxy, child, commands, messages, last: Cell::default(), profile }
    }

    /// Every address that was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.proxy.requests().into_iter().map(|request| request.target).collect()
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Panics
    /// When the browser fails.
    pub fn open(&self, path: &str, look: Look) -> Page<'_> {
        let target = self.command(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.command(None, "Target.attachToTarget", &target);
        let page = Page { browser: self, session: session["sessionId"].clone() };
        let colours = if look.dark { "dark" } else { "light" };
        page.tell("Page.enable", &json!({}));
        page.tell("Emulation.setScriptExecutionDisabled", &json!({"value": !look.scripts}));
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        page.tell("Emulation.setEmulatedMedia", &json!({"features": features}));
        let window = json!({"width": look.width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        page.tell("Emulation.setDeviceMetricsOverride", &window);
        page.tell("Page.navigate", &json!({"url": format!("http://127.0.0.1:{}{path}", self.port)}));
        self.wait("the page to load", |message| {
            message["method"] == "Page.loadEventFired" && message["sessionId"] == page.session
        });
        page
    }

    fn command(&self, session: Option<&Value>, method: &str, parameters: &Value) -> Value {
        let sent = self.send(session, method, parameters);
        let number =
            sent.unwrap_or_else(|error| panic!("cannot tell the browser: {error}\n{}", self.complaints()));
        let answer = self.wait(method, |message| message["id"] == number);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn send(&self, session: Option<&Value>, method: &str, parameters: &Value) -> io::Result<u32> {
        let number = self.last.get() + 1;
        self.last.set(number);
        let mut command = json!({"id": number, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.clone();
        }
        self.commands.borrow_mut().write_all(format!("{command}\0").as_bytes())?;
        Ok(number)
    }

    /// The first message from now on that is wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) if wanted(&message) => return message,
                Ok(_) => {}
                Err(error) => panic!("waited in vain for {what}: {error}\n{}", self.complaints()),
            }
        }
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.profile.path().join(COMPLAINTS)).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It is the leader of its group, and not yet waited for: the number is still its own.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A page that is being shown.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    session: Value,
}

impl Page<'_> {
    /// The document as the browser understood it.
    ///
    /// # Panics
    /// When the browser fails.
    pub fn document(&self) -> String {
        let root = self.tell("DOM.getDocument", &json!({"depth": 0}));
        let markup = self.tell("DOM.getOuterHTML", &json!({"nodeId": root["root"]["nodeId"]}));
        markup["outerHTML"].as_str().expect("markup is a text").to_owned()
    }

    /// How wide and high everything on the page is, in pixels.
    ///
    /// # Panics
    /// When the browser fails.
    pub fn size(&self) -> (u64, u64) {
        let metrics = self.tell("Page.getLayoutMetrics", &json!({}));
        let side = |name: &str| metrics["cssContentSize"][name].as_u64().expect("a size is a number");
        (side("width"), side("height"))
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Panics
    /// When the browser fails.
    pub fn picture(&self) -> Vec<u8> {
        let (width, height) = self.size();
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let options = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let shot = self.tell("Page.captureScreenshot", &options);
        let data = shot["data"].as_str().expect("a picture is a text");
        base64::engine::general_purpose::STANDARD.decode(data).expect("a picture is Base64")
    }

    fn tell(&self, method: &str, parameters: &Value) -> Value {
        self.browser.command(Some(&self.session), method, parameters)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // A page that is left open loads again and again. The answer is of no interest.
        let _ = self.browser.send(Some(&self.session), "Page.close", &json!({}));
    }
}

/// The answer of the page's server, as a proxy passes it on.
fn forwarded(response: http::Response) -> Answer {
    let of_the_connection = ["connection", "content-length", "transfer-encoding"];
    let headers =
        response.headers.into_iter().filter(|(name, _)| !of_the_connection.contains(&name.as_str()));
    Answer { headers: headers.collect(), body: response.body, ..Answer::status(&response.status.to_string()) }
}
