//! What was measured, as a table.

use std::{fmt, slice};

use super::server::Server;

/// Below this the worker waited for something, and the row says nothing.
const BUSY_LEAST: f64 = 0.95;

/// One kind of request, measured in rounds.
pub struct Row<'a> {
    name: &'static str,
    pub server: &'a Server,
    pub path: &'static str,
    pub header: Option<&'a str>,
    /// The row that it is compared with.
    against: Option<usize>,
    pub rounds: Vec<Round>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub struct Round {
    pub requests_per_second: f64,
    /// The worker's processor time by the time that went by.
    pub busy: f64,
    pub micros_per_request: f64,
}

impl<'a> Row<'a> {
    pub fn new(
        name: &'static str,
        server: &'a Server,
        path: &'static str,
        header: Option<&'a str>,
        against: Option<usize>,
    ) -> Self {
        Self {
            name,
            server,
            path,
            header,
            against,
            rounds: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// The median of the rounds' ratios.
    fn ratio(&self, against: &Self, of: impl Fn(&Round) -> f64) -> f64 {
        median(
            self.rounds
                .iter()
                .zip(&against.rounds)
                .map(|(this, that)| of(this) / of(that))
                .collect(),
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// All rows.
pub struct Rows<'a>(Vec<Row<'a>>);

impl<'a> Rows<'a> {
    pub fn new(rows: Vec<Row<'a>>) -> Self {
        Self(rows)
    }

    pub fn iter(&self) -> slice::Iter<'_, Row<'a>> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> slice::IterMut<'_, Row<'a>> {
        self.0.iter_mut()
    }
}

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {:<16} | requests/s | ratio    | worker busy | CPU µs/request | ratio    |",
            ""
        )?;
        writeln!(
            f,
            "|{:-<18}|-----------:|---------:|------------:|---------------:|---------:|",
            ""
        )?;
        for row in &self.0 {
            let against = row.against.and_then(|at| self.0.get(at));
            let ratio =
                |of: fn(&Round) -> f64| against.map_or(String::new(), |with| format!("{:.3}", row.ratio(with, of)));
            let busy = row.median(|round| round.busy);
            // Compared with a row that says nothing, a row says nothing either.
            let is_void = [Some(row), against]
                .into_iter()
                .flatten()
                .any(|row| row.median(|round| round.busy) < BUSY_LEAST);
            writeln!(
                f,
                "| {:<16} | {:>10.0} | {:>8} | {:>9.1} % | {:>14.2} | {:>8} |{}",
                row.name,
                row.median(|round| round.requests_per_second),
                ratio(|round| round.requests_per_second),
                100.0 * busy,
                row.median(|round| round.micros_per_request),
                ratio(|round| round.micros_per_request),
                if is_void {
                    " void: a worker was not the bottleneck"
                } else {
                    ""
                },
            )?;
        }
        Ok(())
    }
}
