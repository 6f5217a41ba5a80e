//! What commands are given, and what they answer, as the protocol has it.

use redis::Value;

type Bytes = Vec<u8>;
/// The id of a stream's entry.
pub(super) type Id = (u64, u64);

pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> T {
    let number = text(bytes).parse();
    number.unwrap_or_else(|_| panic!("{:?} is no number", text(bytes)))
}

pub(super) fn bulk(text: impl Into<Bytes>) -> Value {
    Value::BulkString(text.into())
}

pub(super) fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap())
}

pub(super) fn written_id((ms, seq): Id) -> String {
    format!("{ms}-{seq}")
}

pub(super) fn parse_id(given: &[u8]) -> Id {
    match text(given) {
        "-" => (0, 0),
        "+" => (u64::MAX, u64::MAX),
        id => {
            let (ms, seq) = id.split_once('-').unwrap();
            (number(ms.as_bytes()), number(seq.as_bytes()))
        }
    }
}

pub(super) fn entry((id, fields): (&Id, &Vec<Bytes>)) -> Value {
    let fields = fields.iter().cloned().map(bulk).collect();
    Value::Array(vec![bulk(written_id(*id)), Value::Array(fields)])
}
