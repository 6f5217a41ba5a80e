//! `[hooks.<name>]`: a webhook, and how it says which items have changed.

use super::secret::Secret;
use crate::listing::json_pointer::JsonPointer;

/// `[hooks.<name>]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HookConfig {
    /// Its name in the URL.
    pub name: Box<str>,
    /// At least one. A sender signs by any of them: there are two while they are rotated.
    pub secrets: Vec<Secret>,
    /// Where the signature stands, and how it is written.
    pub signature: SignatureConfig,
    /// The places of ids in the body. `*` stands for each element of an array.
    pub ids: Vec<JsonPointer>,
    /// When its items are gone. `None`: they have always changed.
    pub gone_when: Option<GoneWhen>,
}

/// Where a signature stands, and how it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct SignatureConfig {
    /// The name of the header, in lower case.
    pub header: Box<str>,
    /// The digits.
    pub encoding: SignatureEncoding,
    /// A text before them, such as `sha256=`.
    pub prefix: Box<str>,
}

/// How the bytes of a signature are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Two hexadecimal digits a byte, in upper or lower case.
    Hex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
}

/// A sign that says that items are gone.
#[derive(Clone, Debug, PartialEq)]
pub struct GoneWhen {
    /// Where it stands.
    pub sign: GoneSign,
    /// The texts that mean it.
    pub is: Vec<Box<str>>,
}

/// The place of a sign.
#[derive(Clone, Debug, PartialEq)]
pub enum GoneSign {
    /// In the body, or in each event of it.
    Body(JsonPointer),
    /// In a header, whose name is in lower case.
    Header(Box<str>),
}
