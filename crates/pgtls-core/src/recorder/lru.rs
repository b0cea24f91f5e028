//! A bounded index by key that forgets what is least missed, in memory that somebody else owns.
//!
//! What is held is never forgotten. Of the rest, what has ended goes first, and what is superseded:
//! another key of the same group began later and has been taken into use. Then what was used least
//! recently.
//!
//! The memory is shared between processes and outlives them, so it holds numbers and no pointers: a
//! link is the place it leads to plus one, and 0 leads nowhere. Memory full of zeroes is a valid
//! empty index. Whoever uses it holds a lock.

use crate::recorder::identity::{Identity, Life};

/// What an entry is found by: SHA-256 of a certificate.
pub type Key = [u8; 32];

/// What is looked at of a group to find out whether a member is superseded. The latest come first,
/// so more than a few are not needed; the bound keeps a login short whatever a group is like.
const LOOKED_AT: usize = 64;

/// How many keys were forgotten for want of room, by what they were.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// They had ended.
    pub expired: u64,
    /// A later key of the same group was in use.
    pub superseded: u64,
    /// Neither.
    pub valid: u64,
    /// Keys that got no place, because all were held.
    pub turned_away: u64,
}

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
    /// Since the memory was made or cleared, unlike `evicted`.
    evictions: Evictions,
    /// How many places were given away, ever.
    given: u64,
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
    /// How many hold it.
    held: u32,
    /// Zeroes if it is in none.
    group: Identity,
    /// The next place of the same bucket of groups.
    next_of_groups: u32,
    /// Whether it was taken into use, as opposed to just seen.
    in_use: u32,
    begins: i64,
    /// 0 if that is not known.
    ends: i64,
    /// Tells this key from one that had the same place, or the same name, before.
    generation: u64,
}

/// The index: places from 0 to the number of nodes, each for one key.
#[derive(Debug)]
pub struct Lru<'a> {
    control: &'a mut Control,
    buckets: &'a mut [u32],
    groups: &'a mut [u32],
    nodes: &'a mut [Node],
}

/// A key that is held: what is given back to let go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    key: Key,
    generation: u64,
}

/// What is known of a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its group.
    pub group: Identity,
    /// When it begins.
    pub begins: i64,
    /// Its key.
    pub key: Key,
}

/// A key's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which one.
    pub index: usize,
    /// Whether it has just been given to this key: what is stored at it is of another one, or
    /// nothing.
    pub fresh: bool,
}

impl<'a> Lru<'a> {
    /// The index in this memory. There should be about as many buckets of each kind as nodes.
    pub fn new(
        control: &'a mut Control,
        buckets: &'a mut [u32],
        groups: &'a mut [u32],
        nodes: &'a mut [Node],
    ) -> Self {
        Self { control, buckets, groups, nodes }
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

    /// The same by what they were, since the memory was made or cleared.
    pub fn evictions(&self) -> Evictions {
        self.control.evictions
    }

    /// The key at a place that is in use.
    pub fn key(&self, index: usize) -> Option<&Key> {
        self.nodes.get(index).filter(|_| index < self.len()).map(|node| &node.key)
    }

    /// The place of a key, which stays as recent as it is.
    pub fn place_of(&self, key: &Key) -> Option<usize> {
        self.find(key)
    }

    /// Finds the place of a key, or gives it one, and makes it the most recent. `None` if there is
    /// no room: all are held, or there are no places. `now` is what ends are compared with, in
    /// seconds of Unix time.
    pub fn touch(&mut self, key: &Key, now: i64) -> Option<Place> {
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
            let index = self.evict(now)?;
            self.unlink(index);
            self.leave_bucket(index);
            self.leave_group(index);
            index
        };
        self.control.given = self.control.given.wrapping_add(1);
        let generation = self.control.given;
        let bucket = self.bucket(key)?;
        let first = self.buckets.get_mut(bucket)?;
        let node = self.nodes.get_mut(index)?;
        *node = Node { key: *key, next: *first, generation, ..Node::default() };
        *first = link(index);
        self.link(index)?;
        Some(Place { index, fresh: true })
    }

