//! A real Varnish in front of a service, on a port of its own.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::redis_server::free_port;

/// A running varnishd. Ended when dropped.
pub struct Varnish {
    process: Child,
    directory: TempDir,
    /// `127.0.0.1:<port>`.
    pub address: String,
}

impl Varnish {
    /// With this VCL.
    pub fn start(vcl: &str) -> Self {
        // Another process may take the port between our asking for a free one and Varnish's binding it: then again.
        for _ in 0..20 {
            let directory = tempfile::Builder::new().prefix("varnish-").tempdir().unwrap();
            fs::write(directory.path().join("edge.vcl"), vcl).unwrap();
            let address = format!("127.0.0.1:{}", free_port());
            let process = spawn(directory.path(), &address);
            let mut varnish = Self {
                process,
                directory,
                address,
            };
            if varnish.listens() {
                return varnish;
            }
            let said = varnish.said();
            assert!(
                said.contains("Address already in use"),
                "varnishd does not start:\n{said}"
            );
        }
        panic!("varnishd finds no port");
    }

    /// What it complained of.
    fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn listens(&mut self) -> bool {
        let begun = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            // It compiles first.
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "varnishd does not listen:\n{}",
                self.said()
            );
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            sleep(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Varnish {
    fn drop(&mut self) {
        // Its worker ends with it, for its commands come through a pipe.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) && matches!(self.process.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- said by varnishd\n{}---", self.said());
        }
    }
}

fn spawn(directory: &Path, address: &str) -> Child {
    let log = File::create(directory.join("log")).unwrap();
    let system = Path::new("/usr/sbin/varnishd");
    Command::new(if system.exists() { system } else { Path::new("varnishd") })
        .args([
            "-F",
            "-j",
            "none",
            "-s",
            "malloc,32m",
            "-T",
            "none",
            "-a",
            address,
            "-n",
        ])
        .arg(directory.join("work"))
        .arg("-f")
        .arg(directory.join("edge.vcl"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("varnish is installed")
}
