//! How a node listens: as `store::hearing::subscriber` does it, which awaits where this goes on with an event.

use super::{
    network::{Number, Sender, Tick},
    node::Operation,
    truth::Violation,
    world::{DELAY, MILLISECOND, SECOND, World},
};
use crate::store::simulated::{Client, Replies, Step};

/// A server that takes longer is given up.
const ANSWER_TIMEOUT: u64 = 700 * MILLISECOND;

impl World {
    pub(super) fn subscribe(&mut self, node: Number) {
        let subscription = &mut self.nodes[node].subscription;
        if subscription.up {
            return;
        }
        subscription.number += 1;
        subscription.reading = true;
        subscription.comparing = false;
        subscription.resumed = false;
        subscription.waiting.clear();
        let number = subscription.number;
        self.send(
            node,
            Client::ping(),
            Operation::Subscribe { subscription: number },
            ANSWER_TIMEOUT,
        );
    }

    pub(super) fn lose_subscription(&mut self, node: Number) {
        let back_off = self.random.u64(10 * MILLISECOND..SECOND / 2);
        let node_state = &mut self.nodes[node];
        node_state.subscription.number += 1;
        node_state.subscription.up = false;
        node_state.disturbed_until = u64::MAX;
        self.tick_later(node, back_off, Tick::Subscribe);
    }

    pub(super) fn subscribed(&mut self, node: Number, subscription: u64, replies: Option<Replies>) {
        if self.nodes[node].subscription.number != subscription {
            return;
        }
        if replies.is_none() {
            return self.lose_subscription(node);
        }
        let run = self.redis.run.to_string();
        let step = self.nodes[node].client.logs.resume(&run);
        self.go_on_listening(node, step);
    }

    pub(super) fn message(&mut self, node: Number, payload: Vec<u8>) -> Result<(), Violation> {
        let subscription = &mut self.nodes[node].subscription;
        subscription.waiting.push_back(payload);
        if !subscription.reading {
            self.go_on_listening(node, Step::Listen);
        }
        Ok(())
    }

    pub(super) fn compare(&mut self, node: Number) {
        let subscription = &mut self.nodes[node].subscription;
        if !subscription.resumed || subscription.reading || subscription.comparing {
            return;
        }
        subscription.comparing = true;
        let number = subscription.number;
        let (from, turn) = self.nodes[node].client.logs.compare();
        let operation = Operation::Log {
            subscription: number,
            from,
            comparison: true,
        };
        self.send(node, turn, operation, ANSWER_TIMEOUT);
    }

    /// What a log held.
    pub(super) fn log_read(&mut self, to: Sender, operation: Operation, replies: Option<Replies>) {
        let Operation::Log {
            subscription,
            from,
            comparison,
        } = operation
        else {
            unreachable!()
        };
        let node = to.node;
        if self.nodes[node].subscription.number != subscription {
            return;
        }
        let Some(replies) = replies else {
            return self.lose_subscription(node);
        };
        if comparison && self.nodes[node].subscription.reading {
            // One thing after the other.
            let operation = Operation::Log {
                subscription,
                from,
                comparison,
            };
            self.answer_again(to, operation, replies);
            return;
        }
        if comparison {
            self.nodes[node].subscription.comparing = false;
        }
        let mut heard = Vec::new();
        let step = self.nodes[node].client.logs.take_reading(&from, replies, &mut heard);
        self.apply(node, heard, false);
        self.go_on_listening(node, step);
    }

    pub(super) fn newest_read(&mut self, node: Number, subscription: u64, replies: Option<Replies>) {
        if self.nodes[node].subscription.number != subscription {
            return;
        }
        let Some(replies) = replies else {
            return self.lose_subscription(node);
        };
        let heard = self.nodes[node].client.logs.take_newest(replies);
        self.apply(node, vec![heard], false);
        self.go_on_listening(node, Step::Listen);
    }

    /// Does what is next, until there is nothing but to listen.
    fn go_on_listening(&mut self, node: Number, mut step: Step) {
        loop {
            let number = self.nodes[node].subscription.number;
            match step {
                Step::Read(from, turn) => {
                    self.nodes[node].subscription.reading = true;
                    let operation = Operation::Log {
                        subscription: number,
                        from,
                        comparison: false,
                    };
                    self.send(node, turn, operation, ANSWER_TIMEOUT);
                    return;
                }
                Step::BeginEpoch(turn) => {
                    self.nodes[node].subscription.reading = true;
                    let operation = Operation::Newest { subscription: number };
                    self.send(node, turn, operation, ANSWER_TIMEOUT);
                    return;
                }
                Step::Listen => {
                    let node_state = &mut self.nodes[node];
                    node_state.subscription.reading = false;
                    if !node_state.subscription.resumed {
                        node_state.subscription.resumed = true;
                        node_state.disturbed_until = self.now + DELAY;
                    }
                    let Some(message) = node_state.subscription.waiting.pop_front() else {
                        return;
                    };
                    let mut heard = Vec::new();
                    step = node_state.client.logs.hear(&message, &mut heard);
                    self.apply(node, heard, false);
                }
            }
        }
    }
}
