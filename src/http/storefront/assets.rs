//! The storefront's files, as they are: no build step, nothing from outside, nothing inline.

/// One file: its path, its media type, its text.
pub(super) type Asset = (&'static str, &'static str, &'static str);

/// The shop's page, with [`PLAIN`] where the shop without JavaScript stands.
pub(super) const INDEX: &str = include_str!("index.html");
/// The mark in [`INDEX`].
pub(super) const PLAIN: &str = "<!-- plain -->";

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The page's rights in a browser: only files from this server.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// All files but the page.
pub(super) const ASSETS: [Asset; 15] = [
    ("/storefront/style.css", CSS, include_str!("style.css")),
    ("/storefront/icon.svg", SVG, include_str!("icon.svg")),
    ("/storefront/app.js", SCRIPT, include_str!("app.js")),
    ("/storefront/artwork.js", SCRIPT, include_str!("artwork.js")),
    ("/storefront/asking.js", SCRIPT, include_str!("asking.js")),
    ("/storefront/cards.js", SCRIPT, include_str!("cards.js")),
    ("/storefront/categories.js", SCRIPT, include_str!("categories.js")),
    ("/storefront/elements.js", SCRIPT, include_str!("elements.js")),
    ("/storefront/filters.js", SCRIPT, include_str!("filters.js")),
    ("/storefront/live.js", SCRIPT, include_str!("live.js")),
    ("/storefront/pager.js", SCRIPT, include_str!("pager.js")),
    ("/storefront/plain.css", CSS, include_str!("plain.css")),
    ("/storefront/place.js", SCRIPT, include_str!("place.js")),
    ("/storefront/price.js", SCRIPT, include_str!("price.js")),
    ("/storefront/served.js", SCRIPT, include_str!("served.js")),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/storefront");
        let there: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|file| !file.ends_with(".rs") && file != "index.html")
            .collect();
        let served = ASSETS.iter().filter_map(|(path, ..)| path.strip_prefix("/storefront/"));
        assert_eq!(there, served.map(str::to_owned).collect());
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_outside() {
        assert_eq!(INDEX.matches(PLAIN).count(), 1);
        for (path, _, text) in ASSETS.into_iter().chain([("/", HTML, INDEX)]) {
            for forbidden in [
                "style=",
                "onclick=",
                "innerHTML",
                "insertAdjacentHTML",
                "eval(",
                "https://",
                "<style",
            ] {
                assert!(!text.contains(forbidden), "{path} holds {forbidden}");
            }
        }
    }
}
