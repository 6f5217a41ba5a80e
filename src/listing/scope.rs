//! Scope: which families a warm-up is for, of those that the definitions enumerate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use globset::{Glob, GlobSet, GlobSetBuilder};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    definition::{Definition, Definitions, Variant},
    key::Family,
    name::ListingName,
};

/// Families of one name that are warmed at most: a definition with more combinations of variants is a mistake.
pub const FAMILIES_A_NAME_MAX: usize = 1000;

/// Globs of names.
#[derive(Clone, Debug, Default)]
pub struct NameGlobs {
    texts: BTreeSet<String>,
    set: GlobSet,
}

/// By their texts.
impl PartialEq for NameGlobs {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl NameGlobs {
    /// Parses globs; which one is none, and why, otherwise.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, (String, String)> {
        let texts: BTreeSet<String> = texts.into_iter().map(str::to_owned).collect();
        let mut globs = GlobSetBuilder::new();
        for text in &texts {
            globs.add(Glob::new(text).map_err(|error| (text.clone(), error.kind().to_string()))?);
        }
        let set = globs.build().map_err(|error| (String::new(), error.to_string()))?;
        Ok(Self { texts, set })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them fits.
    pub fn fits(&self, name: &ListingName) -> bool {
        self.set.is_match(name.as_str())
    }
}

/// Which variants of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VariantsOf {
    /// The default value of each.
    #[default]
    Default,
    /// Every combination.
    All,
    /// The default ones, and what was read.
    Read,
}

impl VariantsOf {
    /// Every word, with what it stands for.
    pub const WORDS: [(&'static str, Self); 3] = [("default", Self::Default), ("all", Self::All), ("read", Self::Read)];
}

/// Which families a warm-up is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WarmScope {
    /// Only names that one of these fits; all where there is none.
    pub include: NameGlobs,
    /// No name that one of these fits.
    pub exclude: NameGlobs,
    /// Which variants.
    pub variants: VariantsOf,
    /// Variants that have these values, whatever `variants` says.
    pub chosen: BTreeMap<String, Vec<String>>,
}

impl WarmScope {
    /// Whether a name is among those meant.
    pub fn takes(&self, name: &ListingName) -> bool {
        (self.include.is_empty() || self.include.fits(name)) && !self.exclude.fits(name)
    }

    /// The parts that do not fit the definitions, in words: undeclared choices, or too many combinations.
    pub fn misfit(&self, definitions: &Definitions) -> Option<String> {
        let declared = |parameter: &str| {
            let variants = definitions.defined.iter().flat_map(|definition| &definition.variants);
            let of_it = variants.filter(|variant| *variant.parameter == *parameter);
            of_it
                .flat_map(|variant| variant.values.iter().cloned())
                .collect::<BTreeSet<Arc<str>>>()
        };
        for (parameter, values) in &self.chosen {
            let declared = declared(parameter);
            if declared.is_empty() {
                return Some(format!("no listing has a variant `{parameter}`"));
            }
            if let Some(value) = values.iter().find(|value| !declared.contains(value.as_str())) {
                let declared: Vec<&str> = declared.iter().map(|value| &**value).collect();
                return Some(format!(
                    "`{parameter}` is never `{value}`; it is one of {}",
                    declared.join(", ")
                ));
            }
        }
        let too_many = definitions.defined.iter().find(|definition| {
            let combinations = definition.variants.iter().map(|variant| self.values(variant).len());
            combinations.fold(1, usize::saturating_mul) > FAMILIES_A_NAME_MAX
        })?;
        Some(format!(
            "`{}` has more than {FAMILIES_A_NAME_MAX} combinations of variants",
            too_many.pattern.as_str()
        ))
    }

