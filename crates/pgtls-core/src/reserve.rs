//! Which pieces of a small reserve of memory are in use.
//!
//! This is the book-keeping of an allocator: it allocates nothing, panics nowhere and waits for
//! nobody. Who gets turned away because somebody else is writing here (a signal handler in the
//! middle of a call) is told that there is no room.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A set of units, each free or in use. `WORDS` times 64 of them.
#[derive(Debug)]
pub struct Units<const WORDS: usize> {
    words: [AtomicU64; WORDS],
    /// How many are in use.
    used: AtomicUsize,
    busy: AtomicBool,
}

impl<const WORDS: usize> Units<WORDS> {
    /// How many units there are.
    pub const COUNT: usize = WORDS * 64;

    /// All free.
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; WORDS],
            used: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// Takes as many adjacent units, and says which is the first of them.
    pub fn take(&self, count: usize) -> Option<usize> {
        self.alone(|| {
            let first = self.find(count)?;
            self.mark(first, count, true);
            self.used.fetch_add(count, Ordering::Relaxed);
            Some(first)
        })?
    }

    /// Gives back what was taken. Says whether that was possible; if not, these units stay in use.
    pub fn give_back(&self, first: usize, count: usize) -> bool {
        let done = self.alone(|| {
            self.mark(first, count, false);
            self.used.fetch_sub(count, Ordering::Relaxed);
        });
        done.is_some()
    }

    /// Whether any is in use.
    pub fn in_use(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0
    }

    fn alone<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let done = work();
        self.busy.store(false, Ordering::Release);
        Some(done)
    }

    /// The first run of free units that is long enough.
    fn find(&self, count: usize) -> Option<usize> {
        let (mut start, mut unit) = (0, 0);
        while unit < Self::COUNT {
            let word = self.words.get(unit / 64)?.load(Ordering::Relaxed);
            let rest = word >> (unit % 64);
            if rest & 1 == 1 {
                unit += usize::try_from(rest.trailing_ones()).ok()?;
                start = unit;
                continue;
            }
            // What was shifted in is no unit of this word.
            let free = usize::try_from(rest.trailing_zeros()).ok()?.min(64 - unit % 64);
            unit += free;
            if count > 0 && unit - start >= count {
                return Some(start);
            }
        }
        None
    }

    fn mark(&self, first: usize, count: usize, used: bool) {
        for unit in (first..Self::COUNT).take(count) {
            let Some(word) = self.words.get(unit / 64) else { return };
            let bit = 1 << (unit % 64);
            match used {
                true => word.fetch_or(bit, Ordering::Relaxed),
                false => word.fetch_and(!bit, Ordering::Relaxed),
            };
        }
    }
}

impl<const WORDS: usize> Default for Units<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_nobody_elses() {
        // Against a list of flags.
        let units = Units::<4>::new();
        let mut flags = [false; Units::<4>::COUNT];
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        let mut random = 1_u64;
        let mut full = 0;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = usize::try_from(random >> 33).unwrap();
            if number.is_multiple_of(3) && !pieces.is_empty() {
                let (first, count) = pieces.swap_remove(number % pieces.len());
                assert!(units.give_back(first, count));
                flags[first..first + count].fill(false);
            } else {
                let count = 1 + number % 70;
                let first = units.take(count);
                let room = flags.windows(count).position(|flags| !flags.contains(&true));
                assert_eq!(first, room);
                match first {
                    Some(first) => {
                        flags[first..first + count].fill(true);
                        pieces.push((first, count));
                    }
                    None => full += 1,
                }
            }
            assert_eq!(units.in_use(), flags.contains(&true));
        }
        assert!(full > 100, "{full}");
    }

    #[test]
    fn there_is_an_end() {
        let units = Units::<2>::new();
        assert_eq!(units.take(0), None);
        assert_eq!(units.take(129), None);
        assert_eq!(units.take(usize::MAX), None);
        assert!(!units.in_use());
        assert_eq!(units.take(128), Some(0));
        assert_eq!(units.take(1), None);
        assert!(units.give_back(0, 128));
        assert!(!units.in_use());
    }

    #[test]
    fn who_interrupts_gets_nothing() {
        let units = Units::<2>::new();
        let inside = units.alone(|| (units.take(1), units.give_back(0, 1)));
        assert_eq!(inside, Some((None, false)));
        assert_eq!(units.take(1), Some(0));
    }
}
