//! Answers of Redis: each goes to the step of the node that asked.

use super::{
    network::Sender,
    node::Operation,
    truth::Violation,
    world::{WRITE_TIMEOUT, World},
};
use crate::store::simulated::Replies;

impl World {
    /// An answer has come, or will not.
    pub(super) fn answered(
        &mut self,
        to: Sender,
        operation: Operation,
        replies: Option<Replies>,
    ) -> Result<(), Violation> {
        let node = to.node;
        match (operation, replies) {
            (operation @ Operation::Head { .. }, replies) => self.head_read(node, to.operation, operation, replies)?,
            (Operation::Chunks { reader, head, chunks }, replies) => {
                self.chunks_read(node, reader, head, &chunks, replies)?;
            }
            (Operation::Pinned { walk, chunks }, replies) => self.pinned_read(node, walk, &chunks, replies)?,
            (Operation::Subscribe { subscription }, replies) => self.subscribed(node, subscription, replies),
            (operation @ Operation::Log { .. }, replies) => self.log_read(to, operation, replies),
            (Operation::Newest { subscription }, replies) => self.newest_read(node, subscription, replies),
            (Operation::Claim, Some(replies)) => self.claimed(node, replies),
            (Operation::DueLater, Some(replies)) => self.far_off(node, replies),
            (
                Operation::Draw {
                    place,
                    owner,
                    nonce,
                    asked,
                },
                Some(replies),
            ) => self.drawn(node, place, owner, nonce, asked, replies)?,
            (Operation::Chunk { refresh }, replies) => self.chunk_written(node, refresh, replies),
            (Operation::Before { refresh }, replies) => {
                if self.nodes[node].refreshes.contains_key(&refresh) {
                    let key = self.nodes[node].refreshes[&refresh].generation.key.clone();
                    let before = replies.and_then(|replies| self.nodes[node].client.take_before(&key, replies).ok());
                    match before {
                        Some(before) => self.publish_after(node, refresh, &before),
                        None => self.abandon(node, refresh, None),
                    }
                }
            }
            (Operation::Publish { refresh, head }, replies) => self.published(node, refresh, head, replies),
            (Operation::BeforeDelete { place }, Some(replies)) => {
                let key = &self.listings[place];
                let nonce = self.random.u32(..);
                let before = self.nodes[node].client.take_before(key, replies).unwrap();
                let turn = self.nodes[node].client.delete(key, nonce, &before, &self.policy);
                self.send(node, turn, Operation::Delete { place, nonce }, WRITE_TIMEOUT);
            }
            (Operation::Delete { place, nonce }, Some(replies)) => self.deleted(node, place, nonce, replies),
            (Operation::Extend { refresh, asked }, Some(replies)) => self.extended(node, refresh, asked, &replies),
            (_, None) | (Operation::Forgotten, _) => {}
        }
        Ok(())
    }
}
