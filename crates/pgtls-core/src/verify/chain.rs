//! The chain of a session, as far as the trust anchor.

use std::fmt;

use crate::error::Error;
use crate::limits;
use crate::value::Value;
use crate::x509::certificate::Certificate;

/// A verified chain, leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    entries: Vec<ChainEntry>,
}

/// One certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEntry {
    /// Its distance from the leaf, which is 0.
    pub depth: usize,
    /// Where it came from.
    pub source: Source,
    /// The certificate.
    pub certificate: Certificate,
}

/// Where a certificate of a chain came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The client sent it.
    Sent,
    /// It was found in the server's trust store.
    TrustStore,
}

/// The word in the column `source`: `sent` or `trust store`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => "sent",
            Self::TrustStore => "trust store",
        })
    }
}

impl Chain {
    /// Describes a chain that OpenSSL has verified (`SSL_get0_verified_chain`), leaf first and
    /// trust anchor last, given what the client sent besides the leaf (`SSL_get_peer_cert_chain` on
    /// the server), in any order and with anything superfluous.
    ///
    /// The leaf is always sent. The anchor is always from the trust store, even if the client sent
    /// a copy of it, because only the store makes it an anchor; a leaf that is its own anchor
    /// counts as sent. Between the two, what the client sent counts as sent, even if the store has
    /// it as well.
    pub fn new<V, S>(verified: &[V], sent: &[S]) -> Result<Self, Error>
    where
        V: AsRef<[u8]>,
        S: AsRef<[u8]>,
    {
        if verified.len() > limits::MAX_CHAIN {
            return Err(Error::TooLarge { what: "certificate chain", limit: limits::MAX_CHAIN });
        }
        let mut entries = Vec::with_capacity(verified.len());
        for (depth, der) in verified.iter().map(AsRef::as_ref).enumerate() {
            let certificate = Certificate::from_openssl(der).map_err(|source| Error::Member {
                expected: "certificate",
                position: depth + 1,
                source: Box::new(source),
            })?;
            let is_anchor = depth + 1 == verified.len();
            let is_sent = || !is_anchor && sent.iter().any(|other| other.as_ref() == der);
            let source = if depth == 0 || is_sent() { Source::Sent } else { Source::TrustStore };
            entries.push(ChainEntry { depth, source, certificate });
        }
        Ok(Self { entries })
    }

    /// The certificates, leaf first; empty when the client presented none.
    pub fn entries(&self) -> &[ChainEntry] {
        &self.entries
    }
}

impl ChainEntry {
    /// `depth`, `source`, the certificate columns and `pem`, in this order.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let depth = i64::try_from(self.depth).unwrap_or(i64::MAX);
        let mut columns =
            vec![("depth", Value::Int(depth)), ("source", Value::Text(self.source.to_string()))];
        columns.extend(self.certificate.columns());
        columns.push(("pem", Value::Text(self.certificate.to_pem())));
        columns
    }
}
