//! One kind of request to one server under load, measured round after round beside the others.

use super::{
    Effort, Outcome,
    load::{self, Asked},
    machine::Machine,
    sample::Sample,
    series::Series,
    servers::Server,
};

/// Below this the server waited for something, and the lane says nothing of it.
const BUSY_LEAST: f64 = 0.95;
/// From here on it may be the load that was slow.
const LOAD_BUSY_MOST: f64 = 0.95;
const CONNECTIONS: u32 = 64;

pub struct Lane<'a> {
    pub name: String,
    server: &'a Server,
    path: String,
    header: Option<String>,
    pub rates: Series,
    pub micros: Series,
    busy: Series,
    load_busy: Series,
}

impl<'a> Lane<'a> {
    pub fn new(name: impl Into<String>, server: &'a Server, path: impl Into<String>, header: Option<&str>) -> Self {
        Self {
            name: name.into(),
            server,
            path: path.into(),
            header: header.map(str::to_owned),
            rates: Series::default(),
            micros: Series::default(),
            busy: Series::default(),
            load_busy: Series::default(),
        }
    }

    /// What it answers, once it is warm.
    pub fn sample(&self) -> Outcome<Sample> {
        let headers: Vec<&str> = self.header.as_deref().into_iter().collect();
        Sample::take(&self.server.address, &self.path, &headers)
    }

    /// Fails unless it answers with this status and this coding.
    pub fn expect(&self, status: u16, coding: &str) -> Outcome<()> {
        let sample = self.sample()?;
        let (found, found_coding) = (sample.status()?, sample.header("content-encoding")?);
        if (found, found_coding.as_str()) == (status, coding) {
            return Ok(());
        }
        Err(format!(
            "{}: status {found}, coding {found_coding:?}, not {status}, {coding:?}",
            self.name
        )
        .into())
    }

    /// One round.
    pub fn measure(&mut self, machine: &Machine, effort: &Effort) -> Outcome<()> {
        let asked = Asked {
            address: &self.server.address,
            path: &self.path,
            header: self.header.as_deref(),
            script: None,
            connections: CONNECTIONS,
        };
        let before = self.server.used()?;
        let load = load::run(machine.for_load("wrk"), &asked, effort.duration)?;
        let used = self.server.used()?.saturating_sub(before).as_secs_f64();
        self.rates.push(load.requests_per_second);
        self.micros.push(used * 1e6 / load.requests as f64);
        self.busy.push(used / load.elapsed.as_secs_f64());
        self.load_busy.push(load.busy);
        Ok(())
    }

    /// What was measured so far does not count.
    pub fn forget(&mut self) {
        for series in [&mut self.rates, &mut self.micros, &mut self.busy, &mut self.load_busy] {
            *series = Series::default();
        }
    }

    /// Why it says nothing, if it does not.
    pub fn void(&self) -> Option<&'static str> {
        if self.busy.median() < BUSY_LEAST {
            Some("void: server < 95 % busy")
        } else if self.load_busy.median() >= LOAD_BUSY_MOST {
            Some("void: load ≥ 95 % busy")
        } else {
            None
        }
    }

    /// Cells of a table: name, requests a second, their ratio to another lane's, how busy server and load were, processor time and its ratio.
    pub fn cells(&self, to: &Self) -> [String; 8] {
        let is_other = !std::ptr::eq(self, to);
        let is_void = self.void().or(to.void()).is_some();
        let ratio = |this: &Series, that: &Series| match (is_other, is_void) {
            (false, _) => String::new(),
            (true, false) => format!("{:.3}", this.ratio(that)),
            // Of something that says nothing.
            (true, true) => format!("({:.3})", this.ratio(that)),
        };
        [
            self.name.clone(),
            format!("{:.0}", self.rates.median()),
            ratio(&self.rates, &to.rates),
            format!("{:.1} %", 100.0 * self.busy.median()),
            format!("{:.1} %", 100.0 * self.load_busy.median()),
            format!("{:.2}", self.micros.median()),
            ratio(&self.micros, &to.micros),
            self.void().unwrap_or_default().to_owned(),
        ]
    }
}

/// The head of a table of such cells.
pub const HEAD: [&str; 8] = [
    "",
    "requests/s",
    "ratio",
    "server busy",
    "load busy",
    "CPU µs/request",
    "ratio",
    "remark",
];
