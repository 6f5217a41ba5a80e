//! Sections of tables that have names, such as `[hooks.shop]`. Their secrets stand in variables.

use toml::{Table, Value};

use crate::config::section::{Report, Section, join};

const NAME_BYTES_MAX: usize = 32;

/// A section of tables that have names.
#[derive(Clone, Copy)]
pub(super) struct Named {
    /// Its own name.
    pub section: &'static str,
    /// One of its tables, for messages.
    pub example: &'static str,
    /// What a table stands for, with its article.
    pub what: &'static str,
    /// The keys that are variables and stand in no file.
    pub secrets: &'static [&'static str],
}

impl Named {
    /// The tables with their names. One that only variables make is none.
    pub(super) fn tables(self, report: &Report, value: Option<Value>) -> impl Iterator<Item = (String, Section<'_>)> {
        let table = match value {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                report.error(self.section, format!("expected tables such as [{}]", self.example));
                Table::new()
            }
        };
        table.into_iter().filter_map(move |(name, value)| {
            let path = join(self.section, &name);
            let is_only_secrets = value
                .as_table()
                .is_some_and(|keys| keys.keys().all(|key| self.secrets.contains(&&**key)));
            if let Some(variable) = report.variable_of(&path).filter(|_| is_only_secrets) {
                report.error(
                    &path,
                    format!("{variable} is its secret, and the file has no [{path}]: is the variable's name right?"),
                );
                return None;
            }
            if !is_name(&name) {
                report.error(
                    &path,
                    format!(
                        "`{name}` is no name of {}: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and `_`, no `__`",
                        self.what
                    ),
                );
            }
            let section = Section::new(report, path, Some(value));
            section.is_given().then_some((name, section))
        })
    }
}

/// The names that a variable can spell: `LISTCACHE_HOOKS__SHOP__SECRET`.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) && !name.contains("__")
}
