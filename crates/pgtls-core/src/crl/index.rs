//! The index over the serial numbers of a list.
//!
//! One `u32` per entry: where the entry starts, counted from the first one, in the order of the serial numbers. Entries
//! of the same serial number stay in the order of the file, so that the first of them is found first, as OpenSSL finds
//! it after its (stable) sort. A list that is written in order, as most are, is not sorted again.

use std::cmp::Ordering;

use crate::crl::entry::{RawEntry, compare_serials};
use crate::der::Reader;

/// Where each entry is, by serial number.
#[derive(Debug, Default)]
pub(crate) struct SerialIndex {
    offsets: Vec<u32>,
}

/// Takes entries in the order of the file.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    offsets: Vec<u32>,
    last: &'a [u8],
    sorted: bool,
}

impl<'a> Builder<'a> {
    pub(crate) fn new() -> Self {
        Self { offsets: Vec::new(), last: &[], sorted: true }
    }

    /// Makes room for as many entries as would fit if all were as long as the first.
    pub(crate) fn reserve(&mut self, entries: usize) {
        self.offsets.reserve_exact(entries);
    }

    pub(crate) fn push(&mut self, offset: u32, serial: &'a [u8]) {
        self.sorted &= compare_serials(self.last, serial).is_le();
        self.last = serial;
        self.offsets.push(offset);
    }

    /// The index over these entries.
    pub(crate) fn finish(mut self, entries: &[u8]) -> SerialIndex {
        self.offsets.shrink_to_fit();
        if !self.sorted {
            sort(&mut self.offsets, entries);
        }
        SerialIndex { offsets: self.offsets }
    }
}

impl SerialIndex {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Offsets of the entries with this serial number, in the order of the file.
    pub(crate) fn find(&self, entries: &[u8], serial: &[u8]) -> &[u32] {
        let compare = |offset: &u32| compare_serials(serial_at(entries, *offset), serial);
        let first = self.offsets.partition_point(|offset| compare(offset).is_lt());
        let rest = self.offsets.get(first..).unwrap_or_default();
        let same = rest.iter().take_while(|offset| compare(offset).is_eq()).count();
        rest.get(..same).unwrap_or_default()
    }

    /// Bytes of memory the index takes.
    pub(crate) fn size(&self) -> usize {
        self.offsets.capacity() * size_of::<u32>()
    }
}

/// Serial number of the entry at an offset that [`Builder`] took.
fn serial_at(entries: &[u8], offset: u32) -> &[u8] {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| entries.get(offset..))
        .and_then(|entry| RawEntry::read(&mut Reader::new(entry)).ok())
        .map_or(&[], |entry| entry.serial)
}

/// Sorts offsets by serial number, equal ones by offset.
///
/// The start of each serial number is copied next to its offset first: comparing them where they lie would mean two cache
/// misses per comparison, which for a million entries takes longer than everything else together.
fn sort(offsets: &mut [u32], entries: &[u8]) {
    let mut keyed: Vec<([u64; 2], u32)> =
        offsets.iter().map(|offset| (key(serial_at(entries, *offset)), *offset)).collect();
    keyed.sort_unstable_by(|(key_a, a), (key_b, b)| {
        key_a
            .cmp(key_b)
            .then_with(|| match key_a[0] >> 56 {
                // The key holds the whole number.
                0..=KEY_OCTETS => Ordering::Equal,
                _ => compare_serials(serial_at(entries, *a), serial_at(entries, *b)),
            })
            .then_with(|| a.cmp(b))
    });
    for (offset, (_, sorted)) in offsets.iter_mut().zip(keyed) {
        *offset = sorted;
    }
}

/// Octets of a serial number that fit into a key, behind the length.
const KEY_OCTETS: u64 = 15;

/// Length and first octets of a serial number, in the order of [`compare_serials`].
fn key(serial: &[u8]) -> [u64; 2] {
    let mut halves = [[0; 8]; 2];
    halves[0][0] = u8::try_from(serial.len()).unwrap_or(u8::MAX);
    for (to, from) in halves.as_flattened_mut()[1..].iter_mut().zip(serial) {
        *to = *from;
    }
    halves.map(u64::from_be_bytes)
}
