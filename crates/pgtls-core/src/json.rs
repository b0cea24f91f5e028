//! The JSON of certificates and chains.
//!
//! An object has the names of the columns as keys, in the order of the columns, and every key is
//! always there:
//!
//! | column            | JSON                                                                              |
//! |-------------------|-----------------------------------------------------------------------------------|
//! | absent            | `null`                                                                            |
//! | `text`, `text[]`  | string, array of strings                                                          |
//! | `boolean`, `int`  | boolean, number                                                                   |
//! | `timestamptz`     | RFC 3339 in UTC, `"2050-01-01T00:00:00Z"`                                         |
//! | `numeric`         | string of decimal digits: readers that keep numbers as doubles would round serials |
//!
//! New keys may be added, as new columns may; names and meanings stay. A certificate on its own has
//! two more:
//!
//! - `extensions`: every extension by its name, an object with `critical`, and with `value`, what
//!   the extension says, or `hex`, its bytes in lower-case hexadecimal where nobody here can read
//!   it;
//! - `problems`: an array of what is broken or does not mean what it seems to, or `null`.

use serde_json::Map;

use crate::value::Value;
use crate::verify::chain::Chain;
use crate::x509::certificate::Certificate;
use crate::x509::decoded::extensions;
use crate::{limits, work};

/// How much memory a document of everything in a certificate takes at most, in multiples of its
/// size: see [`limits::MAX_STRICT_BYTES`].
const MEMORY_FACTOR: usize = 240;

/// The same of its columns.
const COLUMNS_FACTOR: usize = 64;

/// One object from a list of columns.
pub fn object(columns: Vec<(&'static str, Value)>) -> serde_json::Value {
    let members = columns.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    serde_json::Value::Object(members.collect::<Map<_, _>>())
}

/// The object of a certificate: [`Certificate::columns`], all of its extensions, and what is wrong
/// with it.
pub fn certificate(certificate: &Certificate) -> serde_json::Value {
    let size = certificate.as_der().len();
    work::expect(size.min(limits::MAX_STRICT_BYTES).saturating_mul(MEMORY_FACTOR));
    work::expect(size.saturating_mul(COLUMNS_FACTOR));
    let mut document = object(certificate.columns());
    let decoded = extensions(certificate.extensions(), certificate.as_der().len());
    let known = certificate.problems();
    let mut problems: Vec<String> = known.iter().map(ToString::to_string).collect();
    // What the columns have stumbled over need not be said twice.
    let new =
        decoded.problems.into_iter().filter(|(part, _)| known.iter().all(|k| k.part != *part));
    problems.extend(new.map(|(part, problem)| format!("{part}: {problem}")));
    if let serde_json::Value::Object(members) = &mut document {
        members.insert("extensions".to_owned(), decoded.document.into());
        let problems = Some(problems).filter(|problems| !problems.is_empty());
        members.insert("problems".to_owned(), problems.into());
    }
    document
}

/// The array of a chain's certificates, leaf first:
/// [`ChainEntry::columns`](crate::verify::chain::ChainEntry::columns) each.
pub fn chain(chain: &Chain) -> serde_json::Value {
    chain.entries().iter().map(|entry| object(entry.columns())).collect()
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) | Value::Numeric(text) => Self::String(text),
            Value::TextArray(texts) => texts.into(),
            Value::Timestamp(time) => Self::String(time.to_string()),
            // Whole seconds: no document holds a moment so far.
            Value::Moment(moment) => {
                Self::String(crate::time::UnixTime(moment.div_euclid(1_000_000)).to_string())
            }
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => value.into(),
            Value::Float(bits) => f64::from_bits(bits).into(),
        }
    }
}
