//! What was set out to be reached, and whether it was.

use std::fmt;

use super::table::Table;

/// What a figure is held against.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Hoped for, not required.
    Aim(f64),
    /// The same of what should be little.
    AtMostAim(f64),
}

/// One figure and its bound.
pub struct Claim {
    pub name: String,
    pub measured: f64,
    pub bound: Bound,
    /// Why the figure says nothing, if it does not.
    pub void: Option<&'static str>,
}

impl Claim {
    pub fn new(name: impl Into<String>, measured: f64, bound: Bound) -> Self {
        Self {
            name: name.into(),
            measured,
            bound,
            void: None,
        }
    }

    pub fn void_if(mut self, reason: Option<&'static str>) -> Self {
        self.void = self.void.or(reason);
        self
    }

    /// By how much the bound is kept: 1 is just so, more is better.
    pub fn margin(&self) -> f64 {
        match self.bound {
            Bound::AtLeast(bound) | Bound::Aim(bound) => self.measured / bound,
            Bound::AtMost(0.0) => 1.0 / (1.0 + self.measured),
            Bound::AtMost(bound) | Bound::AtMostAim(bound) => bound / self.measured.max(f64::MIN_POSITIVE),
        }
    }

    pub fn verdict(&self) -> &'static str {
        match (self.void, self.bound, self.margin() >= 1.0) {
            (Some(reason), ..) => reason,
            (None, Bound::Aim(_) | Bound::AtMostAim(_), true) => "aim reached",
            (None, Bound::Aim(_) | Bound::AtMostAim(_), false) => "aim not reached",
            (None, _, true) => "met",
            (None, _, false) => "**missed**",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::Aim(bound) => write!(f, "aim {bound}"),
            Self::AtMostAim(bound) => write!(f, "aim ≤ {bound}"),
        }
    }
}

/// All of them.
pub fn table(claims: &[Claim]) -> Table {
    let mut table = Table::new(["", "measured", "bound", "verdict"]);
    for claim in claims {
        table.row([
            claim.name.clone(),
            format!("{:.3}", claim.measured),
            claim.bound.to_string(),
            claim.verdict().to_owned(),
        ]);
    }
    table
}
