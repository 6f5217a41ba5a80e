//! Losses: listings that a new configuration would make unreachable. A file that is empty, or written to its half, is
//! well-formed all the same.

use std::collections::BTreeSet;

use crate::listing::{Definition, Definitions, ListingName, definition::Resolved};

/// The losses against the configuration in use, if they are too many to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Losses {
    /// The names of listings, as they are configured.
    pub listings: Vec<String>,
    /// Whether no name could be pushed any more.
    pub pushed: bool,
    /// The listings in use.
    pub of: usize,
}

impl Losses {
    /// All listings, more than half of them, the last ones of an origin, or all names that may be pushed.
    pub(super) fn between(running: &Definitions, read: &Definitions) -> Option<Self> {
        let (lost, kept): (Vec<_>, Vec<_>) = running
            .defined
            .iter()
            .partition(|definition| !is_filled(definition, read));
        let origins = |definitions: &[&std::sync::Arc<Definition>]| -> BTreeSet<Box<str>> {
            definitions.iter().map(|definition| definition.origin.clone()).collect()
        };
        let is_most = lost.len() * 2 > running.defined.len();
        let is_an_origins_last = !origins(&lost).is_subset(&origins(&kept));
        let pushed = !running.pushed.names.is_empty() && read.pushed.names.is_empty();
        (is_most || is_an_origins_last || pushed).then(|| Self {
            listings: lost
                .iter()
                .map(|definition| definition.pattern.as_str().to_owned())
                .collect(),
            pushed,
            of: running.defined.len(),
        })
    }

    /// The keys of the configuration that lack something.
    pub(super) fn paths(&self) -> Vec<String> {
        let paths = [("listings", !self.listings.is_empty()), ("pushed.names", self.pushed)];
        let lacking = paths.into_iter().filter(|(_, lacks)| *lacks);
        lacking.map(|(path, _)| path.to_owned()).collect()
    }
}

/// Whether names of a definition are filled by some definition of others, whatever it is called there.
fn is_filled(definition: &Definition, others: &Definitions) -> bool {
    let values = vec!["x"; definition.pattern.parameters().count()];
    let name = definition.pattern.fill(&values);
    let name = name.and_then(|name| ListingName::parse(&name).ok());
    name.is_none_or(|name| matches!(others.resolve(&name), Resolved::Defined(_)))
}

#[cfg(test)]
mod tests {
    use crate::config::Sources;

    use super::*;

    /// Definitions of listings, each as `name@origin`, and globs of names that may be pushed.
    fn definitions(listings: &[&str], pushed: &[&str]) -> Definitions {
        let mut text = format!("[pushed]\nnames = {pushed:?}\n");
        for origin in ["a", "b"] {
            text += &format!("[origins.{origin}]\nkind = 'sql'\nurl = 'sqlite:x.db'\n");
        }
        for listing in listings {
            let (name, origin) = listing.split_once('@').unwrap();
            text += &format!(
                "[[listings]]\nname = '{name}'\norigin = '{origin}'\nquery = 'select 1 as id'\nsorts.id = {{ by = ['id'] }}\n"
            );
        }
        Sources::default().load_text(&text).unwrap().definitions
    }

    #[test]
    fn all_most_or_an_origins_last_are_too_much_to_lose() {
        let running = definitions(&["a:{x}@a", "b:{x}@a", "c@a", "d:{x}-{y}@b"], &["p:*"]);
        let lost = |listings: &[&str], pushed: &[&str]| {
            let losses = Losses::between(&running, &definitions(listings, pushed));
            losses.map(|losses| (losses.listings.join(" "), losses.pushed))
        };
        let pushed = &["p:*"][..];
        let lost_listings = |listings: &[&str]| lost(listings, pushed).map(|(listings, _)| listings);
        assert_eq!(lost_listings(&[]).unwrap(), "a:{x} b:{x} c d:{x}-{y}");
        assert_eq!(lost_listings(&["d:{x}-{y}@b"]).unwrap(), "a:{x} b:{x} c");
        assert_eq!(lost_listings(&["a:{x}@a", "b:{x}@a", "c@a"]).unwrap(), "d:{x}-{y}");
        // Half may go; a parameter or an origin may have another name.
        assert_eq!(lost_listings(&["c@a", "d:{x}-{y}@b"]), None);
        assert_eq!(lost_listings(&["a:{z}@b", "b:{z}@b", "c@b", "d:{v}-{w}@a"]), None);
        let same = ["a:{x}@a", "b:{x}@a", "c@a", "d:{x}-{y}@b"];
        assert_eq!(lost(&same, &[]), Some((String::new(), true)));
        assert_eq!(lost(&same, &["q:*"]), None);
        assert_eq!(Losses::between(&definitions(&[], &[]), &running), None);
    }
}
