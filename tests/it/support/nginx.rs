//! A real nginx in front of a service, as most shops have one: in a directory of its own, on a Unix socket.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running nginx that passes everything on. Killed when dropped.
pub struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    /// In front of `127.0.0.1:<port>`. `proxy_pass` has no URI part, so that paths go on as they came; all else is as nginx
    /// has it by default.
    pub fn start(upstream: &str) -> Self {
        Self::start_with(|at| {
            format!(
                "upstream listcache {{ server {upstream}; }}\n\
                 server {{ listen unix:{at}/nginx.sock; location / {{ proxy_pass http://listcache; }} }}"
            )
        })
    }

    /// With what is to stand in the block `http`, made of the directory in which it runs. It must listen on
    /// `unix:<directory>/nginx.sock`.
    pub fn start_with(http: impl FnOnce(&str) -> String) -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-").tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        let http = http(at);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        // One process and no daemon: killing it leaves nobody behind.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{http}\n}}\n"
        );
        fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let process = Command::new(binary())
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(directory.path().join("nginx.conf"))
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let mut nginx = Self { process, directory };
        nginx.wait_until_it_listens();
        nginx
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("nginx.sock")
    }

    /// What it complained of.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }

    fn wait_until_it_listens(&mut self) {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(10),
                "nginx does not listen: {ended:?}\n{}",
                self.errors()
            );
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- errors of nginx\n{}---", self.errors());
        }
    }
}

/// Daemons lie where not everybody's path leads.
fn binary() -> PathBuf {
    let system = PathBuf::from("/usr/sbin/nginx");
    if system.exists() { system } else { "nginx".into() }
}
