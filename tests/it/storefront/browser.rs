//! A headless browser of the test's own: fresh profile, free port, gone with the test.
//!
//! `CHROME` and `CHROMEDRIVER` name another browser and driver than those on the path.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    key::Key,
    wd::{Capabilities, WindowHandle},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::demo::end;

/// Until a state shows. Generous: a demo that has just started is warming its listings, on a machine that may be busy.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Nothing of the machine's own browser, and no conversation with anybody but the shop.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
];

/// A driver with one session.
pub struct Browser {
    client: Client,
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// Starts driver and browser.
    pub async fn start() -> Self {
        let mut driver = Driver::start();
        let profile = tempfile::tempdir().unwrap();
        let mut args: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let mut options = json!({ "args": args });
        if let Ok(chrome) = env::var("CHROME") {
            options["binary"] = json!(chrome);
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .unwrap();
        driver.session = client.session_id().await.unwrap();
        Self {
            client,
            _driver: driver,
            _profile: profile,
        }
    }

    /// Goes to an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The browser's back button.
    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    /// What the address bar says.
    pub async fn address(&self) -> String {
        self.client.current_url().await.unwrap().into()
    }

    /// Makes the window so large.
    pub async fn window(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.unwrap();
    }

    /// The window that is being driven.
    pub async fn current_window(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Opens a second window at an address and drives that one.
    pub async fn open_second_window(&self, url: &str) -> WindowHandle {
        let window = self.client.new_window(false).await.unwrap().handle;
        self.switch_to(&window).await;
        self.open(url).await;
        window
    }

    /// Drives another window.
    pub async fn switch_to(&self, window: &WindowHandle) {
        self.client.switch_to_window(window.clone()).await.unwrap();
    }

    /// Waits until an element that fits the selector is there. Where it never is, says what the page shows instead.
    pub async fn sees(&self, selector: &str) -> Element {
        let waiting = self.client.wait().at_most(SEEN_WITHIN).every(POLL_EVERY);
        match waiting.for_element(Locator::Css(selector)).await {
            Ok(element) => element,
            Err(error) => {
                let instead = self
                    .script(
                        "const shown = ({ id, dataset }) => `#${id} ${JSON.stringify(dataset)}`;
                         return [...document.querySelectorAll('#results, #served, #live, #trouble, #toast')]
                            .map(shown).join('\\n') + '\\n' + document.getElementById('trouble')?.innerText",
                    )
                    .await;
                panic!(
                    "{selector} is not seen: {error}\n{}",
                    instead.as_str().unwrap_or_default()
                );
            }
        }
    }

    /// Clicks what fits the selector, as soon as it is there, out from under the bars that stay at the window's edges.
    pub async fn click(&self, selector: &str) {
        let element = self.sees(selector).await;
        let script = "arguments[0].scrollIntoView({ block: 'nearest' })";
        let target = serde_json::to_value(&element).unwrap();
        self.client.execute(script, vec![target]).await.unwrap();
        let clicked = element.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector} cannot be clicked: {error}"));
    }

    /// Chooses an option of a select by its value.
    pub async fn choose(&self, selector: &str, value: &str) {
        self.sees(selector).await.select_by_value(value).await.unwrap();
    }

    /// Replaces what an input holds by typing.
    pub async fn fill(&self, selector: &str, text: &str) {
        let input = self.sees(selector).await;
        input.clear().await.unwrap();
        input.send_keys(text).await.unwrap();
    }

    /// Presses the tabulator key, wherever the focus is.
    pub async fn press_tab(&self) {
        let tab = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: Key::Tab.into() })
            .then(KeyAction::Up { value: Key::Tab.into() });
        self.client.perform_actions(tab).await.unwrap();
    }

    /// The text that is seen of an element.
    pub async fn text(&self, selector: &str) -> String {
        self.sees(selector).await.text().await.unwrap()
    }

    /// A data attribute of an element.
    pub async fn text_of_data(&self, selector: &str, name: &str) -> String {
        let attribute = self.sees(selector).await.attr(&format!("data-{name}")).await.unwrap();
        attribute.unwrap_or_else(|| panic!("{selector} has no data-{name}"))
    }

    /// Runs a script in the page.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }
}

/// The driver's process; its end ends the browser.
struct Driver {
    process: Child,
    port: u16,
    session: Option<String>,
}

impl Driver {
    /// Starts it on a port that it chooses, and waits until it listens.
    fn start() -> Self {
        let program = env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let mut process = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Its first line says "on port 0", what it was asked for; the port it got comes with the success.
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| port_of(&line))
            .expect("the driver ended before it listened");
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            port,
            session: None,
        }
    }

    /// Ends the session by hand: a test that panics has no time for futures, and an orphaned browser would stay.
    fn end_session(&self) -> std::io::Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            connection,
            "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        )?;
        connection.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.end_session();
        end(&mut self.process, Duration::from_secs(5));
    }
}

fn port_of(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}
