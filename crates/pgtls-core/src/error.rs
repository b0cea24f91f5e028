//! The one error type of the core.
//!
//! Each variant says what is wrong with the input and where, never who raised it. Messages start in lower case and have
//! no full stop, because they end up as PostgreSQL error messages. They carry no content of the input beyond its kind
//! and position.

/// Why a piece of input is not what it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text holds no PEM block of the wanted kind.
    #[error("no {expected} found in PEM text")]
    NoPemBlock {
        /// What was looked for, such as `certificate`.
        expected: &'static str,
    },

    /// The input is something else, and what it is can be told.
    #[error("no {expected} found: this is {found}")]
    OtherInput {
        /// What was looked for, such as `certificate request`.
        expected: &'static str,
        /// What it is, such as `a private key`.
        found: &'static str,
    },

    /// A PEM block whose armour or base64 is broken.
    #[error("invalid PEM at byte {offset}: {problem}")]
    Pem {
        /// Offset into the text, from 0.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },

    /// Bytes that are not the DER of what was expected.
    #[error("invalid {expected} at byte {offset}: {problem}")]
    Der {
        /// What the bytes were taken for, such as `certificate`.
        expected: &'static str,
        /// Offset into the DER, from 0, of the element that is broken.
        offset: usize,
        /// What is wrong there.
        problem: String,
    },

    /// The input passes one of the limits in [`crate::limits`].
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit of the constant that sets it.
        limit: usize,
    },

    /// One member of a bundle is broken; the others are not judged.
    #[error("{expected} number {position} of the bundle: {source}")]
    Member {
        /// What the member was taken for.
        expected: &'static str,
        /// Which one, counted from 1.
        position: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
}
