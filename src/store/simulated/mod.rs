//! The store without a network, for the simulation: a Redis that is a value, running the scripts themselves, and the turns
//! of a node as values, built and taken apart by the code that the store uses.

mod agreement;
mod changes;
mod client;
mod data;
mod logs;
mod server;
mod values;
mod written;

pub(crate) use self::changes::Recordings;
pub(crate) use self::client::{Before, Client, How, SimulatedGeneration, SimulatedLease};
pub(crate) use self::logs::{From, Step};
pub(crate) use self::server::{Replies, Server, Snapshot, Turn};
pub(crate) use super::writing::publish::Answer;
