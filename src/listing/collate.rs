//! In which language's order texts are sorted.

use std::{fmt, sync::Arc};

use icu_locale_core::Locale;

/// A locale, or what names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collate {
    /// As BCP 47 writes it: `de`, `sv`, `de-u-co-phonebk`.
    Locale(Arc<str>),
    /// That of a variant's chosen value: `lang`, or a property of it, `store.locale`.
    OfVariant(Arc<str>),
}

impl Collate {
    /// Takes `de` for a locale and `:lang` for a variant. `None` where a locale is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(':') {
            Some(variant) => Some(Self::OfVariant(variant.into())),
            None => is_locale(text).then(|| Self::Locale(text.into())),
        }
    }
}

/// Whether a text is a locale (BCP 47, UTS #35). One that nobody speaks is one too: it has the order of its nearest relative.
pub fn is_locale(text: &str) -> bool {
    Locale::try_from_str(text).is_ok()
}

impl fmt::Display for Collate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locale(locale) => f.write_str(locale),
            Self::OfVariant(variant) => write!(f, ":{variant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_and_variants_are_told_apart() {
        for (text, expect) in [
            ("de", Some(Collate::Locale("de".into()))),
            ("de-u-co-phonebk", Some(Collate::Locale("de-u-co-phonebk".into()))),
            (":store.locale", Some(Collate::OfVariant("store.locale".into()))),
            ("", None),
            ("utf8mb4_german2_ci", None),
            ("german sorting", None),
        ] {
            assert_eq!(Collate::parse(text), expect, "{text}");
        }
    }
}
