//! nginx serving the page's bytes from a file, packed anew for each request.

use super::{Server, nginx};
use crate::{Outcome, machine::Machine};

/// Under `/page`, at the level that nginx has by default.
pub fn start(machine: &Machine, body: &[u8]) -> Outcome<Server> {
    nginx::start(
        machine,
        "gzip on;\ngzip_comp_level 1;\ngzip_types application/json;",
        |directory| {
            nginx::let_all_read(directory)?;
            std::fs::write(directory.join("page"), body)?;
            Ok(format!(
                "root {};\nlocation / {{ default_type application/json; }}",
                directory.display()
            ))
        },
    )
}
