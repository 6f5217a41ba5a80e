//! Generations written aside, chunk by chunk, and what evictions take of them.

use super::{
    client::{Client, SimulatedGeneration, turn},
    server::{Replies, Turn},
};
use crate::{
    listing::{ChunkIndex, Generation, Item, ListingKey, Policy},
    store::{
        layout::{
            chunk_codec::add_chunk,
            head_codec::{KeptGeneration, read_head},
            sidecar_codec::{Description, write_sidecar},
        },
        wire::commands::Commands,
        writing::{finished::BUILDING_LIFE, in_flight::check_written, lives::Named},
    },
};

impl Client {
    /// The next chunk of a generation; the `first` of its own makes the stream.
    pub(crate) fn write_chunk(
        &self,
        key: &ListingKey,
        generation: Generation,
        index: u64,
        items: &[Item],
        first: bool,
    ) -> Turn {
        let stream = self.keys.stream(key, generation);
        let mut life = redis::cmd("PEXPIRE");
        life.arg(&stream).arg(BUILDING_LIFE.as_millis() as u64);
        let mut commands = Commands::default();
        add_chunk(&mut commands, &stream, ChunkIndex(index), items, !first);
        commands.add(&life);
        turn(commands.parsed())
    }

    /// All chunks are written: the sidecar follows, and the head is read.
    pub(crate) fn finish(&self, written: &SimulatedGeneration, policy: &Policy) -> Turn {
        let sidecar = self.keys.sidecar(&written.key, written.generation);
        let description = Description {
            total: written.total,
            chunk_len: policy.chunk_len,
            has_keys: false,
            delta: written.delta.clone(),
        };
        let mut life = redis::cmd("PEXPIRE");
        life.arg(&sidecar).arg(BUILDING_LIFE.as_millis() as u64);
        let mut commands = Commands::default();
        write_sidecar(&mut commands, &sidecar, written.generation, &description, None);
        commands.add(&life);
        read_head(&mut commands, self.keys.head(&written.key).key());
        turn(commands.parsed())
    }

    /// The keys that an eviction takes: one that stands for a generation.
    pub(crate) fn unlink_part(&self, key: &ListingKey, generation: Generation, part: usize) -> Turn {
        let mut keys = Vec::new();
        let whole = KeptGeneration { generation, base: None };
        Named::new([whole]).add_keys(&mut keys, &self.keys, key);
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(&keys[part % keys.len()]);
        turn([unlink])
    }

    pub(crate) fn is_written(replies: Replies) -> bool {
        check_written(replies.0, "stream").is_ok()
    }

    pub(crate) fn unlink(&self, key: &ListingKey, generation: Generation) -> Turn {
        let mut unlink = redis::cmd("UNLINK");
        unlink
            .arg(self.keys.stream(key, generation))
            .arg(self.keys.sidecar(key, generation));
        turn([unlink])
    }

    /// The keys that an eviction takes.
    pub(crate) fn unlink_head(&self, key: &ListingKey) -> Turn {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.keys.head(key));
        turn([unlink])
    }
}
