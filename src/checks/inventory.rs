//! How the certificates of the inventory are used: who is connected with one, and which has taken
//! its place.

use std::collections::HashMap;

use pgtls_core::recorder::identity::{self, Identity};

use crate::pg::recorder::{inventory, sessions};

/// What the recorder knows now of the use of certificates; nothing where it is not preloaded.
pub(crate) struct Usage {
    connected: HashMap<[u8; 32], i64>,
    latest: HashMap<Identity, (i64, [u8; 32])>,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let mut connected: HashMap<[u8; 32], i64> = HashMap::new();
        for fingerprint in sessions::fingerprints() {
            *connected.entry(fingerprint).or_default() += 1;
        }
        Self { connected, latest: inventory::latest() }
    }

    /// How many sessions use the certificate with this fingerprint.
    pub(crate) fn connected(&self, fingerprint: &[u8; 32]) -> i64 {
        self.connected.get(fingerprint).copied().unwrap_or(0)
    }

    /// The fingerprint of the latest certificate with which the same identity has logged in, if
    /// that is a newer one than the first of this chain.
    pub(crate) fn superseded_by(&self, chain: &[u8]) -> Option<[u8; 32]> {
        let life = identity::life(chain)?;
        let (begins, fingerprint) = self.latest.get(&life.identity)?;
        (*begins > life.begins).then_some(*fingerprint)
    }
}
