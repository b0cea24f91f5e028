//! Values as SQL columns have them.
//!
//! One list of pairs per thing, from which both SQL rows and JSON are made, so the two cannot
//! disagree. The order of a list is the order of the columns.

use crate::time::UnixTime;

/// One column's value.
///
/// Invariant: no text in it holds a NUL, which PostgreSQL's `text` cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    Null,
    /// `text`
    Text(String),
    /// `text[]`
    TextArray(Vec<String>),
    /// `numeric`, as decimal digits with an optional minus sign.
    Numeric(String),
    /// `timestamptz`
    Timestamp(UnixTime),
    /// `timestamptz`, in microseconds since the Unix epoch: a moment of the server's clock.
    Moment(i64),
    /// `boolean`
    Bool(bool),
    /// `integer` or `bigint`
    Int(i64),
    /// `double precision`, by its bits, which can be compared.
    Float(u64),
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::TextArray(value)
    }
}

impl From<UnixTime> for Value {
    fn from(value: UnixTime) -> Self {
        Self::Timestamp(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
