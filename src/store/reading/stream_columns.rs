//! The columns of a whole generation, and its items with their ids: for writers that change some of them.

use std::ops::Range;

use super::{
    decoding::decoded,
    pages::{Lying, PageReads},
};
use crate::{
    listing::{
        Delta, Generation, Head, Item, ListingKey,
        sidecar::{Column, Segments, StreamColumns},
    },
    store::{
        error::StoreError,
        layout::{
            delta_codec::{decode_segment, read_segment},
            sidecar_codec::{decode_description, read_description},
        },
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

impl PageReads {
    /// Hashes of ids of all items of a generation, and their sort keys where these are wanted and there. `None` where a segment is lost.
    pub async fn columns(
        &self,
        key: &ListingKey,
        head: &Head,
        keys: bool,
    ) -> Result<Option<StreamColumns>, StoreError> {
        const OPERATION: &str = "read columns";
        let (access, segments) = (&self.0, Segments::new(head.chunk_len));
        let whole = Delta {
            base: head.generation,
            base_of: None,
            base_chunks: head.chunks(),
            layers: Vec::new(),
        };
        let delta = head.delta.as_deref().unwrap_or(&whole);
        let columns = if keys {
            &[Column::Ids, Column::Keys][..]
        } else {
            &[Column::Ids]
        };
        let sidecar = access.keys.sidecar(key, head.generation);
        let (mut turn, mut places) = (Commands::default(), Vec::new());
        read_description(&mut turn, &sidecar);
        for column in columns {
            for first in segments.firsts(head.total) {
                let place = read_segment(&mut turn, &access.keys, (key, delta), segments, (*column, first));
                places.push((*column, place));
            }
        }
        let mut replies = access
            .redis
            .read_raw(ReplySize::Large, OPERATION, turn)
            .await?
            .into_iter();
        let description = reply::value(&replies.next().unwrap_or_default(), OPERATION)?;
        let Some(described) = decode_description(description, &sidecar, head.generation)? else {
            return Ok(None);
        };
        let keys = keys && described.has_keys;
        let (mut ids, mut sort_keys) = (Vec::new(), Vec::new());
        for ((column, place), bytes) in places.iter().zip(replies) {
            let reply = reply::value(&bytes, OPERATION)?;
            match (column, decode_segment(reply, place)?) {
                (Column::Ids, Some(segment)) => ids.push(segment),
                (Column::Keys, Some(segment)) => sort_keys.push(segment),
                // Of a stream without keys a segment of them may be there or not.
                (Column::Keys, None) if !keys => {}
                (_, None) => return Ok(None),
            }
        }
        let sort_keys = keys.then_some(&sort_keys[..]);
        Ok(StreamColumns::decode(head.chunk_len, head.total, &ids, sort_keys).ok())
    }

    /// The items of ranges of chunks, in one turn. `None` where some are lost.
    pub async fn items(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Vec<Item>>>, StoreError> {
        if ranges.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let lying = |range: &Range<u64>| Lying::of(&self.0.keys, key, generation, delta, range.clone());
        let lying: Vec<Lying<'_>> = ranges.iter().map(lying).collect();
        let mut turn = Commands::default();
        lying.iter().for_each(|lying| lying.read(&mut turn));
        let size = ReplySize::of_chunks(lying.iter().map(Lying::size).sum());
        let replies = self.0.redis.read_raw(size, "read chunks", turn).await?;
        let chunks = decoded(&self.0, key.name(), &replies, |replies, dictionaries| {
            let mut chunks = Vec::new();
            for lying in &lying {
                chunks.extend(lying.decode_items(replies, dictionaries)?);
            }
            Ok(chunks)
        });
        let chunks = chunks.await?;
        let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        Ok((chunks.len() as u64 == wanted).then_some(chunks))
    }
}
