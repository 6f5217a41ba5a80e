//! Files that the configuration names, read within a bound on their size and on time.
//!
//! Such a file may be a pipe: a shell's `<(…)`, or a secret that a manager mounts. A pipe that has no writer would hold the reader for
//! ever, and with it every reload that follows.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// The largest file, but one of names.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The largest file of names: a million names at their longest.
const NAMES_FILE_BYTES_MAX: u64 = 257 * 1_000_000;
/// Until a file that is a pipe must have been written to its end.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Bytes read at once.
const PART_BYTES: usize = 64 * 1024;

/// Reads a whole file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, FILE_BYTES_MAX, READ_WITHIN)
}

/// Reads a whole file of UTF-8.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// Reads a whole file of names.
pub fn read_names_file(path: &Path) -> io::Result<String> {
    text(read_within(path, NAMES_FILE_BYTES_MAX, READ_WITHIN)?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

fn read_within(path: &Path, bytes_max: u64, within: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + within;
    // Without this flag, opening a pipe waits for a writer.
    let options = OFlag::O_NONBLOCK.bits();
    let mut file = File::options().read(true).custom_flags(options).open(path)?;
    let (mut bytes, mut part) = (Vec::new(), vec![0; PART_BYTES]);
    loop {
        wait_until_readable(&file, deadline, within)?;
        match file.read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > bytes_max {
            let why = format!("it is larger than {bytes_max} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
    }
}

/// Waits until there are bytes, or the end. A file that is no pipe always has one of them.
fn wait_until_readable(file: &File, deadline: Instant, within: Duration) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => {
                let why = format!("it is a pipe, and was not written to its end within {within:?}");
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let long = "x".repeat(3 * PART_BYTES + 5);
        fs::write(&path, &long).unwrap();
        assert_eq!(read_text(&path).unwrap(), long);
        let too_large = read_within(&path, long.len() as u64 - 1, READ_WITHIN).unwrap_err();
        assert_eq!(too_large.kind(), ErrorKind::FileTooLarge);
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(
            read(&directory.path().join("none")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(read(directory.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(
            read(Path::new("/dev/zero")).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_end() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let short = Duration::from_millis(20);
        let nobody_writes = read_within(&path, FILE_BYTES_MAX, short).unwrap_err();
        assert_eq!(nobody_writes.kind(), ErrorKind::TimedOut);

        let text = "x".repeat(3 * PART_BYTES);
        let writing = std::thread::spawn({
            let (path, text) = (path.clone(), text.clone());
            move || fs::write(path, text).unwrap()
        });
        assert_eq!(read_text(&path).unwrap(), text);
        writing.join().unwrap();
    }
}
