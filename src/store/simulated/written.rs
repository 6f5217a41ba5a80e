//! Generations written aside, chunk by chunk, and what evictions take of them.

use super::{
    client::{Client, SimulatedGeneration, turn},
    server::{Replies, Turn},
};
use crate::{
    listing::{ChunkIndex, Codec, Generation, Head, Item, ListingKey, Policy},
    store::{
        layout::{
            chunk_codec::{Entry, add_chunk},
            delta_codec::{chunk_field, sealed},
            head_codec::read_for_writing,
            kept_codec::{KeptRead, Placed},
            packed::PlainChunk,
            sidecar_codec::{Description, write_sidecar},
        },
        wire::commands::Commands,
        writing::{
            aside::in_flight::{BUILDING_LIFE, check_written},
            lives::Named,
        },
    },
};

impl Client {
    /// The next chunk of a generation; the `first` of its own makes the stream, unless it is a delta.
    pub(crate) fn write_chunk(&self, written: &SimulatedGeneration, index: u64, items: &[Item], first: bool) -> Turn {
        let SimulatedGeneration { key, generation, .. } = written;
        let (index, life) = (ChunkIndex(index), BUILDING_LIFE.as_millis() as u64);
        let mut commands = Commands::default();
        match &written.delta {
            None => {
                let stream = self.keys.stream(key, *generation);
                add_chunk(&mut commands, &stream, index, Entry::Items(items), !first);
                commands.add(redis::cmd("PEXPIRE").arg(&stream).arg(life));
            }
            Some(delta) => {
                let (place, field) = (self.keys.deltas(key, delta.base), chunk_field(*generation, index));
                let value = sealed(&place, &field, PlainChunk::of(items).unwrap().unpacked());
                commands.call(&[b"HSET", place.key().as_bytes(), field.as_bytes(), &value]);
                for condition in ["NX", "GT"] {
                    commands.add(redis::cmd("PEXPIRE").arg(&place).arg(life).arg(condition));
                }
            }
        }
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
            codec: Codec::Plain,
        };
        let mut life = redis::cmd("PEXPIRE");
        life.arg(&sidecar).arg(BUILDING_LIFE.as_millis() as u64);
        let mut commands = Commands::default();
        write_sidecar(&mut commands, &sidecar, written.generation, &description, None);
        commands.add(&life);
        read_for_writing(&mut commands, &self.keys, &written.key, KeptRead::All);
        turn(commands.parsed())
    }

    /// The keys that an eviction takes: one that stands for a generation.
    pub(crate) fn unlink_part(&self, key: &ListingKey, head: &Head, part: usize) -> Turn {
        let named = Named::new(&self.keys, key, [&Placed::of(head)], 0);
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(&named.keys()[part % named.keys().len()]);
        turn([unlink])
    }

    pub(crate) fn is_written(replies: Replies) -> bool {
        // Behind it stand the lives, which are long enough at times.
        check_written(replies.0.into_iter().take(1).collect(), "stream").is_ok()
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
