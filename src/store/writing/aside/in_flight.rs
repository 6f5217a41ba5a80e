//! Pipelines of one generation that were sent and are not answered: Redis takes them in while the writer fills the next.
//!
//! Only the last entry of a pipeline is answered (`CLIENT REPLY OFF`, if the user may say that). A reply for each entry would cost Redis a
//! call for every 20 KB, and the reader a wake-up. The publish counts the entries, so a quiet error is found there.

use std::{collections::VecDeque, sync::Arc, task::Poll, time::Duration};

use futures_util::{FutureExt, poll};
use redis::{Pipeline, Value};
use tokio::task::JoinHandle;

use crate::store::{
    access::Access,
    error::StoreError,
    wire::{commands::Commands, reply},
};

/// How long what is unpublished outlives its writer's last batch.
pub(crate) const BUILDING_LIFE: Duration = Duration::from_secs(60);
/// With one alone Redis would often wait for the writer, or the writer for Redis.
const PIPELINES_MAX: usize = 2;
const OPERATION: &str = "write generation";

/// Pipelines that were sent, in their order. Where it is dropped they arrive even so: they add nothing to a stream that was
/// unlinked.
#[derive(Default)]
pub(crate) struct OnTheirWay {
    pipelines: VecDeque<JoinHandle<Result<(), StoreError>>>,
    /// Empty: the memory of pipelines that were sent, one for each that may be on its way.
    spare: VecDeque<Commands>,
}

impl OnTheirWay {
    /// Sends a pipeline, once there is room for it, and leaves memory for the next one in its place. That an earlier one did
    /// not arrive is told here.
    pub(crate) async fn send(
        &mut self,
        access: &Arc<Access>,
        stream_key: &str,
        batch: &mut Commands,
    ) -> Result<(), StoreError> {
        while self.pipelines.len() >= PIPELINES_MAX {
            self.first_arrived().await?;
        }
        let sent = batch.take();
        let next = match self.spare.len() >= PIPELINES_MAX {
            true => self.spare.pop_front().unwrap_or_default(),
            false => Commands::default(),
        };
        self.spare.push_back(std::mem::replace(batch, next));
        // On the connection before this returns, so that entries arrive in their order; from there on nobody need wait.
        let mut work = deliver(access.clone(), stream_key.to_owned(), sent).boxed();
        match poll!(&mut work) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                self.pipelines.push_back(access.runtime.spawn(work));
                Ok(())
            }
        }
    }

    /// Waits for all of them.
    pub(crate) async fn all_arrived(&mut self) -> Result<(), StoreError> {
        while !self.pipelines.is_empty() {
            self.first_arrived().await?;
        }
        Ok(())
    }

    async fn first_arrived(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.pipelines.pop_front() else {
            return Ok(());
        };
        match first.await {
            Ok(outcome) => outcome,
            // The runtime is ending.
            Err(_) => Err(StoreError::unavailable(OPERATION, "the write broke off")),
        }
    }
}

/// Sends a pipeline and waits until it has arrived.
pub(crate) async fn deliver(access: Arc<Access>, stream_key: String, batch: Commands) -> Result<(), StoreError> {
    check_written(access.redis.write(OPERATION, batch).await?, &stream_key)
}

/// Fails where the stream was gone.
pub(crate) fn check_written(replies: Vec<Value>, stream_key: &str) -> Result<(), StoreError> {
    for reply in replies {
        let reply = reply::answered(reply, OPERATION, stream_key)?;
        let replies = match reply {
            Value::Array(in_transaction) => in_transaction,
            reply => vec![reply],
        };
        for reply in replies {
            match reply::answered(reply, OPERATION, stream_key)? {
                // XADD found no stream, or PEXPIRE did not.
                Value::Nil | Value::Int(0) => {
                    return Err(StoreError::corrupt(
                        stream_key,
                        "the stream is gone while it is being written",
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Unlinks what was written aside. A failure changes nothing: it has an expiry.
pub(super) async fn unlink(access: &Access, keys: &[String]) {
    let mut turn = Pipeline::new();
    turn.cmd("UNLINK").arg(keys);
    let _ = access.redis.write("unlink generation", &turn).await;
}
