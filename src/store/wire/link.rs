//! An open connection, as its askers see it: commands go out in the order of the calls, and each call gets its replies.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{
    commands::Commands,
    dial::Dialled,
    traffic::{NoAnswer, Request, Traffic},
};

/// Requests that wait for the task that sends them. Callers beyond this limit wait.
const ASKED_MAX: usize = 256;

/// An open connection. It is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    /// Whether the server lets commands have no replies, see [`Commands::begin_quiet`].
    pub keeps_quiet: bool,
}

impl Link {
    /// Over a stream on which hello was said. `lost` is called when the connection ends by itself. Must be called inside a
    /// runtime.
    pub(crate) fn start(dialled: Dialled, lost: impl FnOnce(io::Error) + Send + 'static) -> Self {
        let (requests, asked) = mpsc::channel(ASKED_MAX);
        let keeps_quiet = dialled.keeps_quiet;
        let traffic = Traffic::new(dialled, asked);
        tokio::spawn(async move {
            if let Err(error) = traffic.await {
                lost(error);
            }
        });
        Self { requests, keeps_quiet }
    }

    /// Sends commands and waits for their replies, each as it came, `within` at most once they are on their way. A caller that
    /// stops waiting has sent them all the same.
    pub(crate) async fn ask(&self, commands: Commands, within: Duration) -> Result<Vec<Bytes>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            commands,
            within,
            answer,
        };
        self.requests.send(request).await.map_err(|_| NoAnswer::Lost)?;
        answered.await.unwrap_or(Err(NoAnswer::Lost))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A link, the server's end of its stream, and why it was lost.
    fn link() -> (Link, DuplexStream, oneshot::Receiver<io::Error>) {
        // So little fits that everything comes and goes in pieces.
        let (ours, theirs) = duplex(8);
        let (tell, told) = oneshot::channel();
        let lost = move |error| {
            let _ = tell.send(error);
        };
        let dialled = Dialled {
            stream: Box::new(ours),
            keeps_quiet: true,
            reply_max: 32,
        };
        (Link::start(dialled, lost), theirs, told)
    }

    /// An address that does not answer.
    const LONG: Duration = Duration::from_secs(3600);

    fn ping() -> Commands {
        (&redis::cmd("PING")).into()
    }

    #[tokio::test]
    async fn each_gets_its_replies_though_another_went_away() {
        let (link, mut server, lost) = link();
        let mut gone = Box::pin(link.ask(ping(), LONG));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        let mut two = ping();
        two.add(&redis::cmd("PING"));
        let serve = async {
            let mut asked = vec![0; 3 * ping().into_bytes().len()];
            server.read_exact(&mut asked).await.unwrap();
            server
                .write_all(b"+gone\r\n>1\r\n+push\r\n$4\r\na\r\nb\r\n-no\r\n")
                .await
                .unwrap();
            server
        };
        let (replies, server) = tokio::join!(link.ask(two, LONG), serve);
        assert_eq!(replies.unwrap(), [&b"$4\r\na\r\nb\r\n"[..], b"-no\r\n"]);
        drop(server);
        assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(link.ask(ping(), LONG).await, Err(NoAnswer::Lost));
    }

    #[tokio::test]
    async fn who_is_late_is_told_and_its_replies_are_no_others() {
        let (link, mut server, _lost) = link();
        let patient = link.ask(ping(), LONG);
        let short = Duration::from_millis(1);
        let hasty = async {
            assert_eq!(link.ask(ping(), short).await, Err(NoAnswer::Late));
            assert_eq!(link.ask(ping(), short).await, Err(NoAnswer::Late));
        };
        let serve = async {
            let mut asked = vec![0; 3 * ping().into_bytes().len()];
            server.read_exact(&mut asked).await.unwrap();
        };
        tokio::pin!(patient);
        tokio::select! {
            biased;
            answer = &mut patient => panic!("{answer:?}"),
            _ = async { tokio::join!(hasty, serve) } => {}
        }
        let after = link.ask(ping(), LONG);
        let serve = server.write_all(b"+1\r\n+2\r\n+3\r\n+4\r\n");
        let (patient, after, written) = tokio::join!(patient, after, serve);
        written.unwrap();
        assert_eq!(patient.unwrap(), [&b"+1\r\n"[..]]);
        assert_eq!(after.unwrap(), [&b"+4\r\n"[..]]);
    }

    fn quiet_ping() -> Commands {
        let mut commands = Commands::default();
        commands.begin_quiet();
        commands.add(&redis::cmd("PING"));
        commands.end_quiet();
        commands.add(&redis::cmd("PING"));
        commands
    }

    #[tokio::test]
    async fn what_was_quiet_has_the_replies_after_its_end() {
        let (link, mut server, _lost) = link();
        let serve = async {
            let mut asked = vec![0; quiet_ping().bytes() + ping().bytes()];
            server.read_exact(&mut asked).await.unwrap();
            server.write_all(b"+OK\r\n+1\r\n+2\r\n").await.unwrap();
        };
        let (quiet, after, ()) = tokio::join!(link.ask(quiet_ping(), LONG), link.ask(ping(), LONG), serve);
        assert_eq!(quiet.unwrap(), [&b"+OK\r\n"[..], b"+1\r\n"]);
        assert_eq!(after.unwrap(), [&b"+2\r\n"[..]]);
    }

    #[tokio::test]
    async fn who_does_not_keep_quiet_is_left_before_a_reply_is_taken_for_another() {
        let (link, mut server, lost) = link();
        let serve = async {
            let mut asked = vec![0; quiet_ping().bytes() + ping().bytes()];
            server.read_exact(&mut asked).await.unwrap();
            // Where it is left it cannot write all of it.
            let _ = server.write_all(b"-NOPERM\r\n+1\r\n+OK\r\n+2\r\n+3\r\n").await;
        };
        let (quiet, after, ()) = tokio::join!(link.ask(quiet_ping(), LONG), link.ask(ping(), LONG), serve);
        assert_eq!((quiet, after), (Err(NoAnswer::Lost), Err(NoAnswer::Lost)));
        assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::Other);
    }

    #[tokio::test]
    async fn replies_that_are_too_large_end_it_and_say_so_to_who_asked() {
        // One reply, and several of one asker; those of two askers are not added up.
        for (large, asked) in [
            (&b"$30\r\n"[..], 1),
            (b"$20\r\n12345678901234567890\r\n$8\r\n12345678\r\n", 2),
        ] {
            let (link, mut server, lost) = link();
            let mut commands = Commands::default();
            (0..asked).for_each(|_| commands.add(&redis::cmd("PING")));
            let before = link.ask(ping(), LONG);
            // It hangs up in the end: then nobody waits for the rest.
            let serve = async move {
                let mut sent = vec![0; (asked + 1) * ping().bytes()];
                server.read_exact(&mut sent).await.unwrap();
                server.write_all(b"$20\r\n12345678901234567890\r\n").await.unwrap();
                // Where it is left it cannot write all of it.
                let _ = server.write_all(large).await;
            };
            let (before, too_large, ()) = tokio::join!(before, link.ask(commands, LONG), serve);
            assert!(before.is_ok());
            assert_eq!(too_large, Err(NoAnswer::TooLarge));
            assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::Other);
        }
    }

    #[tokio::test]
    async fn what_nobody_has_asked_for_ends_it() {
        for unasked in [&b"+OK\r\n"[..], b"junk\r\n"] {
            let (link, mut server, lost) = link();
            server.write_all(unasked).await.unwrap();
            lost.await.unwrap();
            assert_eq!(link.ask(ping(), LONG).await, Err(NoAnswer::Lost));
        }
    }
}
