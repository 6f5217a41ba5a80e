//! A thousand names that are hard on the wire: pushed and read back by curl, directly and behind nginx.

use std::{
    collections::HashSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Nginx, RedisServer,
    service::{Service, TOKEN},
};

const NAMES: usize = 1000;
const NAME_BYTES_MAX: usize = 256;

/// What names are made of: all that URLs, shells, proxies and fonts stumble over.
#[rustfmt::skip]
const PIECES: [&str; 48] = [
    "/", "//", "/./", "/a/../", "%", "%2F", "%25", "%zz", "&", "&amp;", "=", "?", "??a=b", "#", "#top", "+", " ", "  ", "'", "\"",
    "\\", "`", "<b>", "{07}", "[1-3]", "|", "^", "~", "!", "$HOME", "(x)", "*", ",", ";v=1", ":", "@", "🍞", "👩‍👩‍👧", "🇫🇮", "לחם שחור",
    "خبز", "\u{202e}rtl\u{202c}", "é", "e\u{301}", "ﬀ", "İ", "日本語", "\u{200b}",
];

/// So many different names; every tenth as long as a name may be.
fn names() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut names = HashSet::new();
    let mut all = Vec::new();
    while all.len() < NAMES {
        let wanted = if all.len() % 10 == 9 {
            NAME_BYTES_MAX
        } else {
            random.usize(8..60)
        };
        let mut name = "promo:".to_owned();
        while name.len() < wanted {
            let piece = PIECES[random.usize(..PIECES.len())];
            // What is left over is filled up.
            name.push_str(if name.len() + piece.len() <= wanted { piece } else { "x" });
        }
        if names.insert(name.clone()) {
            all.push(name);
        }
    }
    all
}

/// A name as a path segment. There is more than one spelling: all that may stay as it is does, or only letters and digits.
fn segment(name: &str, plain: bool) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        let stays = byte.is_ascii_alphanumeric() || plain && b"-._~!$&'()*+,;=:@".contains(&byte);
        if stays {
            text.push(byte.into());
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
    }
    text
}

/// An item whose bytes tell what became of them: order of members, blanks, escapes, a number that no float holds.
fn item(number: usize, name: &str) -> String {
    let name = serde_json::to_string(name).unwrap();
    format!(r#"{{ "price":1.10,  "id" : "n{number}","name":{name}, "a":"\u00e9\/" ,"big":12345678901234567890123 }}"#)
}

/// One curl that sends many requests, over connections that it keeps.
struct Curl<'a> {
    directory: &'a Path,
    /// The listening socket of a proxy; without one requests go where their URL says.
    socket: Option<PathBuf>,
    config: String,
}

impl<'a> Curl<'a> {
    fn new(directory: &'a Path, socket: Option<PathBuf>) -> Self {
        Self {
            directory,
            socket,
            config: String::new(),
        }
    }

    /// One more request; `rest` are further lines of curl's configuration.
    fn add(&mut self, url: &str, rest: &str) {
        let at = self.config.matches("url = ").count();
        let output = self.directory.join(format!("answer{at}"));
        // Neither brackets nor dots mean anything to curl here: what is sent is what is given.
        let common = format!(
            "silent\nshow-error\ngloboff\npath-as-is\nwrite-out = \"%{{http_code}}\\n\"\noutput = \"{}\"\n",
            output.display()
        );
        let socket = self
            .socket
            .as_ref()
            .map(|socket| format!("unix-socket = \"{}\"\n", socket.display()));
        let next = if at == 0 { "" } else { "next\n" };
        writeln!(
            self.config,
            "{next}{common}{}{rest}url = \"{url}\"",
            socket.unwrap_or_default()
        )
        .unwrap();
    }

    /// Sends them all; the status and the body of each.
    fn run(self) -> Vec<(String, Vec<u8>)> {
        let file = self.directory.join("curl.conf");
        fs::write(&file, &self.config).unwrap();
        let output = Command::new("curl")
            .arg("--disable")
            .arg("--config")
            .arg(file)
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl: {complaints}");
        let statuses = String::from_utf8(output.stdout).unwrap();
        let body = |at: usize| fs::read(self.directory.join(format!("answer{at}"))).unwrap_or_default();
        statuses
            .lines()
            .enumerate()
            .map(|(at, status)| (status.to_owned(), body(at)))
            .collect()
    }
}

