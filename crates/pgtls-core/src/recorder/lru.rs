//! A bounded index by key that forgets what was used least recently, in memory that somebody else owns.
//!
//! The memory is shared between processes and outlives them, so it holds numbers and no pointers: a link is the place it
//! leads to plus one, and 0 leads nowhere. Memory full of zeroes is a valid empty index. Whoever uses it holds a lock.

/// What an entry is found by: SHA-256 of a certificate.
pub type Key = [u8; 32];

/// The state of the whole index.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    used: u32,
    newest: u32,
    oldest: u32,
    /// Keeps the size a multiple of eight.
    reserved: u32,
    evicted: u64,
}

/// The state of one place.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Node {
    key: Key,
    /// The next place of the same bucket.
    next: u32,
    newer: u32,
    older: u32,
    /// Keeps the size a multiple of eight.
    reserved: u32,
}

/// The index: places from 0 to the number of nodes, each for one key.
#[derive(Debug)]
pub struct Lru<'a> {
    control: &'a mut Control,
    buckets: &'a mut [u32],
    nodes: &'a mut [Node],
}

/// A key's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which one.
    pub index: usize,
    /// Whether it has just been given to this key: what is stored at it is of another one, or nothing.
    pub fresh: bool,
}

impl<'a> Lru<'a> {
    /// The index in this memory. There should be about as many buckets as nodes.
    pub fn new(control: &'a mut Control, buckets: &'a mut [u32], nodes: &'a mut [Node]) -> Self {
        Self { control, buckets, nodes }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.control.used).unwrap_or(usize::MAX).min(self.nodes.len())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys were forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.control.evicted
    }

    /// The key at a place that is in use.
    pub fn key(&self, index: usize) -> Option<&Key> {
        self.nodes.get(index).filter(|_| index < self.len()).map(|node| &node.key)
    }

    /// The place of a key, which stays as recent as it is.
    pub fn place_of(&self, key: &Key) -> Option<usize> {
        self.find(key)
    }

    /// Finds the place of a key, or gives it one, and makes it the most recent. `None` only if there is no room at all.
    pub fn touch(&mut self, key: &Key) -> Option<Place> {
        if let Some(index) = self.find(key) {
            self.unlink(index);
            self.link(index)?;
            return Some(Place { index, fresh: false });
        }
        let index = if self.len() < self.nodes.len() {
            let index = self.len();
            self.control.used = self.control.used.saturating_add(1);
            index
        } else {
            let index = place(self.control.oldest)?;
            self.unlink(index);
            self.leave_bucket(index);
            self.control.evicted = self.control.evicted.saturating_add(1);
            index
        };
        let bucket = self.bucket(key)?;
        let first = self.buckets.get_mut(bucket)?;
        let node = self.nodes.get_mut(index)?;
        *node = Node { key: *key, next: *first, ..Node::default() };
        *first = link(index);
        self.link(index)?;
        Some(Place { index, fresh: true })
    }

    /// Finds the place of a key, or gives it one as the least recent of all; `None` if there is no room. Nothing is forgotten
    /// for it, and a key that is there stays as recent as it is.
    pub fn append(&mut self, key: &Key) -> Option<Place> {
        if let Some(index) = self.find(key) {
            return Some(Place { index, fresh: false });
        }
        let index = Some(self.len()).filter(|index| *index < self.nodes.len())?;
        let bucket = self.bucket(key)?;
        let first = self.buckets.get_mut(bucket)?;
        let node = self.nodes.get_mut(index)?;
        let oldest = self.control.oldest;
        *node = Node { key: *key, next: *first, newer: oldest, ..Node::default() };
        *first = link(index);
        self.control.used = self.control.used.saturating_add(1);
        self.control.oldest = link(index);
        match place(oldest).and_then(|oldest| self.nodes.get_mut(oldest)) {
            Some(before) => before.older = link(index),
            None => self.control.newest = link(index),
        }
        Some(Place { index, fresh: true })
    }

    /// Forgets everything, also how much was evicted.
    pub fn clear(&mut self) {
        *self.control = Control::default();
        self.buckets.fill(0);
        self.nodes.fill(Node::default());
    }

    /// Sets how many keys count as evicted, for an index that goes on from a saved one.
    pub fn set_evicted(&mut self, evicted: u64) {
        self.control.evicted = evicted;
    }

    fn bucket(&self, key: &Key) -> Option<usize> {
        // The key is a cryptographic hash already.
        let [a, b, c, d, ..] = *key;
        usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?.checked_rem(self.buckets.len())
    }

    fn find(&self, key: &Key) -> Option<usize> {
        let mut next = *self.buckets.get(self.bucket(key)?)?;
        // No chain is longer than there are nodes, whatever the memory holds.
        for _ in 0..self.nodes.len() {
            let index = place(next)?;
            let node = self.nodes.get(index)?;
            if node.key == *key {
                return Some(index);
            }
            next = node.next;
        }
        None
    }

    /// Takes a place out of its bucket's chain.
    fn leave_bucket(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index).copied() else { return };
        let Some(bucket) = self.bucket(&node.key) else { return };
        let Some(first) = self.buckets.get_mut(bucket) else { return };
        if *first == link(index) {
            *first = node.next;
            return;
        }
        let mut at = *first;
        for _ in 0..self.nodes.len() {
            let Some(before) = place(at).and_then(|index| self.nodes.get_mut(index)) else {
                return;
            };
            if before.next == link(index) {
                before.next = node.next;
                return;
            }
            at = before.next;
        }
    }

    /// Takes a place out of the order of use.
    fn unlink(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index).copied() else { return };
        match place(node.newer).and_then(|newer| self.nodes.get_mut(newer)) {
            Some(newer) => newer.older = node.older,
            None => self.control.newest = node.older,
        }
        match place(node.older).and_then(|older| self.nodes.get_mut(older)) {
            Some(older) => older.newer = node.newer,
            None => self.control.oldest = node.newer,
        }
    }

    /// Puts a place at the recent end of the order of use.
    fn link(&mut self, index: usize) -> Option<()> {
        let newest = self.control.newest;
        let node = self.nodes.get_mut(index)?;
        node.newer = 0;
        node.older = newest;
        self.control.newest = link(index);
        match place(newest).and_then(|newest| self.nodes.get_mut(newest)) {
            Some(before) => before.newer = link(index),
            None => self.control.oldest = link(index),
        }
        Some(())
    }
}