    /// The values of a variant that are meant.
    fn values<'a>(&self, variant: &'a Variant) -> Vec<&'a str> {
        let declared = variant.values.iter().map(|value| &**value);
        match (self.chosen.get(&*variant.parameter), self.variants) {
            (Some(chosen), _) => declared
                .filter(|value| chosen.iter().any(|chosen| chosen == value))
                .collect(),
            (None, VariantsOf::All) => declared.collect(),
            (None, VariantsOf::Default | VariantsOf::Read) => declared.take(1).collect(),
        }
    }

    /// The families of a name, the default one first where it is meant; at most [`FAMILIES_A_NAME_MAX`], and as many of
    /// `read`, those of the name that were read, for [`VariantsOf::Read`].
    pub fn families(&self, definition: &Definition, name: &ListingName, read: &[Family]) -> Vec<Family> {
        let mut all: Vec<BTreeMap<&str, &str>> = vec![BTreeMap::new()];
        for variant in &definition.variants {
            let mut with_it = Vec::new();
            for before in &all {
                for value in self.values(variant) {
                    let mut choices = before.clone();
                    choices.insert(&variant.parameter, value);
                    with_it.push(choices);
                }
            }
            with_it.truncate(FAMILIES_A_NAME_MAX);
            all = with_it;
        }
        let of_choices = |choices: BTreeMap<&str, &str>| Family {
            name: name.clone(),
            choices: definition.choices(&choices),
        };
        let mut families: Vec<Family> = all.into_iter().map(of_choices).collect();
        if self.variants == VariantsOf::Read {
            let is_meant = |family: &&Family| {
                definition.declares(&family.choices)
                    && !families.contains(family)
                    && family.choices.iter().all(|(parameter, value)| {
                        let chosen = self.chosen.get(&**parameter);
                        chosen.is_none_or(|chosen| chosen.iter().any(|chosen| **chosen == **value))
                    })
            };
            let read = read.iter().filter(is_meant).take(FAMILIES_A_NAME_MAX);
            families.extend(read.cloned().collect::<Vec<_>>());
        }
        families
    }

    /// The name of this scope among jobs: the same command has the same name.
    pub fn job(&self, skip_fresh: bool) -> u64 {
        let mut text = String::new();
        // Lengths keep neighbouring texts apart.
        for globs in [&self.include.texts, &self.exclude.texts] {
            let _ = write!(text, "{};", globs.len());
            for glob in globs {
                let _ = write!(text, "{}:{glob};", glob.len());
            }
        }
        let _ = write!(text, "{:?};{skip_fresh};", self.variants);
        for (parameter, values) in &self.chosen {
            let values: BTreeSet<&String> = values.iter().collect();
            let _ = write!(text, "{parameter}={};", values.len());
            for value in values {
                let _ = write!(text, "{}:{value};", value.len());
            }
        }
        xxh3_64(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{
        SortName,
        definition::{Descending, Links, Sort},
        pattern::NamePattern,
    };

    fn definition() -> Definition {
        let variant = |parameter: &str, values: [&str; 2]| Variant {
            parameter: parameter.into(),
            properties: Vec::new(),
            values: values.map(Arc::from).to_vec(),
        };
        Definition {
            pattern: NamePattern::parse("category:{category}").unwrap(),
            origin: "shop".into(),
            query: None,
            version_query: None,
            id: "id".into(),
            names: None,
            names_of: None,
            next_change_query: None,
            item_query: None,
            sorts: vec![Sort {
                name: SortName::parse("price").unwrap(),
                by: Vec::new(),
                desc: Descending::Mirrored,
            }],
            variants: vec![variant("currency", ["EUR", "USD"]), variant("segment", ["b2c", "b2b"])],
            filters: Default::default(),
            hidden: Default::default(),
            policy: Default::default(),
            fields: Vec::new(),
            links: Links::Pinned,
            hashes: Default::default(),
        }
    }

    fn scope(variants: VariantsOf, chosen: &[(&str, &[&str])]) -> WarmScope {
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        WarmScope {
            variants,
            chosen: chosen
                .iter()
                .map(|(parameter, values)| ((*parameter).to_owned(), texts(values)))
                .collect(),
            ..WarmScope::default()
        }
    }

    #[track_caller]
    fn check(scope: &WarmScope, read: &[&str], expect: &[&str]) {
        let read: Vec<Family> = read.iter().map(|text| Family::parse(text).unwrap()).collect();
        let name = ListingName::parse("category:BREAD").unwrap();
        let families = scope.families(&definition(), &name, &read);
        let texts: Vec<String> = families
            .iter()
            .map(|family| family.to_string().replacen("category:BREAD?", "", 1))
            .collect();
        assert_eq!(texts, expect);
    }

    #[test]
    fn variants_are_the_default_all_chosen_or_read() {
        check(&scope(VariantsOf::Default, &[]), &[], &["currency=EUR&segment=b2c"]);
        let all = [
            "currency=EUR&segment=b2c",
            "currency=EUR&segment=b2b",
            "currency=USD&segment=b2c",
            "currency=USD&segment=b2b",
        ];
        check(&scope(VariantsOf::All, &[]), &[], &all);
        check(
            &scope(VariantsOf::Default, &[("currency", &["USD"])]),
            &[],
            &["currency=USD&segment=b2c"],
        );
        check(&scope(VariantsOf::All, &[("currency", &["USD"])]), &[], &all[2..]);
        let read = [
            "category:BREAD?currency=USD&segment=b2c",
            "category:BREAD?currency=EUR&segment=b2c",
            // No longer declared.
            "category:BREAD?currency=CHF&segment=b2c",
        ];
        check(
            &scope(VariantsOf::Read, &[]),
            &read,
            &["currency=EUR&segment=b2c", "currency=USD&segment=b2c"],
        );
        check(
            &scope(VariantsOf::Read, &[("currency", &["EUR"])]),
            &read,
            &["currency=EUR&segment=b2c"],
        );
    }

    #[test]
    fn what_nobody_declares_is_told() {
        let definitions = Definitions {
            defined: vec![Arc::new(definition())],
            pushed: crate::listing::definition::Pushed {
                names: GlobSet::empty(),
                policy: Default::default(),
                filters: Vec::new(),
            },
        };
        let told = |chosen: &[(&str, &[&str])]| scope(VariantsOf::Default, chosen).misfit(&definitions);
        assert_eq!(told(&[("currency", &["USD"])]), None);
        assert_eq!(
            told(&[("colour", &["red"])]).unwrap(),
            "no listing has a variant `colour`"
        );
        assert_eq!(
            told(&[("currency", &["USD", "CHF"])]).unwrap(),
            "`currency` is never `CHF`; it is one of EUR, USD"
        );
    }

    #[test]
    fn the_same_scope_is_the_same_job_however_it_is_written() {
        let globs = |texts: &[&str]| NameGlobs::parse(texts.iter().copied()).unwrap();
        let of = |include: &[&str]| WarmScope {
            include: globs(include),
            ..WarmScope::default()
        };
        assert_eq!(of(&["a*", "b*"]).job(false), of(&["b*", "a*", "b*"]).job(false));
        assert_ne!(of(&["a*", "b*"]).job(false), of(&["a*"]).job(false));
        assert_ne!(of(&["a*"]).job(false), of(&["a*"]).job(true));
        let excluding = WarmScope {
            exclude: globs(&["a*"]),
            ..WarmScope::default()
        };
        assert_ne!(of(&["a*"]).job(false), excluding.job(false));
        let chosen = |values: &[&str]| scope(VariantsOf::Default, &[("currency", values)]).job(false);
        assert_eq!(chosen(&["EUR", "USD"]), chosen(&["USD", "EUR"]));
        assert_ne!(chosen(&["EUR", "USD"]), chosen(&["EUR"]));
    }

    #[test]
    fn globs_include_and_exclude_names() {
        let scope = WarmScope {
            include: NameGlobs::parse(["category:*"]).unwrap(),
            exclude: NameGlobs::parse(["*SEASONAL*"]).unwrap(),
            ..WarmScope::default()
        };
        let takes = |name| scope.takes(&ListingName::parse(name).unwrap());
        assert!(takes("category:BREAD") && !takes("category:SEASONAL/EASTER") && !takes("all"));
        assert_eq!(NameGlobs::parse(["a", "[b"]).unwrap_err().0, "[b");
    }
}
