//! `[hooks.<name>]`: which webhooks are taken.

use toml::Value;

use super::named::Named;
use crate::{
    config::{
        GoneSign, GoneWhen, HookConfig, Secret, SignatureConfig, SignatureEncoding,
        environment::HOOK_SECRETS,
        nearest::suggestion,
        section::{Report, Section},
    },
    listing::json_pointer::JsonPointer,
};

/// The shortest secret, in bytes: it cannot be guessed from a signature that was seen.
const SECRET_BYTES_MIN: usize = 16;
const IDS_MAX: usize = 16;
const TEXTS_MAX: usize = 16;

const HOOKS: Named = Named {
    section: "hooks",
    example: "hooks.shop",
    what: "a hook",
    secrets: &HOOK_SECRETS,
};

pub(super) fn check(report: &Report, value: Option<Value>) -> Vec<HookConfig> {
    let hooks = HOOKS.tables(report, value);
    hooks.filter_map(|(name, section)| hook(section, &name)).collect()
}

fn hook(mut section: Section<'_>, name: &str) -> Option<HookConfig> {
    let secrets = secrets(&mut section, name);
    let signature = signature(&mut section);
    let ids = ids(&mut section);
    let gone_when = gone_when(&mut section);
    section.finish();
    Some(HookConfig {
        name: name.into(),
        secrets,
        signature: signature?,
        ids,
        gone_when,
    })
}

fn secrets(section: &mut Section<'_>, name: &str) -> Vec<Secret> {
    let (mut secrets, mut are_given) = (Vec::new(), false);
    for key in HOOK_SECRETS {
        are_given |= section.holds(key);
        let variable = format!(
            "LISTCACHE_HOOKS__{}__{}",
            name.to_ascii_uppercase(),
            key.to_ascii_uppercase()
        );
        let in_file = section.holds(key) && section.report.is_in_file(&section.path_of(key));
        // An error shows nothing of the value.
        if in_file {
            section.take(key);
            section.error(
                key,
                format!("secrets do not stand in the file: set {variable} or {variable}_FILE"),
            );
        } else if let Some(secret) = section.text(key) {
            if secret.len() < SECRET_BYTES_MIN {
                section.error(key, format!("too short: at least {SECRET_BYTES_MIN} bytes"));
            }
            secrets.push(Secret::new(secret));
        }
    }
    if !are_given {
        let variable = format!("LISTCACHE_HOOKS__{}__SECRET", name.to_ascii_uppercase());
        section.error(
            HOOK_SECRETS[0],
            format!("missing: set {variable} or {variable}_FILE to the secret that the sender signs with"),
        );
    }
    secrets
}

fn signature(section: &mut Section<'_>) -> Option<SignatureConfig> {
    let given = section.take("signature");
    if given.is_none() {
        section.error(
            "signature",
            "missing: the header of the signature, such as { header = \"X-Hub-Signature-256\", prefix = \"sha256=\" }",
        );
        return None;
    }
    let mut table = Section::new(section.report, section.path_of("signature"), given);
    if !table.is_given() {
        return None;
    }
    let header = table
        .required_text("header", "the name of the header with the signature")
        .and_then(|header| header_name(&table, "header", &header));
    let encoding = match table.text("encoding").as_deref() {
        None | Some("hex") => SignatureEncoding::Hex,
        Some("base64") => SignatureEncoding::Base64,
        Some(other) => {
            let suggestion = suggestion(other, ["hex", "base64"]);
            table.error(
                "encoding",
                format!("expected \"hex\" or \"base64\", found `{other}`{suggestion}"),
            );
            SignatureEncoding::Hex
        }
    };
    let prefix = table.text("prefix").unwrap_or_default();
    if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        table.error("prefix", "only visible ASCII characters can stand in a header");
    }
    table.finish();
    Some(SignatureConfig {
        header: header?,
        encoding,
        prefix: prefix.into(),
    })
}

fn ids(section: &mut Section<'_>) -> Vec<JsonPointer> {
    if !section.holds("ids") {
        section.take("ids");
        section.error(
            "ids",
            "missing: where the ids of changed items stand in the body, such as [\"/id\"]",
        );
        return Vec::new();
    }
    let report = section.report;
    let Some(texts) = section.texts("ids") else {
        return Vec::new();
    };
    if texts.is_empty() || texts.len() > IDS_MAX {
        section.error("ids", format!("expected 1 to {IDS_MAX} JSON pointers"));
    }
    let pointers = texts.iter().filter_map(|(path, text)| {
        let pointer = JsonPointer::parse(text);
        pointer.map_err(|error| report.error(path, error.to_string())).ok()
    });
    pointers.collect()
}

fn gone_when(section: &mut Section<'_>) -> Option<GoneWhen> {
    let given = section.take("gone_when")?;
    let mut table = Section::new(section.report, section.path_of("gone_when"), Some(given));
    if !table.is_given() {
        return None;
    }
    let (at, header) = (table.text("at"), table.text("header"));
    let sign = match (at, header) {
        (Some(at), None) => {
            let pointer = JsonPointer::parse(&at);
            let pointer = pointer.map_err(|error| table.error("at", error.to_string())).ok();
            pointer.map(GoneSign::Body)
        }
        (None, Some(header)) => header_name(&table, "header", &header).map(GoneSign::Header),
        (Some(_), Some(_)) => {
            table.error("header", "there is an `at` already: one of them");
            None
        }
        (None, None) => {
            section.error(
                "gone_when",
                "give `at`, a JSON pointer into the body, or `header`, the name of a header",
            );
            None
        }
    };
    let is = match table.holds("is") {
        true => table.texts("is").unwrap_or_default(),
        false => {
            table.take("is");
            Vec::new()
        }
    };
    if is.is_empty() || is.len() > TEXTS_MAX {
        table.error(
            "is",
            format!("expected 1 to {TEXTS_MAX} texts that say that the items are gone, such as [\"product.deleted\"]"),
        );
    }
    table.finish();
    Some(GoneWhen {
        sign: sign?,
        is: is.into_iter().map(|(_, text)| text.into()).collect(),
    })
}

/// The name of a header in lower case.
fn header_name(section: &Section<'_>, key: &str, name: &str) -> Option<Box<str>> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !name.is_empty() && name.bytes().all(fits);
    if !is_name {
        section.error(key, format!("`{name}` is no name of a header"));
    }
    is_name.then(|| name.to_ascii_lowercase().into())
}
