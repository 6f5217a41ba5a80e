//! `export`: pushed listings go into a file from which `load` restores them.
//!
//! A generation is immutable, so a listing is exported as it was at one moment: its head is read once, then that generation's chunks. Should a
//! push replace it and its chunks vanish meanwhile, the listing is begun anew.

use std::{
    io::{self, BufWriter, Stdout},
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use super::{
    configured, failed,
    format::{ExportWriter, ListingBegins},
    many,
    source::{Place, Source},
    unusable,
};
use crate::{
    app::connect,
    cli::outcome::{CommandError, Outcome},
    config::Environment,
    listing::{ListingKey, NameGlobs},
    store::{Exportable, LAYOUT, Layout1, StoreError},
    telemetry::{Metrics, complain},
};

/// Chunks that are read in one turn; one, where a reply would be larger than `redis.reply_max`.
const CHUNKS_A_TURN: u64 = 16;
/// How often a listing is begun, if it is replaced each time while it is read.
const BEGUN_MAX: u32 = 5;
/// The exit code if a part was exported.
const IN_PART: u8 = 2;

pub(in crate::cli) async fn run(environment: Environment, layout: Option<u32>, glob: &str) -> Outcome {
    let (config, options) = configured(environment)?;
    let globs = NameGlobs::parse([glob])
        .map_err(|(glob, why)| CommandError::Refused(format!("`{glob}` is no glob of names: {why}")))?;
    let source = match layout {
        Some(old) if old == Layout1::LAYOUT => Source::Layout1(Layout1::open(&options).await.map_err(unusable)?),
        None => present(options).await?,
        Some(same) if same == LAYOUT => present(options).await?,
        Some(other) => {
            return Err(CommandError::Refused(format!(
                "--layout {other}: this version reads the layouts {} to {LAYOUT}",
                Layout1::LAYOUT
            )));
        }
    };
    let out = BufWriter::with_capacity(64 * 1024, io::stdout());
    let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let prefix = &config.redis.prefix;
    let writer = ExportWriter::begin(out, layout.unwrap_or(LAYOUT), prefix, glob, &at).map_err(unwritten())?;
    let mut export = Export {
        source,
        writer,
        globs,
        listings: 0,
        items: 0,
        with_origin: 0,
        gone: 0,
        broken: Vec::new(),
    };
    export.all().await?;
    export.end(glob)
}

async fn present(options: crate::store::StoreOptions) -> Result<Source, CommandError> {
    Ok(Source::Present(connect(options, Arc::new(Metrics::new())).await?))
}

fn unwritten() -> impl FnOnce(io::Error) -> CommandError {
    // A reader that is gone has not got all, so this is never a success.
    CommandError::io("cannot write the export")
}

/// The outcome of reading a generation.
enum Read {
    Whole,
    /// Something is not as it should be.
    Torn(String),
}

struct Export {
    source: Source,
    writer: ExportWriter<BufWriter<Stdout>>,
    globs: NameGlobs,
    listings: u64,
    items: u64,
    /// Listings of definitions.
    with_origin: u64,
    /// Names whose heads are gone, or tombstones.
    gone: u64,
    /// Listings that could not be exported, and why.
    broken: Vec<(String, String)>,
}

impl Export {
    async fn all(&mut self) -> Result<(), CommandError> {
        for partition in 0..self.source.partitions() {
            let mut after: Option<String> = None;
            loop {
                let names = self.source.names(partition, after.as_deref()).await;
                let names = names.map_err(failed("cannot read the names of listings"))?;
                for text in &names {
                    match ListingKey::parse(text) {
                        Some(listing) if self.globs.fits(listing.name()) => {
                            self.listing(&Place { partition, listing }).await?;
                        }
                        Some(_) => {}
                        None => self.give_up(text, "its name is no listing's: another program wrote it".to_owned())?,
                    }
                }
                let Some(last) = names.into_iter().next_back() else {
                    break;
                };
                after = Some(last);
            }
        }
        Ok(())
    }

    async fn listing(&mut self, place: &Place) -> Result<(), CommandError> {
        let key = place.listing.to_string();
        for _ in 0..BEGUN_MAX {
            let exportable = match self.current(place).await? {
                Ok(Some(exportable)) => exportable,
                Ok(None) => {
                    self.gone += 1;
                    return Ok(());
                }
                Err(reason) => return self.give_up(&key, reason),
            };
            if !exportable.is_pushed {
                self.with_origin += 1;
                return Ok(());
            }
            if !place.listing.family.choices.is_empty() || place.listing.stored.own_desc {
                return self.give_up(&key, "no push writes such a listing".to_owned());
            }
            self.writer
                .listing(&ListingBegins {
                    name: place.listing.name().as_str(),
                    sort: place.listing.sort().as_str(),
                    items: exportable.total,
                    generation: exportable.generation.to_string(),
                    as_of: exportable.as_of.rfc3339(),
                })
                .map_err(unwritten())?;
            match self.items(place, &exportable).await? {
                Read::Whole => {
                    self.writer.end_listing().map_err(unwritten())?;
                    self.listings += 1;
                    self.items += exportable.total;
                    return Ok(());
                }
                Read::Torn(reason) => {
                    let now = self.current(place).await?;
                    let is_replaced =
                        now.is_ok_and(|now| now.is_none_or(|now| now.generation != exportable.generation));
                    if !is_replaced {
                        return self.give_up(&key, reason);
                    }
                    let reason = "it was replaced while it was read; it follows as it is now";
                    self.writer.break_listing(&key, reason).map_err(unwritten())?;
                }
            }
        }
        self.give_up(&key, format!("it was replaced {BEGUN_MAX} times while it was read"))
    }

    /// The current generation; else why there is none that can be read.
    async fn current(&mut self, place: &Place) -> Result<Result<Option<Exportable>, String>, CommandError> {
        match self.source.current(place).await {
            Err(error @ StoreError::Corrupt { .. }) => Ok(Err(error.to_string())),
            answer => answer.map(Ok).map_err(failed("cannot read a head")),
        }
    }

    async fn items(&mut self, place: &Place, exportable: &Exportable) -> Result<Read, CommandError> {
        let chunk_len = u64::from(exportable.chunk_len.get());
        let chunks = exportable.total.div_ceil(chunk_len);
        let (mut next, mut a_turn) = (0, CHUNKS_A_TURN);
        while next < chunks {
            let range = next..chunks.min(next + a_turn);
            let read = match self.source.items(place, exportable, range).await {
                Ok(read) => read,
                Err(StoreError::TooLarge { .. }) if a_turn > 1 => {
                    a_turn = 1;
                    continue;
                }
                Err(error @ (StoreError::Corrupt { .. } | StoreError::TooLarge { .. })) => {
                    return Ok(Read::Torn(error.to_string()));
                }
                Err(error) => return Err(failed("cannot read items")(error)),
            };
            if read.is_empty() {
                return Ok(Read::Torn(format!("chunk {next} of {chunks} is missing")));
            }
            for items in read {
                let expected = chunk_len.min(exportable.total - next * chunk_len);
                if items.len() as u64 != expected {
                    let found = items.len();
                    return Ok(Read::Torn(format!(
                        "chunk {next} has {found} items and should have {expected}"
                    )));
                }
                for item in &items {
                    self.writer.item(item).map_err(unwritten())?;
                }
                next += 1;
            }
        }
        Ok(Read::Whole)
    }

    fn give_up(&mut self, listing: &str, reason: String) -> Result<(), CommandError> {
        self.writer.break_listing(listing, &reason).map_err(unwritten())?;
        self.broken.push((listing.to_owned(), reason));
        Ok(())
    }

    fn end(self, glob: &str) -> Outcome {
        let broken = self.broken.len() as u64;
        self.writer.end(self.listings, broken).map_err(unwritten())?;
        complain(&format!(
            "exported {} with {}; left out {} with an origin, and {} deleted or expired",
            many(self.listings, "listing"),
            many(self.items, "item"),
            many(self.with_origin, "listing"),
            self.gone,
        ));
        for (listing, reason) in &self.broken {
            complain(&format!("not exported: {listing}: {reason}"));
        }
        if broken > 0 {
            complain(&format!(
                "{} could not be exported: push them again",
                many(broken, "listing")
            ));
        }
        match (self.listings, broken) {
            (0, 0) => Err(CommandError::Refused(format!(
                "no pushed listing has a name that fits `{glob}`"
            ))),
            (_, 0) => Ok(ExitCode::SUCCESS),
            (0, _) => Ok(ExitCode::FAILURE),
            _ => Ok(ExitCode::from(IN_PART)),
        }
    }
}