fn link(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| index.checked_add(1)).unwrap_or(0)
}

fn place(link: u32) -> Option<usize> {
    usize::try_from(link.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let mut key = [0; 32];
        // Few different beginnings, so that buckets hold several keys.
        key[0] = u8::try_from(number % 3).unwrap();
        key[28..].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn it_forgets_what_was_used_least_recently() {
        // Against a list that is kept in order.
        let (mut control, mut buckets, mut nodes) =
            (Control::default(), [0; 5], [Node::default(); 7]);
        let mut lru = Lru::new(&mut control, &mut buckets, &mut nodes);
        let mut model: Vec<u32> = Vec::new();
        let mut evicted = 0;
        let mut random: u32 = 1;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (random >> 16) % 12;
            let known = model.iter().position(|known| *known == number);
            if random.is_multiple_of(5) {
                // As one that was used before all others.
                let place = lru.append(&key(number));
                let has_room = known.is_some() || model.len() < 7;
                assert_eq!(place.map(|place| place.fresh), has_room.then_some(known.is_none()));
                if has_room && known.is_none() {
                    model.insert(0, number);
                }
                continue;
            }
            if random % 1_000 == 1 {
                lru.clear();
                model.clear();
                evicted = 0;
                continue;
            }
            if let Some(known) = known {
                model.remove(known);
            } else if model.len() == 7 {
                model.remove(0);
                evicted += 1;
            }
            model.push(number);
            let place = lru.touch(&key(number)).unwrap();
            assert_eq!(place.fresh, known.is_none());
            assert_eq!(lru.key(place.index), Some(&key(number)));
            assert_eq!((lru.len(), lru.evicted()), (model.len(), evicted));
        }
        let mut keys: Vec<_> = (0..lru.len()).map(|index| *lru.key(index).unwrap()).collect();
        let mut expected: Vec<_> = model.iter().map(|number| key(*number)).collect();
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        lru.clear();
        assert!(lru.is_empty() && lru.evicted() == 0);
    }

    #[test]
    fn without_room_there_is_no_place() {
        let mut control = Control::default();
        assert_eq!(Lru::new(&mut control, &mut [], &mut []).touch(&key(1)), None);
    }
}
