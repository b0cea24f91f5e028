//! FNV-1a, a hash that needs no memory of its own.

/// The hash of the bytes so far.
pub(in crate::pg) struct Fnv(u64);

impl Fnv {
    pub(in crate::pg) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(in crate::pg) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(in crate::pg) const fn hash(&self) -> u64 {
        self.0
    }
}