    /// Finds the place of a key, or gives it one as the least recent of all; `None` if there is no
    /// room. Nothing is forgotten for it, and a key that is there stays as recent as it is.
    pub fn append(&mut self, key: &Key) -> Option<Place> {
        if let Some(index) = self.find(key) {
            return Some(Place { index, fresh: false });
        }
        let index = Some(self.len()).filter(|index| *index < self.nodes.len())?;
        let bucket = self.bucket(key)?;
        let first = self.buckets.get_mut(bucket)?;
        let node = self.nodes.get_mut(index)?;
        let oldest = self.control.oldest;
        self.control.given = self.control.given.wrapping_add(1);
        let generation = self.control.given;
        *node = Node { key: *key, next: *first, newer: oldest, generation, ..Node::default() };
        *first = link(index);
        self.control.used = self.control.used.saturating_add(1);
        self.control.oldest = link(index);
        match place(oldest).and_then(|oldest| self.nodes.get_mut(oldest)) {
            Some(before) => before.older = link(index),
            None => self.control.newest = link(index),
        }
        Some(Place { index, fresh: true })
    }

    /// Says what is known of a key that has just got its place.
    pub fn describe(&mut self, index: usize, life: &Life) -> Option<()> {
        let bucket = bucket(&life.identity, self.groups.len())?;
        let first = self.groups.get_mut(bucket)?;
        let node = self.nodes.get_mut(index).filter(|node| node.group == Identity::default())?;
        node.group = life.identity;
        (node.begins, node.ends) = (life.begins, life.ends);
        node.next_of_groups = *first;
        *first = link(index);
        Some(())
    }

