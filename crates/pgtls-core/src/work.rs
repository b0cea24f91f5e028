//! What work over large input has to do on its way: let others interrupt it, and ask for memory
//! before it takes it.
//!
//! The core knows neither of a server nor of its interrupts. Whoever uses it says once, with
//! [`install`], what is to be called; without that, work is not interrupted, and a lack of memory
//! is a panic. What is called may unwind.
//!
//! An allocation that fails in the ordinary way ends the process. So whatever grows with the input
//! is either made with [`push`] and [`reserve`], or announced with [`expect`]. Small allocations
//! are for the allocator.

use std::sync::OnceLock;

/// What is called.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Between two units of work.
    pub between: fn(),
    /// When there is no memory. Does not return.
    pub out_of_memory: fn() -> !,
}

static HOOKS: OnceLock<Hooks> = OnceLock::new();

/// What work may take without announcing it.
const UNANNOUNCED: usize = 256 * 1024;

/// Sets what is called, for good.
pub fn install(hooks: Hooks) {
    // The first one stays.
    let _ = HOOKS.set(hooks);
}

/// Between two units of work: a certificate, a line of a file, a thousand entries of a list.
pub fn between() {
    if let Some(hooks) = HOOKS.get() {
        (hooks.between)();
    }
}

/// To be called for every entry of something that may have millions of them; `number` counts them
/// from 0.
pub fn between_some(number: usize) {
    if number % 1024 == 1023 {
        between();
    }
}

/// There is no memory.
pub fn out_of_memory() -> ! {
    match HOOKS.get() {
        Some(hooks) => (hooks.out_of_memory)(),
        None => panic!("out of memory"),
    }
}

/// Gives up if there are not this many bytes now. They are not taken: this is for work of which the
/// allocations add up to about that.
pub fn expect(bytes: usize) {
    if bytes > UNANNOUNCED && Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
        out_of_memory();
    }
}

/// Makes room for more elements.
pub fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.try_reserve(more).is_err() {
        out_of_memory();
    }
}

/// Appends an element.
pub fn push<T>(list: &mut Vec<T>, element: T) {
    reserve(list, 1);
    list.push(element);
}

/// All elements, each after a look whether to go on.
pub fn collect<T>(elements: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    for element in elements {
        between();
        push(&mut list, element);
    }
    list
}

/// A copy of bytes.
pub fn copy(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::new();
    reserve(&mut copy, bytes.len());
    copy.extend_from_slice(bytes);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_given_up() {
        assert_eq!(collect(0..3), [0, 1, 2]);
        assert_eq!(copy(b"abc"), b"abc");
        expect(UNANNOUNCED);
        expect(1 << 20);
        let give_up = |work: fn()| assert!(std::panic::catch_unwind(work).is_err());
        give_up(|| expect(usize::MAX / 2));
        give_up(|| reserve(&mut Vec::<u64>::new(), usize::MAX / 2));
    }
}
