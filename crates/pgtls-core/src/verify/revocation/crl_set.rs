//! The CRLs to judge by, found by issuer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::crl::Crl;

/// A list and where it is from.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The list.
    pub crl: Crl,
    /// Where it is from, in the words of who put it into the set: a file and a position.
    pub source: Arc<str>,
}

/// The lists to judge by, in the order in which OpenSSL has them: those of the CRL file, then those
/// of the directory.
#[derive(Debug, Clone, Default)]
pub struct CrlSet {
    lists: Vec<Listed>,
    by_issuer: HashMap<Vec<u8>, Vec<usize>>,
}

impl CrlSet {
    /// A set without lists, by which every certificate's list is missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list behind the others. Order counts only between lists that are equally good and
    /// equally new: the first one is used.
    pub fn push(&mut self, crl: Crl, source: impl Into<Arc<str>>) {
        let position = self.lists.len();
        self.by_issuer.entry(crl.issuer_canonical().to_vec()).or_default().push(position);
        self.lists.push(Listed { crl, source: source.into() });
    }

    /// The lists in their order.
    pub fn lists(&self) -> &[Listed] {
        &self.lists
    }

    /// The lists whose issuer has this canonical name (OpenSSL: `X509_STORE_CTX_get1_crls`).
    pub(super) fn of_issuer<'a>(&'a self, canonical: &[u8]) -> impl Iterator<Item = &'a Listed> {
        let positions = self.by_issuer.get(canonical).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|position| self.lists.get(*position))
    }
}