    /// Notes that a key was taken into use.
    pub fn take_into_use(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.in_use = 1;
        }
    }

    /// Holds a key: it is not forgotten until all have let go of it.
    pub fn hold(&mut self, index: usize) -> Option<Hold> {
        let node = self.nodes.get_mut(index)?;
        node.held = node.held.saturating_add(1);
        Some(Hold { key: node.key, generation: node.generation })
    }

    /// Lets go of a key. One that was removed meanwhile, and perhaps came back, is not touched.
    pub fn let_go(&mut self, hold: &Hold) {
        let node = self.find(&hold.key).and_then(|index| self.nodes.get_mut(index));
        if let Some(node) = node.filter(|node| node.generation == hold.generation) {
            node.held = node.held.saturating_sub(1);
        }
    }

    /// The members of groups that were taken into use.
    pub fn members_in_use(&self) -> impl Iterator<Item = Member> {
        let nodes = self.nodes.iter().take(self.len());
        nodes
            .filter(|node| node.in_use != 0 && node.group != Identity::default())
            .map(|node| Member { group: node.group, begins: node.begins, key: node.key })
    }

    /// Removes a key, though it may be held. Its place is given to the last one, so what is stored
    /// for places has to follow: the place that is free now and the one that has moved to it, which
    /// may be the same.
    pub fn remove(&mut self, key: &Key) -> Option<(usize, usize)> {
        let index = self.find(key)?;
        self.unlink(index);
        self.leave_bucket(index);
        self.leave_group(index);
        let last = self.len().checked_sub(1)?;
        self.control.used = self.control.used.saturating_sub(1);
        if last != index {
            self.relocate(last, index)?;
        }
        if let Some(node) = self.nodes.get_mut(last) {
            *node = Node::default();
        }
        Some((index, last))
    }

    /// Moves what is at one place to another, which is free.
    fn relocate(&mut self, from: usize, to: usize) -> Option<()> {
        let (was, is) = (link(from), link(to));
        let moved = *self.nodes.get(from)?;
        *self.nodes.get_mut(to)? = moved;
        match place(moved.newer).and_then(|newer| self.nodes.get_mut(newer)) {
            Some(newer) => newer.older = is,
            None => self.control.newest = is,
        }
        match place(moved.older).and_then(|older| self.nodes.get_mut(older)) {
            Some(older) => older.newer = is,
            None => self.control.oldest = is,
        }
        let first = self.bucket(&moved.key).and_then(|bucket| self.buckets.get_mut(bucket));
        relink(first?, self.nodes, was, is, |node| &mut node.next);
        if moved.group != Identity::default() {
            let bucket = bucket(&moved.group, self.groups.len())?;
            let first = self.groups.get_mut(bucket)?;
            relink(first, self.nodes, was, is, |node| &mut node.next_of_groups);
        }
        Some(())
    }

    /// The place to give away. One pass, and only over those that were used less recently than the
    /// one that it finds.
    fn evict(&mut self, now: i64) -> Option<usize> {
        let mut valid = None;
        let mut found = None;
        let mut next = self.control.oldest;
        for _ in 0..self.nodes.len() {
            let Some(index) = place(next) else { break };
            let Some(node) = self.nodes.get(index) else { break };
            next = node.newer;
            if node.held > 0 {
                continue;
            }
            // The last second is not in it, as OpenSSL has it.
            let is_over = node.ends != 0 && node.ends <= now;
            if is_over || self.is_superseded(node) {
                found = Some((index, is_over));
                break;
            }
            valid = valid.or(Some(index));
        }
        let evictions = &mut self.control.evictions;
        let (index, count) = match (found, valid) {
            (Some((index, true)), _) => (index, &mut evictions.expired),
            (Some((index, false)), _) => (index, &mut evictions.superseded),
            (None, Some(index)) => (index, &mut evictions.valid),
            (None, None) => {
                evictions.turned_away = evictions.turned_away.saturating_add(1);
                return None;
            }
        };
        *count = count.saturating_add(1);
        self.control.evicted = self.control.evicted.saturating_add(1);
        Some(index)
    }

    fn is_superseded(&self, node: &Node) -> bool {
        if node.group == Identity::default() {
            return false;
        }
        let Some(first) = bucket(&node.group, self.groups.len()) else { return false };
        let mut next = self.groups.get(first).copied().unwrap_or(0);
        for _ in 0..LOOKED_AT {
            let Some(other) = place(next).and_then(|index| self.nodes.get(index)) else { break };
            if other.group == node.group && other.in_use != 0 && other.begins > node.begins {
                return true;
            }
            next = other.next_of_groups;
        }
        false
    }

    /// Forgets everything, also how much was evicted.
    pub fn clear(&mut self) {
        // Who still holds a key must not let go of one that has come later.
        *self.control = Control { given: self.control.given, ..Control::default() };
        self.buckets.fill(0);
        self.groups.fill(0);
        self.nodes.fill(Node::default());
    }

    /// Sets how many keys count as evicted, for an index that goes on from a saved one.
    pub fn set_evicted(&mut self, evicted: u64) {
        self.control.evicted = evicted;
    }

    fn bucket(&self, key: &Key) -> Option<usize> {
        bucket(key, self.buckets.len())
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
        relink(first, self.nodes, link(index), node.next, |node| &mut node.next);
    }

    /// The same for its group, if it has one.
    fn leave_group(&mut self, index: usize) {
        let Some(node) = self.nodes.get(index).copied() else { return };
        let Some(bucket) = bucket(&node.group, self.groups.len()) else { return };
        let Some(first) = self.groups.get_mut(bucket) else { return };
        relink(first, self.nodes, link(index), node.next_of_groups, |node| {
            &mut node.next_of_groups
        });
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

/// The bucket of a cryptographic hash.
fn bucket(hash: &[u8], buckets: usize) -> Option<usize> {
    let [a, b, c, d] = *hash.first_chunk()?;
    usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?.checked_rem(buckets)
}

/// Puts a link in the place of another one in a chain.
fn relink(
    first: &mut u32,
    nodes: &mut [Node],
    old: u32,
    new: u32,
    next: impl Fn(&mut Node) -> &mut u32,
) {
    if *first == old {
        *first = new;
        return;
    }
    let mut at = *first;
    // No chain is longer than there are nodes, whatever the memory holds.
    for _ in 0..nodes.len() {
        let Some(before) = place(at).and_then(|index| nodes.get_mut(index)) else { return };
        let next = next(before);
        if *next == old {
            *next = new;
            return;
        }
        at = *next;
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

    /// What the index should do, in the plainest way: a list in the order of use.
    #[derive(Clone, Copy, Debug)]
    struct Model {
        number: u32,
        group: u32,
        begins: i64,
        ends: i64,
        in_use: bool,
        held: u32,
    }

    fn model_of(number: u32, random: u32) -> Model {
        let begins = i64::from(random >> 8 & 0xff);
        let ends = begins + i64::from(random >> 3 & 0x1f);
        // A tenth is of nobody, with no end that is known.
        let group = if random.is_multiple_of(10) { 0 } else { 1 + random % 3 };
        Model { number, group, begins, ends, in_use: false, held: 0 }
    }

    fn victim(model: &[Model], now: i64) -> Option<usize> {
        let superseded = |one: &Model| {
            model.iter().any(|other| {
                one.group != 0
                    && other.group == one.group
                    && other.in_use
                    && other.begins > one.begins
            })
        };
        let first = model.iter().position(|one| {
            one.held == 0 && (one.group != 0 && one.ends <= now || superseded(one))
        });
        first.or_else(|| model.iter().position(|one| one.held == 0))
    }

    #[test]
    fn it_forgets_what_is_least_missed() {
        const PLACES: usize = 9;
        let (mut control, mut buckets, mut groups, mut nodes) =
            (Control::default(), [0; 5], [0; 2], [Node::default(); PLACES]);
        let mut lru = Lru::new(&mut control, &mut buckets, &mut groups, &mut nodes);
        let mut model: Vec<Model> = Vec::new();
        let mut holds: Vec<(u32, Hold)> = Vec::new();
        let (mut evicted, mut turned_away) = (0, 0);
        let mut seed: u32 = 1;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        for round in 0..60_000 {
            let (number, what, now) = (random() % 20, random() % 100, i64::from(random() % 300));
            let known = model.iter().position(|known| known.number == number);
            match what {
                0..80 => {
                    let mut one = model_of(number, random());
                    match known {
                        Some(known) => one = model.remove(known),
                        None if model.len() == PLACES => match victim(&model, now) {
                            Some(victim) => {
                                model.remove(victim);
                                evicted += 1;
                            }
                            None => {
                                turned_away += 1;
                                assert_eq!(lru.touch(&key(number), now), None, "{round}");
                                continue;
                            }
                        },
                        None => {}
                    }
                    let place = lru.touch(&key(number), now).unwrap();
                    assert_eq!(place.fresh, known.is_none(), "{round}");
                    if place.fresh && one.group != 0 {
                        let identity = [u8::try_from(one.group).unwrap(); 16];
                        let life = Life { identity, begins: one.begins, ends: one.ends };
                        lru.describe(place.index, &life);
                    }
                    if what < 40 {
                        one.in_use = true;
                        lru.take_into_use(place.index);
                    }
                    if what < 25 {
                        one.held += 1;
                        holds.push((number, lru.hold(place.index).unwrap()));
                    }
                    model.push(one);
                }
                80..98 if !holds.is_empty() => {
                    let at = usize::try_from(random()).unwrap() % holds.len();
                    let (number, hold) = holds.swap_remove(at);
                    lru.let_go(&hold);
                    let held = model.iter_mut().find(|one| one.number == number).unwrap();
                    held.held -= 1;
                }
                98 => {
                    assert_eq!(lru.remove(&key(number)).is_some(), known.is_some(), "{round}");
                    if let Some(known) = known {
                        model.remove(known);
                    }
                    // Who still holds it, lets go of nothing, also if it comes back.
                    for (_, hold) in holds.extract_if(.., |(holder, _)| *holder == number) {
                        if round % 2 == 0 && lru.len() < PLACES && known.is_some() {
                            lru.touch(&key(number), now);
                            lru.let_go(&hold);
                            lru.remove(&key(number));
                        }
                    }
                }
                99 if round % 7 == 0 => {
                    lru.clear();
                    (evicted, turned_away) = (0, 0);
                    model.clear();
                    holds.clear();
                }
                _ => {}
            }
            let Evictions { expired, superseded, valid, .. } = lru.evictions();
            assert_eq!((lru.len(), lru.evicted()), (model.len(), evicted), "{round}");
            assert_eq!(expired + superseded + valid, evicted);
            assert_eq!(lru.evictions().turned_away, turned_away);
            let mut keys: Vec<_> = (0..lru.len()).map(|index| *lru.key(index).unwrap()).collect();
            let mut expected: Vec<_> = model.iter().map(|one| key(one.number)).collect();
            keys.sort_unstable();
            expected.sort_unstable();
            assert_eq!(keys, expected, "{round}");
            let in_use = model.iter().filter(|one| one.in_use && one.group != 0).count();
            assert_eq!(lru.members_in_use().count(), in_use, "{round}");
        }
        lru.clear();
        assert!(lru.is_empty() && lru.evicted() == 0);
    }

    #[test]
    fn who_held_a_key_that_was_removed_lets_go_of_nothing() {
        let (mut control, mut buckets, mut groups, mut nodes) =
            (Control::default(), [0; 2], [0; 2], [Node::default(); 2]);
        let mut lru = Lru::new(&mut control, &mut buckets, &mut groups, &mut nodes);
        let held = |lru: &mut Lru<'_>| {
            let place = lru.touch(&key(1), 0).unwrap();
            lru.hold(place.index).unwrap()
        };
        let first = held(&mut lru);
        lru.clear();
        let second = held(&mut lru);
        lru.let_go(&first);
        lru.touch(&key(2), 0).unwrap();
        // The second one still holds it, so another goes.
        lru.touch(&key(3), 0).unwrap();
        assert!((0..2).any(|index| lru.key(index) == Some(&key(1))));
        lru.let_go(&second);
        lru.touch(&key(4), 0).unwrap();
        assert!((0..2).all(|index| lru.key(index) != Some(&key(1))));
    }

    #[test]
    fn without_room_there_is_no_place() {
        let mut control = Control::default();
        assert_eq!(Lru::new(&mut control, &mut [], &mut [], &mut []).touch(&key(1), 0), None);
    }
}
