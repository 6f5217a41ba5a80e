//! What is kept already, and what a warm-up would come to.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, stream};
use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use super::{CommandError, arguments::WarmOptions, progress, warm::Target};
use crate::{
    app::{App, say},
    engine::{Asked, Engine, ListingState},
    listing::{ListingKey, Order},
    origin::{Read, ReadOrder},
};

/// Listings asked for at once.
const LISTINGS_A_CALL: usize = 1000;
/// What Redis takes for an item besides its id and JSON, measured with chunks of 12.
const BYTES_AN_ITEM: u64 = 50;
/// What a stream takes that holds next to nothing.
const BYTES_A_STREAM_MIN: u64 = 4500;

/// The listings that are kept in Redis.
#[derive(Debug, Default)]
pub(super) struct Kept {
    listings: HashMap<ListingKey, (ListingState, u64)>,
}

impl Kept {
    pub(super) fn is_fresh(&self, key: &ListingKey) -> bool {
        matches!(self.listings.get(key), Some((ListingState::Fresh, _)))
    }

    fn total(&self, key: &ListingKey) -> Option<u64> {
        match self.listings.get(key) {
            Some((ListingState::Fresh | ListingState::Stale | ListingState::Expired, total)) => Some(*total),
            _ => None,
        }
    }
}

/// Every listing that is kept, a page of them at a time.
pub(super) async fn kept(engine: &Engine) -> Result<Kept, CommandError> {
    let mut kept = Kept::default();
    let mut after: Option<ListingKey> = None;
    loop {
        let page = engine.listings("", after.as_ref(), LISTINGS_A_CALL).await;
        let page = page.map_err(CommandError::engine("cannot list what is kept"))?;
        after = page.last().map(|entry| entry.listing.clone());
        let is_last = page.len() < LISTINGS_A_CALL;
        kept.listings.extend(
            page.into_iter()
                .map(|entry| (entry.listing, (entry.state, entry.total))),
        );
        if is_last || after.is_none() {
            return Ok(kept);
        }
    }
}

/// Listings with their items and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    listings: u64,
    items: u64,
    bytes: u64,
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            listings: self.listings + other.listings,
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({ "listings": self.listings, "items": self.items, "bytes": self.bytes })
    }
}

/// What names come to, by how that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts {
    /// Kept already: counted and measured in Redis.
    measured: Amount,
    /// Read from the origin once and counted; bytes are estimated.
    estimated: Amount,
}

/// Says what a warm-up of these names would be; writes nothing.
pub(super) async fn dry_run(
    app: &App,
    targets: &[Target],
    kept: &Kept,
    options: &WarmOptions,
) -> Result<(), CommandError> {
    let at_once = usize::try_from(options.concurrency.get()).unwrap_or(usize::MAX);
    let mut each = stream::iter(targets)
        .map(|target| amounts(app, target, kept))
        .buffer_unordered(at_once);
    let mut sum = Amounts::default();
    while let Some(amounts) = each.next().await {
        let amounts = amounts?;
        sum.measured = sum.measured.plus(amounts.measured);
        sum.estimated = sum.estimated.plus(amounts.estimated);
    }
    let all = sum.measured.plus(sum.estimated);
    if !progress::is_bar(options.progress) {
        let line = json!({
            "event": "dry-run", "names": targets.len(), "listings": all.listings, "items": all.items, "bytes": all.bytes,
            "measured": sum.measured.json(), "estimated": sum.estimated.json(),
        });
        say(&line.to_string());
        return Ok(());
    }
    let line = |amount: &Amount| {
        format!(
            "{} listings, {} items, {}",
            HumanCount(amount.listings),
            HumanCount(amount.items),
            HumanBytes(amount.bytes)
        )
    };
    say(&format!(
        "{} names would be refreshed: {}",
        HumanCount(targets.len() as u64),
        line(&all)
    ));
    if sum.measured.listings > 0 {
        say(&format!(
            "  kept in Redis already, measured there: {}",
            line(&sum.measured)
        ));
    }
    if sum.estimated.listings > 0 {
        say(&format!(
            "  not kept yet, read from the origin once, bytes estimated: {}",
            line(&sum.estimated)
        ));
    }
    Ok(())
}

async fn amounts(app: &App, target: &Target, kept: &Kept) -> Result<Amounts, CommandError> {
    let mut amounts = Amounts::default();
    let mut missing = 0;
    for key in target.listings() {
        let measured = match kept.total(&key) {
            Some(items) => stream_bytes(&app.engine, &key).await?.map(|bytes| Amount {
                listings: 1,
                items,
                bytes,
            }),
            None => None,
        };
        match measured {
            Some(amount) => amounts.measured = amounts.measured.plus(amount),
            None => missing += 1,
        }
    }
    if missing > 0 {
        let one = read_once(app, target).await?;
        amounts.estimated = Amount {
            listings: missing,
            items: one.items * missing,
            bytes: one.bytes * missing,
        };
    }
    Ok(amounts)
}

/// The memory that a listing's stream takes; `None` where it is gone.
async fn stream_bytes(engine: &Engine, key: &ListingKey) -> Result<Option<u64>, CommandError> {
    let doing = || CommandError::engine(format!("cannot measure {key}"));
    let asked = Asked {
        sort: Some(key.sort().as_str()),
        order: if key.stored.own_desc { Order::Desc } else { Order::Asc },
        choices: Vec::new(),
    };
    let selection = engine.select(key.name(), asked).await.map_err(doing())?;
    let explanation = engine.explain(&selection).await.map_err(doing())?;
    Ok(explanation.bytes)
}

/// Items and bytes of one stream of a name, by reading its origin.
async fn read_once(app: &App, target: &Target) -> Result<Amount, CommandError> {
    let doing = || CommandError::origin(format!("cannot read {} from its origin", target.name));
    let definition = Arc::clone(&target.defined.definition);
    let Some(origin) = app.engine.origins().get(&definition.origin) else {
        return Err(CommandError::Refused(format!(
            "there is no origin `{}`",
            definition.origin
        )));
    };
    let read = Read {
        defined: target.defined.clone(),
        choices: definition.choices(&Default::default()),
        order: ReadOrder::Any { columns: Vec::new() },
    };
    let mut items = origin.read(read).await.map_err(doing())?;
    let mut amount = Amount::default();
    while let Some(item) = items.next().await {
        let item = item.map_err(doing())?.item;
        amount.items += 1;
        amount.bytes += (item.id.as_str().len() + item.json.len()) as u64 + BYTES_AN_ITEM;
    }
    if amount.items > 0 {
        amount.bytes = amount.bytes.max(BYTES_A_STREAM_MIN);
    }
    Ok(amount)
}
