//! nginx serving the page's bytes as a file.

use super::{Server, nginx};
use crate::{Outcome, machine::Machine};

/// Under `/page`.
pub fn start(machine: &Machine, body: &[u8]) -> Outcome<Server> {
    nginx::start(machine, "", |directory| {
        nginx::let_all_read(directory)?;
        std::fs::write(directory.join("page"), body)?;
        Ok(format!(
            "root {};\nlocation / {{ default_type application/json; }}",
            directory.display()
        ))
    })
}
