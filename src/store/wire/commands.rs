//! Commands as they go out: written once, into the bytes that are sent.

use bytes::{Bytes, BytesMut};
use redis::{Cmd, Pipeline};

/// Commands that are sent in one turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands {
    packed: BytesMut,
    many: usize,
    /// How many of them have no reply.
    unanswered: usize,
    /// Whether what is added now has none.
    is_quiet: bool,
    /// See [`Commands::that_may_be_refused`].
    may_be_refused: bool,
}

/// Bytes beside a command's arguments, for each: a mark, a few digits, two ends of lines.
const ARGUMENT_BYTES: usize = 16;

impl Commands {
    /// Makes room for arguments of so many bytes in all: growing by steps would copy what is there again and again.
    pub(crate) fn make_room(&mut self, arguments: usize, bytes: usize) {
        self.packed.reserve(arguments * ARGUMENT_BYTES + bytes);
    }

    /// Has the server keep quiet: the next commands have no reply, until [`Commands::end_quiet`]. Only where they begin, and for a
    /// server of which [`Link::keeps_quiet`](super::link::Link::keeps_quiet) says that it does.
    ///
    /// For loading much (<https://redis.io/docs/latest/commands/client-reply/>): the server spares itself a call for each few
    /// entries that it takes in, and us a wake-up.
    pub(crate) fn begin_quiet(&mut self) {
        debug_assert!(self.is_empty());
        self.is_quiet = true;
        self.call(&[b"CLIENT", b"REPLY", b"OFF"]);
    }

    /// The next commands have replies again, and the end of the quiet itself is the first to have one. Does nothing where there was
    /// no quiet.
    pub(crate) fn end_quiet(&mut self) {
        if std::mem::take(&mut self.is_quiet) {
            self.call(&[b"CLIENT", b"REPLY", b"ON"]);
        }
    }

    /// For what can be done without: a user who lacks the right is no trouble to tell of.
    pub(crate) fn that_may_be_refused(mut self) -> Self {
        self.may_be_refused = true;
        self
    }

    /// Whether a refusal is no trouble.
    pub(crate) fn may_be_refused(&self) -> bool {
        self.may_be_refused
    }

    /// Adds a command.
    pub(crate) fn add(&mut self, command: &Cmd) {
        self.packed.extend_from_slice(&command.get_packed_command());
        self.count();
    }

    /// Adds a command, by its name and its arguments.
    pub(crate) fn call(&mut self, arguments: &[&[u8]]) {
        self.make_room(arguments.len(), arguments.iter().map(|argument| argument.len()).sum());
        self.begin(arguments.len());
        arguments.iter().for_each(|argument| self.argument(argument));
    }

    /// Begins a command of so many arguments, its name counted. They follow by [`Commands::argument`].
    pub(crate) fn begin(&mut self, arguments: usize) {
        self.line(b'*', arguments);
        self.count();
    }

    fn count(&mut self) {
        self.many += 1;
        self.unanswered += usize::from(self.is_quiet);
    }

    /// The next argument of the command that was begun.
    pub(crate) fn argument(&mut self, argument: &[u8]) {
        self.line(b'$', argument.len());
        self.packed.extend_from_slice(argument);
        self.packed.extend_from_slice(b"\r\n");
    }

    /// Their bytes so far, as they are sent.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.len()
    }

    /// The bytes written after a given position.
    pub(crate) fn since(&self, bytes: usize) -> &[u8] {
        self.packed.get(bytes..).unwrap_or_default()
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.many
    }

    /// How many replies they have.
    pub(crate) fn replies(&self) -> usize {
        self.many - self.unanswered
    }

    /// Whether the first reply is that of the end of a quiet.
    pub(crate) fn began_quiet(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.many == 0
    }

    /// As they are sent.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.packed.freeze()
    }

    /// Takes them out. Once they have been sent and dropped, what is written next lies where they lay: of what is written for long the
    /// memory is not asked for again and again.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            packed: self.packed.split(),
            many: std::mem::take(&mut self.many),
            unanswered: std::mem::take(&mut self.unanswered),
            is_quiet: std::mem::take(&mut self.is_quiet),
            may_be_refused: self.may_be_refused,
        }
    }

    /// A mark and a number: two of them for each item of a chunk, so without the formatting machinery.
    fn line(&mut self, mark: u8, mut number: usize) {
        let mut line = [mark; 23];
        line[21..].copy_from_slice(b"\r\n");
        let mut first = 21;
        loop {
            first -= 1;
            line[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.packed.extend_from_slice(&line[first - 1..]);
    }
}

impl From<&Pipeline> for Commands {
    fn from(commands: &Pipeline) -> Self {
        Self {
            packed: BytesMut::from(Bytes::from(commands.get_packed_pipeline())),
            many: commands.len(),
            ..Self::default()
        }
    }
}

impl From<&Cmd> for Commands {
    fn from(command: &Cmd) -> Self {
        Self {
            packed: BytesMut::from(Bytes::from(command.get_packed_command())),
            many: 1,
            ..Self::default()
        }
    }
}

#[cfg(test)]
impl Commands {
    /// Each as the crate would have it.
    pub(crate) fn parsed(&self) -> Vec<Cmd> {
        let mut values = super::resp::Values::of(&self.packed);
        let command = |_| {
            let mut command = Cmd::new();
            for _ in 0..values.array().unwrap() {
                command.arg(values.bytes().unwrap());
            }
            command
        };
        (0..self.many).map(command).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_the_crate_writes_them() {
        let mut whole = redis::cmd("XADD");
        whole.arg("key").arg("").arg(&b"\r\n\0"[..]).arg(1234567);
        let mut commands = Commands::default();
        assert!(commands.is_empty());
        commands.add(&whole);
        commands.call(&[b"XADD", b"key", b"", b"\r\n\0", b"1234567"]);
        assert_eq!(commands.len(), 2);
        let packed = whole.get_packed_command();
        assert_eq!(commands.into_bytes(), [packed.clone(), packed].concat());
    }

    #[test]
    fn what_is_quiet_has_no_replies() {
        let mut commands = Commands::default();
        commands.end_quiet();
        assert!(commands.is_empty());
        commands.begin_quiet();
        commands.call(&[b"XADD"]);
        commands.add(&redis::cmd("XADD"));
        commands.end_quiet();
        commands.end_quiet();
        commands.call(&[b"XLEN"]);
        assert!(commands.began_quiet());
        assert_eq!((commands.len(), commands.replies()), (5, 2));
        let sent = commands.take();
        assert_eq!((sent.len(), sent.replies(), sent.began_quiet()), (5, 2, true));
        assert_eq!(
            (commands.len(), commands.replies(), commands.began_quiet()),
            (0, 0, false)
        );
        let names: Vec<_> = sent.parsed().iter().map(Cmd::args_iter).map(Iterator::count).collect();
        assert_eq!(names, [3, 1, 1, 3, 1]);
    }

    #[test]
    fn what_was_sent_leaves_its_memory() {
        let mut commands = Commands::default();
        commands.make_room(1, 100_000);
        let mut places = Vec::new();
        for _ in 0..3 {
            commands.begin(1);
            commands.argument(&[b'x'; 70_000]);
            let sent = commands.take();
            assert_eq!((sent.len(), commands.len(), commands.bytes()), (1, 0, 0));
            places.push(sent.into_bytes().as_ptr());
        }
        assert!(places.iter().all(|place| *place == places[0]));
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 4096, usize::MAX] {
            let mut commands = Commands::default();
            commands.begin(number);
            assert_eq!(commands.into_bytes(), format!("*{number}\r\n"));
        }
    }
}
