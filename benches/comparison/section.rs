//! One row of the bench, measured.

use std::fmt;

use super::claims;

/// One row of the bench.
pub struct Section {
    pub title: &'static str,
    /// Its tables.
    pub text: String,
    pub claims: Vec<claims::Claim>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "### {}\n\n{}", self.title, self.text)?;
        write!(f, "{}", claims::table(&self.claims))
    }
}
