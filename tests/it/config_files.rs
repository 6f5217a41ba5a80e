//! The example files are good, and each bad one gives exactly the errors beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use listcache::config::Sources;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config")
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no example in {}", folder.display());
    files
}

fn load(file: &Path) -> Result<listcache::config::Config, listcache::config::ConfigErrors> {
    // No file holds a secret.
    let secret = ("LISTCACHE_HOOKS__SHOPIFY__SECRET", "a-secret-for-tests");
    let has_hook = fs::read_to_string(file).is_ok_and(|text| text.contains("[hooks.shopify]"));
    let sources = Sources {
        file: Some(file.to_owned()),
        environment: has_hook.then_some(secret).into_iter().collect(),
        ..Sources::default()
    };
    sources.load()
}

#[test]
fn every_example_is_good() {
    let demo = fixtures().with_file_name("demo.toml");
    for file in toml_files(&fixtures()).into_iter().chain([demo]) {
        if let Err(errors) = load(&file) {
            panic!("{errors}");
        }
    }
}

/// With `BLESS` set in the environment the expected errors are written instead: read the difference before you commit it.
#[test]
fn every_bad_file_gives_exactly_its_errors() {
    let bless = std::env::var_os("BLESS").is_some();
    for file in toml_files(&fixtures().join("bad")) {
        let Err(errors) = load(&file) else {
            panic!("{} was taken", file.display());
        };
        let found: String = errors.errors.iter().map(|error| format!("{error}\n")).collect();
        let expected = file.with_extension("expected");
        if bless {
            fs::write(expected, found).unwrap();
        } else {
            let expected = fs::read_to_string(&expected).unwrap_or_default();
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

/// The table of keys in the manual and the checked keys are the same: a key that is read but not documented is found here.
#[test]
fn the_full_example_and_the_manual_name_every_key() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let full: toml::Table = fs::read_to_string(fixtures().join("full.toml"))
        .unwrap()
        .parse()
        .unwrap();
    for section in ["http", "admin", "redis", "l1", "defaults", "pushed", "warm"] {
        for key in full[section].as_table().unwrap().keys() {
            assert!(
                manual.contains(&format!("| `{key}` |")),
                "docs/configuration.md lacks {section}.{key}"
            );
        }
    }
    for key in full["hooks"]["shopify"].as_table().unwrap().keys() {
        assert!(
            manual.contains(&format!("| `{key}` |")),
            "docs/configuration.md lacks hooks.<name>.{key}"
        );
    }
}

#[test]
fn the_shops_are_good() {
    let shops = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shops.md")).unwrap();
    let examples: Vec<&str> = shops
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(examples.len(), shops.matches("\n## ").count(), "one a shop");
    for example in examples {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.toml");
        fs::write(&file, example).unwrap();
        let config = load(&file).unwrap_or_else(|errors| panic!("{errors}:\n{example}"));
        assert_eq!(config.warnings(), [""; 0], "{example}");
    }
}

#[test]
fn the_manual_prints_the_examples() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    for name in ["full.toml", "api.toml"] {
        let example = fs::read_to_string(fixtures().join(name)).unwrap();
        assert!(
            manual.contains(&format!("```toml\n{example}```\n")),
            "docs/configuration.md prints another {name}"
        );
    }
}
