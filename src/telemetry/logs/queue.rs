//! The queue of the log: lines wait here for one thread, and only that thread writes.
//!
//! So code that logs never waits for the reader of the log, and a write that fails is no error of that code. A line that does not
//! fit, or cannot be written, is lost and counted. The crate tracing-appender has such a queue too. But it bounds lines, not
//! bytes; it does not say which writes failed; and at the end it prints to stderr, where a stalled reader would hold it for ever.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::lost::{LossReason, LostLines};

/// Bytes of lines that wait. More are lost.
pub(super) const QUEUE_BYTES_MAX: usize = 1 << 20;
/// The parent process may have made stderr non-blocking: a write is then tried again after this.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The queue. Clones are of the same one.
#[derive(Clone)]
pub(super) struct LogQueue {
    shared: Arc<SharedQueue>,
    lost: LostLines,
}

#[derive(Default)]
struct SharedQueue {
    waiting: Mutex<Waiting>,
    came: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    /// Of the lines, and of the one that is being written.
    bytes: usize,
    is_writing: bool,
}

impl LogQueue {
    /// Starts the thread that writes. It ends with the process.
    pub(super) fn start(writer: impl Write + Send + 'static, lost: LostLines) -> io::Result<Self> {
        let queue = Self {
            shared: Arc::default(),
            lost,
        };
        let of_the_thread = queue.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_the_thread.write_to(writer))?;
        Ok(queue)
    }

    /// Adds a line, if there is room.
    fn put(&self, line: &[u8]) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.bytes + line.len() > QUEUE_BYTES_MAX {
            drop(waiting);
            return self.lost.count(LossReason::Backlog);
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        self.shared.came.notify_one();
    }

    /// Waits until all lines are written or lost. Returns false where that takes longer.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut waiting = self.shared.waiting.lock();
        while waiting.is_writing || !waiting.lines.is_empty() {
            if self.shared.written.wait_until(&mut waiting, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    fn write_to(&self, mut writer: impl Write) {
        let mut is_mid_line = false;
        let mut told = 0;
        loop {
            let line = self.next();
            let result = write_line(&mut writer, &line, &mut is_mid_line);
            {
                let mut waiting = self.shared.waiting.lock();
                waiting.is_writing = false;
                waiting.bytes -= line.len();
                self.shared.written.notify_all();
            }
            match result {
                Ok(()) => self.tell_of_losses(&mut told),
                Err(_) => self.lost.count(LossReason::Write),
            }
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut waiting = self.shared.waiting.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.is_writing = true;
                return line;
            }
            self.shared.came.wait(&mut waiting);
        }
    }

    /// A line was written: the log says how many were lost since it said so last.
    fn tell_of_losses(&self, told: &mut u64) {
        let lost = self.lost.so_far(LossReason::Backlog) + self.lost.so_far(LossReason::Write);
        if lost > *told {
            let lines = lost - *told;
            *told = lost;
            tracing::warn!(lines, "log lines were lost: stderr was full, slow or closed");
        }
    }
}

impl Write for LogQueue {
    /// One call, one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Writes a line. After one that broke off in the middle, this one begins a line of its own.
fn write_line(writer: &mut impl Write, line: &[u8], is_mid_line: &mut bool) -> io::Result<()> {
    if *is_mid_line {
        write_whole(writer, b"\n", &mut false)?;
        *is_mid_line = false;
    }
    write_whole(writer, line, is_mid_line)
}

fn write_whole(writer: &mut impl Write, mut bytes: &[u8], is_begun: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                *is_begun = !bytes.is_empty();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN_AFTER),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn a_reader_that_stalls_costs_lines_and_no_time() {
        let (reader, writer) = io::pipe().unwrap();
        let lost = LostLines::new();
        let queue = LogQueue::start(writer, lost.clone()).unwrap();
        const LINES: usize = 4000;
        let padding = "x".repeat(1000);
        for number in 0..LINES {
            queue.put(format!("{number} {padding}\n").as_bytes());
        }
        assert!(!queue.flush(Duration::from_millis(10)));
        let (lines_lost, memory) = (
            lost.so_far(LossReason::Backlog) as usize,
            queue.shared.waiting.lock().bytes,
        );
        assert!((1..LINES).contains(&lines_lost), "{lines_lost}");
        assert!(memory <= QUEUE_BYTES_MAX, "{memory}");
        // The lines that were taken arrive whole and in order.
        let mut last = None;
        for line in BufReader::new(reader).lines().take(LINES - lines_lost) {
            let line = line.unwrap();
            let number = line.strip_suffix(&format!(" {padding}")).unwrap();
            let number = Some(number.parse::<usize>().unwrap());
            assert!(number > last, "{number:?} after {last:?}");
            last = number;
        }
        assert!(queue.flush(Duration::from_secs(20)));
        assert_eq!(lost.so_far(LossReason::Write), 0);
    }

    /// Takes three bytes at a time, and fails where it is told to.
    struct Disk {
        written: Vec<u8>,
        free: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3).min(self.free);
            self.free -= taken;
            self.written.extend(&bytes[..taken]);
            match taken {
                0 => Err(ErrorKind::StorageFull.into()),
                taken => Ok(taken),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_line_that_broke_off_the_next_one_begins_a_line() {
        let mut disk = Disk {
            written: Vec::new(),
            free: 13,
        };
        let mut is_mid_line = false;
        let mut write = |disk: &mut Disk, line: &str| write_line(disk, line.as_bytes(), &mut is_mid_line).is_ok();
        assert!(write(&mut disk, "one\n"));
        assert!(write(&mut disk, "two\n"));
        assert!(!write(&mut disk, "three and more\n"));
        assert!(!write(&mut disk, "lost\n"));
        disk.free = 100;
        assert!(write(&mut disk, "four\n"));
        assert!(write(&mut disk, "five\n"));
        assert_eq!(
            String::from_utf8(disk.written).unwrap(),
            "one\ntwo\nthree\nfour\nfive\n"
        );
    }
}
