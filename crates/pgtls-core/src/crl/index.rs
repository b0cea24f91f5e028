//! The index over the serial numbers of a list.
//!
//! One `u32` per entry: where the entry starts, counted from the first one, in the order of the
//! serial numbers. Entries of the same serial number stay in the order of the file, so that the
//! first of them is found first, as OpenSSL finds it after its (stable) sort. A list that is
//! written in order, as most are, is not sorted again.

use crate::asn1::der::Reader;
use crate::crl::entry::compare_serials;
use crate::work;

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
    /// What all serial numbers so far start with; those of one CA often differ in the last octets
    /// only.
    common: Option<&'a [u8]>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new() -> Self {
        Self { offsets: Vec::new(), last: &[], sorted: true, common: None }
    }

    /// Makes room for as many entries as would fit if all were as long as the first.
    pub(crate) fn reserve(&mut self, entries: usize) {
        if self.offsets.try_reserve_exact(entries).is_err() {
            work::out_of_memory();
        }
    }

    /// How many entries were added.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(crate) fn push(&mut self, offset: u32, serial: &'a [u8]) {
        self.sorted &= compare_serials(self.last, serial).is_le();
        self.last = serial;
        let common = self.common.unwrap_or(serial);
        let same = common.iter().zip(serial).take_while(|(a, b)| a == b).count();
        self.common = Some(&common[..same]);
        work::push(&mut self.offsets, offset);
    }

    /// The index over these entries.
    pub(crate) fn finish(mut self, entries: &[u8]) -> SerialIndex {
        self.offsets.shrink_to_fit();
        if !self.sorted {
            sort(&mut self.offsets, entries, self.common.map_or(0, <[u8]>::len));
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
    pub(crate) fn find<'a>(
        &'a self,
        entries: &'a [u8],
        serial: &'a [u8],
    ) -> impl Iterator<Item = u32> + 'a {
        let compare = move |offset: &u32| compare_serials(serial_at(entries, *offset), serial);
        let first = self.offsets.partition_point(|offset| compare(offset).is_lt());
        let rest = self.offsets.get(first..).unwrap_or_default();
        rest.iter().copied().take_while(move |offset| compare(offset).is_eq())
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
        // It is the first field; the others need not be read to get at it.
        .and_then(|entry| Reader::new(entry, 0).any().ok()?.inside().any().ok())
        .map_or(&[], |serial| serial.content)
}

/// Sorts offsets by serial number, equal ones by offset.
///
/// A part of each serial number, behind the `skip` octets that all have in common, is put into one
/// integer with its offset first: comparing the numbers where they lie would mean two cache misses
/// per comparison, which for a million entries takes longer than everything else together.
fn sort(offsets: &mut [u32], entries: &[u8], skip: usize) {
    let mut keyed: Vec<u128> = Vec::new();
    work::reserve(&mut keyed, offsets.len());
    for (number, offset) in offsets.iter().enumerate() {
        work::between_some(number);
        keyed.push(key(serial_at(entries, *offset), skip, *offset));
    }
    keyed.sort_unstable();
    for same in keyed.chunk_by_mut(|a, b| a >> OFFSET_BITS == b >> OFFSET_BITS) {
        if same.len() > 1 {
            same.sort_by_key(|key| {
                let serial = serial_at(entries, offset_of(*key));
                (serial.len(), serial)
            });
        }
    }
    for (offset, key) in offsets.iter_mut().zip(keyed) {
        *offset = offset_of(key);
    }
}

/// Bits of a key that hold the offset.
const OFFSET_BITS: u32 = u32::BITS;

/// The length of a serial number, as many of its octets behind the first `skip` as have room, and
/// the offset: in the order of [`compare_serials`] as far as it goes, then in that of the file.
fn key(serial: &[u8], skip: usize, offset: u32) -> u128 {
    let mut octets = [0; 16];
    let (key, rest) = octets.split_at_mut(12);
    key[0] = u8::try_from(serial.len()).unwrap_or(u8::MAX);
    for (to, from) in key[1..].iter_mut().zip(serial.get(skip..).unwrap_or_default()) {
        *to = *from;
    }
    rest.copy_from_slice(&offset.to_be_bytes());
    u128::from_be_bytes(octets)
}

fn offset_of(key: u128) -> u32 {
    let [.., a, b, c, d] = key.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::der::push_header;
    use crate::crl::entry::RawEntry;

    /// Entries of these serial numbers, and where each starts.
    fn list(serials: &[&[u8]]) -> (Vec<u8>, Vec<u32>) {
        let mut entries = Vec::new();
        let mut offsets = Vec::new();
        for serial in serials {
            offsets.push(u32::try_from(entries.len()).unwrap());
            push_header(&mut entries, 0x30, serial.len() + 2 + 15);
            push_header(&mut entries, 2, serial.len());
            entries.extend_from_slice(serial);
            entries.extend_from_slice(b"\x17\x0d250101000000Z");
        }
        (entries, offsets)
    }

    fn build(entries: &[u8]) -> SerialIndex {
        let mut reader = Reader::new(entries, 0);
        let mut builder = Builder::new();
        while !reader.is_empty() {
            let entry = RawEntry::read(&mut reader).unwrap();
            builder.push(u32::try_from(entry.offset).unwrap(), entry.serial.content);
        }
        builder.finish(entries)
    }

    #[test]
    fn finds_each_and_the_first_of_several_first() {
        let prefix = [7; 40];
        let long: Vec<Vec<u8>> =
            [3, 1, 2, 1].iter().map(|last| [&prefix[..], &[*last]].concat()).collect();
        let mut serials: Vec<&[u8]> = vec![&[5], &[3], &[1, 0], &[5], &[0x80], &[2], &[0, 0x80]];
        serials.extend(long.iter().map(Vec::as_slice));
        for rotation in 0..serials.len() {
            serials.rotate_left(1);
            let (entries, offsets) = list(&serials);
            let index = build(&entries);
            assert_eq!(index.len(), serials.len());
            for serial in &serials {
                let expected: Vec<u32> = serials
                    .iter()
                    .zip(&offsets)
                    .filter(|(other, _)| *other == serial)
                    .map(|(_, offset)| *offset)
                    .collect();
                assert_eq!(
                    index.find(&entries, serial).collect::<Vec<_>>(),
                    expected,
                    "{serial:?} {rotation}"
                );
            }
            for absent in [&[4][..], &[0], &[0xff], &[1, 1], &[7; 40], &[7; 42], &[]] {
                assert_eq!(index.find(&entries, absent).count(), 0);
            }
        }
    }

    #[test]
    fn sorts_numbers_that_differ_only_far_behind() {
        // One that differs early keeps the common prefix short, so that the keys of the others are
        // all equal.
        let mut serials: Vec<Vec<u8>> =
            (0..=250).rev().map(|last| [&[9; 30][..], &[last]].concat()).collect();
        serials.push(vec![1; 31]);
        let slices: Vec<&[u8]> = serials.iter().map(Vec::as_slice).collect();
        let (entries, offsets) = list(&slices);
        let index = build(&entries);
        for (serial, offset) in slices.iter().zip(&offsets) {
            assert!(index.find(&entries, serial).eq([*offset]));
        }
    }

    #[test]
    fn an_empty_list_has_nothing() {
        assert_eq!(build(&[]).find(&[], &[1]).count(), 0);
        assert_eq!(SerialIndex::default().find(&[], &[]).count(), 0);
    }
}
