//! The one error type of the core.
//!
//! Each variant says what is wrong with the input and where, never who raised it. Messages start in
//! lower case and have no full stop, because they end up as PostgreSQL error messages. They carry
//! no content of the input beyond its kind and position.

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
        /// What it is.
        found: OtherInput,
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

    /// There is not enough memory for what the input decodes to.
    #[error("out of memory")]
    OutOfMemory,

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

/// What input is that was taken for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherInput {
    /// A certificate.
    Certificate,
    /// A certificate revocation list.
    Crl,
    /// A private key, encrypted or not.
    PrivateKey,
    /// A public key.
    PublicKey,
    /// A container of certificates.
    Pkcs7,
    /// A container of keys and certificates.
    Pkcs12,
    /// The name of a file rather than what is in it.
    FileName,
    /// PEM whose line ends have been lost or are written as `\n`.
    SingleLine,
}

impl std::fmt::Display for OtherInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Crl => "a certificate revocation list",
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
            Self::Pkcs7 => "PKCS #7",
            Self::Pkcs12 => "PKCS #12",
            Self::FileName => "the name of a file",
            Self::SingleLine => "PEM in a single line",
        })
    }
}
