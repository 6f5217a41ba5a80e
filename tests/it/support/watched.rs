//! A server that all tests of this binary share, as it takes seconds to start; it ends with the binary, however that ends.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Signals `$1` with `$3` once standard input ends, waits for its end, and removes `$2`.
const WATCHDOG: &str = r#"
    cat >/dev/null
    kill -s "$3" "$1" 2>/dev/null
    for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$1" 2>/dev/null
    rm -rf "$2"
"#;

/// Servers with their watchdogs: each holds the pipe that keeps its server alive.
static RUNNING: Mutex<Vec<(Child, Child)>> = Mutex::new(Vec::new());

/// Starts a server; a small shell, which waits for the end of a pipe that only this process holds open, ends it. A static
/// value is not dropped, and a killed process drops nothing at all.
/// It waits until the server answers.
pub fn start(command: &mut Command, directory: &Path, signal: &str, answers: impl Fn() -> bool) {
    let server = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "sh", &server.id().to_string()])
        .arg(directory)
        .arg(signal)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    RUNNING.lock().push((server, watchdog));
    let begun = Instant::now();
    while !answers() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{command:?} does not start");
        sleep(Duration::from_millis(20));
    }
}

/// Whether the tests run as root, which some servers refuse to.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}