fn used_memory(redis: &RedisServer) -> usize {
    let memory = redis.cli(&["INFO", "memory"]);
    let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn a_thousand_hard_names_come_back_with_the_same_bytes_directly_and_behind_nginx() {
    let redis = RedisServer::start();
    let config = format!("[redis]\nurl = \"{}\"\n[pushed]\nnames = [\"promo:*\"]\n", redis.url());
    let service = Service::start(&config);
    let nginx = Nginx::start(&service.address);
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let names = names();
    let url = |host: &str, name: &str, plain: bool| format!("http://{host}/v1/listings/{}", segment(name, plain));

    let began = Instant::now();
    let before = used_memory(&redis);
    // Every other one is pushed through nginx.
    for (socket, parity) in [(None, 0), (Some(nginx.socket()), 1)] {
        let mut puts = Curl::new(directory, socket);
        let of_this = || names.iter().enumerate().filter(move |(number, _)| number % 2 == parity);
        for (number, name) in of_this() {
            let body = directory.join(format!("body{number}"));
            fs::write(&body, item(number, name)).unwrap();
            let rest = format!(
                "request = \"PUT\"\nheader = \"Authorization: Bearer {TOKEN}\"\nheader = \"Content-Type: application/x-ndjson\"\n\
                 data-binary = \"@{}\"\n",
                body.display()
            );
            puts.add(&url(&service.address, name, number % 4 < 2), &rest);
        }
        for ((_, name), (status, answer)) in of_this().zip(puts.run()) {
            assert_eq!(status, "201", "{name:?}: {}", String::from_utf8_lossy(&answer));
        }
    }
    let bytes_each = (used_memory(&redis) - before) / NAMES;

    let read = |socket: Option<PathBuf>, plain: bool| {
        let mut gets = Curl::new(directory, socket);
        for name in &names {
            gets.add(&url(&service.address, name, plain), "");
        }
        gets.run()
    };
    let direct = read(None, true);
    let behind = read(Some(nginx.socket()), false);
    let mut own_links = Curl::new(directory, Some(nginx.socket()));
    for (number, (name, (direct, behind))) in names.iter().zip(direct.iter().zip(&behind)).enumerate() {
        let (status, body) = direct;
        assert_eq!(status, "200", "{name:?}");
        assert_eq!(
            behind,
            direct,
            "{name:?} behind nginx: {}",
            String::from_utf8_lossy(&behind.1)
        );
        let page: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(page["listing"], **name);
        let items = format!("\"items\":[{}]}}", item(number, name));
        assert!(body.ends_with(items.as_bytes()), "{}", String::from_utf8_lossy(body));
        own_links.add(&format!("http://shop{}", page["links"]["self"].as_str().unwrap()), "");
    }
    // The service's own spelling of the name, behind nginx too.
    for (name, (own, direct)) in names.iter().zip(own_links.run().iter().zip(&direct)) {
        assert_eq!(own, direct, "{name:?}");
    }

    let bytes: usize = names.iter().map(String::len).sum();
    eprintln!(
        "{NAMES} names of {} bytes on average, 4000 requests in {:?}; {bytes_each} bytes of Redis a listing",
        bytes / NAMES,
        began.elapsed()
    );
    // Of these Redis takes 4 KB for any stream, however short; the rest names the listing, encoded, half a dozen times.
    assert!(bytes_each < 8192, "{bytes_each} bytes");
}

/// Proxies give an answer's head 4 KB; links to the pages of a name that is three times as long in a URL would fill it.
#[test]
fn the_middle_page_of_the_longest_name_passes_nginx() {
    let redis = RedisServer::start();
    let config = format!("[redis]\nurl = \"{}\"\n[pushed]\nnames = [\"*\"]\n", redis.url());
    let service = Service::start(&config);
    let nginx = Nginx::start(&service.address);
    let directory = TempDir::new().unwrap();
    let name = "\u{1F35E}".repeat(NAME_BYTES_MAX / 4);
    let body = directory.path().join("body");
    fs::write(&body, "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n").unwrap();
    let url = format!("http://shop/v1/listings/{}", segment(&name, false));
    let mut curl = Curl::new(directory.path(), Some(nginx.socket()));
    let rest = format!(
        "request = \"PUT\"\nheader = \"Authorization: Bearer {TOKEN}\"\nheader = \"Content-Type: application/x-ndjson\"\n\
         data-binary = \"@{}\"\n",
        body.display()
    );
    curl.add(&url, &rest);
    curl.add(&format!("{url}?page=2&size=1"), "");
    let answers = curl.run();
    assert_eq!((&*answers[0].0, &*answers[1].0), ("201", "200"), "{}", nginx.errors());
    let page: Value = serde_json::from_slice(&answers[1].1).unwrap();
    for rel in ["self", "first", "prev", "next", "last"] {
        let mut curl = Curl::new(directory.path(), Some(nginx.socket()));
        curl.add(&format!("http://shop{}", page["links"][rel].as_str().unwrap()), "");
        let (status, body) = curl.run().remove(0);
        assert_eq!(status, "200", "{rel}");
        let linked: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(linked["generation"], page["generation"], "{rel}");
    }
}
