//! Reading items from a database that is a server, whichever it is.
//!
//! A read is a transaction: it sees one state of the database. The statement's columns are described first, then it is
//! put in order and run, and its rows come as the server finds them: neither the server nor this process holds more than a
//! few of them.

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    failure::{SqlFailure, Tries},
    server::{DatabaseServer, Described, begin},
    session::{Driver, SqlSession},
    statement::Statement,
    typed::{ItemColumns, ItemRows, ServerOrdered, place_of},
};
use crate::origin::{OriginError, Read, ReadOrder, batches::ItemSender};

/// Rows that are taken together, where they are there already.
const ROWS_AT_ONCE: usize = 256;

/// One read.
pub(super) struct ItemRead<'r, S> {
    pub server: &'r S,
    pub statement: &'r Statement,
    pub read: &'r Read,
    pub wanted: &'r ItemColumns,
    pub to: &'r mut ItemSender,
}

/// How far a read came.
enum Sent {
    All,
    /// Nobody waits for the rest.
    UntilGone,
}

impl<S: DatabaseServer> ItemRead<'_, S> {
    /// Reads items into the sender, until nobody waits for them.
    pub(super) async fn run(mut self) -> Result<(), OriginError> {
        let mut tries = Tries::default();
        loop {
            let mut handed_out = false;
            let longest = self.server.max_transaction_time();
            let work = self.attempt(&tries, &mut handed_out);
            let outcome = match longest {
                // When it strikes, the work is dropped, and with it the transaction.
                Some(longest) => timeout(longest, work).await.unwrap_or_else(|_| Err(held_too_long())),
                None => work.await,
            };
            match outcome {
                Err(failure) if !handed_out && tries.again_after(&failure).await => {}
                outcome => return outcome.map_err(|failure| failure.error),
            }
        }
    }

    async fn attempt(&mut self, tries: &Tries, handed_out: &mut bool) -> Result<(), SqlFailure> {
        let mut session = tokio::select! {
            biased;
            () = self.to.gone() => return Ok(()),
            begun = begin(self.server, tries) => begun?,
        };
        match self.describe_and_send(&mut session, handed_out).await {
            Ok(Sent::All) => session.finish().await,
            Ok(Sent::UntilGone) => Ok(()),
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    async fn describe_and_send(
        &mut self,
        session: &mut SqlSession<S::Driver>,
        handed_out: &mut bool,
    ) -> Result<Sent, SqlFailure> {
        let described = tokio::select! {
            biased;
            () = self.to.gone() => return Ok(Sent::UntilGone),
            described = self.server.describe(session, self.statement) => described?,
        };
        let kept = described.kept;
        let sent = self.send(session, described, handed_out).await;
        sent.map_err(|failure| failure.with_description(kept))
    }

    async fn send(
        &mut self,
        session: &mut SqlSession<S::Driver>,
        mut described: Described<S::Kind>,
        handed_out: &mut bool,
    ) -> Result<Sent, SqlFailure> {
        let ordered = self.in_order(&described)?;
        let by_server = self.ordered_by_server(&described)?;
        let places: Vec<usize> = by_server.iter().map(|(at, _)| *at).collect();
        let by_server = match self.read.order {
            ReadOrder::Any { .. } => {
                described.ranked = by_server;
                ServerOrdered::Ranked(&places)
            }
            ReadOrder::By(_) => ServerOrdered::Sorted(&places),
        };
        let mut items = ItemRows::new(&described.names(), &by_server, self.wanted)?;
        let failure = {
            let sql = S::select_items(&described, &ordered);
            let mut rows = session.rows(sql, &ordered.values)?.ready_chunks(ROWS_AT_ONCE);
            'rows: loop {
                let chunk = tokio::select! {
                    biased;
                    chunk = rows.next() => chunk,
                    () = self.to.gone() => return Ok(Sent::UntilGone),
                };
                let Some(chunk) = chunk else {
                    return Ok(Sent::All);
                };
                for row in chunk {
                    let row = match row {
                        Ok(row) => row,
                        Err(error) => break 'rows S::Driver::failure(error),
                    };
                    if !*handed_out {
                        S::compare_with(&row, &mut described)?;
                    }
                    let item = items.item(|at| S::value(&row, at, described.kind_at(at)))?;
                    *handed_out = true;
                    if self.to.push(item).await.is_err() {
                        return Ok(Sent::UntilGone);
                    }
                }
            }
        };
        if !*handed_out
            && self
                .server
                .has_no_rows(session, &described, &ordered.values, &failure)
                .await?
        {
            // One of several ids may be no value of the column: that says nothing of the others.
            return match self.read.only.as_ref().is_some_and(|ids| ids.len() > 1) {
                true => Err(OriginError::Misdeclared("an id does not fit the column".to_owned()).into()),
                false => Ok(Sent::All),
            };
        }
        Err(failure)
    }

    /// Of the columns to sort by, those whose order only the server knows, each with the kind of a rank.
    fn ordered_by_server(&self, described: &Described<S::Kind>) -> Result<Vec<(usize, S::Kind)>, OriginError> {
        let names = described.names();
        let mut ranked = Vec::new();
        for column in self.wanted.keys.iter().chain([&self.wanted.id]) {
            let at = place_of(&names, column)?;
            let is_new = ranked.iter().all(|(known, _)| *known != at);
            if let Some(kind) = S::rank_of(&described.columns[at]).filter(|_| is_new) {
                ranked.push((at, kind));
            }
        }
        Ok(ranked)
    }

    /// The statement in the order that is asked for; an error where a column to sort by is not there, or cannot be sorted by.
    fn in_order(&self, described: &Described<S::Kind>) -> Result<Statement, OriginError> {
        let names = described.names();
        let by_itself = |column: &str| S::sorts_by_itself(&described.columns[place_of(&names, column)?]);
        if let ReadOrder::Any { columns } = &self.read.order {
            for column in columns {
                by_itself(column.as_str())?;
            }
        }
        let mut ordered = self.statement.clone();
        ordered.order(self.server.dialect(), self.read, by_itself)?;
        Ok(ordered)
    }
}

fn held_too_long() -> SqlFailure {
    OriginError::Unavailable("its transaction was open for longer than `max_transaction_time`".into()).into()
}
