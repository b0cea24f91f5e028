//! Memory that the operating system refuses: an error for whoever asked, never the end of the
//! server.
//!
//! A Rust allocation that fails ends the process with a signal, after which the server ends all the
//! others. So:
//!
//! * whatever grows with an argument, a file or the instance is asked for with `try_reserve`, or
//!   what the work will take is announced ([`work`]);
//! * the many small allocations are served from a reserve when the system refuses, and
//!   [`check_for_interrupts`], which every loop calls, gives the work up with error 53200, which
//!   gives the reserve back;
//! * what slips through both ends this session alone: the process is not aborted, but ended as by
//!   `FATAL`.
//!
//! Each process has its own reserve: it is part of the library's memory, and a child of the
//! postmaster gets a copy when it is forked. Nothing here takes a lock that somebody else may hold.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{RefCell, UnsafeCell};
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pgrx::pg_sys;
use pgtls_core::reserve::Units;
use pgtls_core::work;

use crate::error::{Error, NO_MORE_MEMORY, Result};

/// Bytes of the reserve: what the small allocations between two checks for interrupts may take.
const RESERVE: usize = 1024 * 1024;

/// The largest piece that the reserve gives. What is larger grows with some input, and is asked for
/// in another way.
const LARGEST_PIECE: usize = 64 * 1024;

/// The reserve is given out in multiples of this many bytes, and aligned to it.
const UNIT: usize = 64;

const WORDS: usize = RESERVE / UNIT / 64;

/// The allocator of everything in Rust in this library.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[repr(C, align(4096))]
struct Reserve {
    memory: UnsafeCell<[u8; RESERVE]>,
    units: Units<WORDS>,
    /// Whether a piece was given since this was last asked.
    has_served: AtomicBool,
    /// Whether the last request could not be served at all: an abort that follows is for want of
    /// memory.
    has_refused: AtomicBool,
}

// SAFETY: the memory is only handed out in pieces, of which each has one owner.
unsafe impl Sync for Reserve {}

static RESERVED: Reserve = Reserve {
    memory: UnsafeCell::new([0; RESERVE]),
    units: Units::new(),
    has_served: AtomicBool::new(false),
    has_refused: AtomicBool::new(false),
};

impl Reserve {
    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// The unit that an address is the start of; `None` if it is not in the reserve.
    fn unit_of(&self, address: *const u8) -> Option<usize> {
        let offset = address.addr().checked_sub(self.start().addr())?;
        (offset < RESERVE).then_some(offset / UNIT)
    }

    /// A piece; null if there is none.
    fn serve(&self, layout: Layout) -> *mut u8 {
        let fits = layout.size() <= LARGEST_PIECE && layout.align() <= UNIT;
        let first = fits.then(|| self.units.take(units(layout))).flatten();
        let Some(first) = first else {
            self.has_refused.store(true, Ordering::Relaxed);
            return ptr::null_mut();
        };
        self.has_served.store(true, Ordering::Relaxed);
        // SAFETY: the units are inside the memory.
        unsafe { self.start().add(first * UNIT) }
    }
}

fn units(layout: Layout) -> usize {
    layout.size().div_ceil(UNIT).max(1)
}

// SAFETY: memory comes from the system's allocator or from the reserve, and goes back to where its
// address says it is from. A piece of the reserve has one owner and is aligned to `UNIT`, and a
// larger alignment is refused. Nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        served(unsafe { system(|| System.alloc(layout)) }, || RESERVED.serve(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        served(unsafe { system(|| System.alloc_zeroed(layout)) }, || {
            let piece = RESERVED.serve(layout);
            if !piece.is_null() {
                // SAFETY: the piece has this size.
                unsafe { piece.write_bytes(0, layout.size()) };
            }
            piece
        })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match RESERVED.unit_of(memory) {
            Some(first) => {
                RESERVED.units.give_back(first, units(layout));
            }
            // SAFETY: what is not from the reserve is from the system.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_reserved = RESERVED.unit_of(memory).is_some();
        if !is_reserved {
            // SAFETY: the caller's contract; it is from the system, which leaves it as it is if it
            // refuses.
            let moved = unsafe { system(|| System.realloc(memory, layout, size)) };
            if !moved.is_null() {
                return served(moved, ptr::null_mut);
            }
            if size <= layout.size() {
                // What was to become smaller stays as large as it is.
                return memory;
            }
        }
        // SAFETY: the caller's contract: the size is not 0 and does not overflow with the
        // alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // From the reserve into the system's memory, if that has some again.
        let moved = match is_reserved {
            // SAFETY: as above.
            true => unsafe { self.alloc(new) },
            false => RESERVED.serve(new),
        };
        if !moved.is_null() {
            // SAFETY: two pieces that do not overlap, each at least this long; the old one is given
            // up.
            unsafe {
                ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}

/// What the system gives; null if a test wants that.
///
/// # Safety
/// That of `ask`.
unsafe fn system(ask: impl FnOnce() -> *mut u8) -> *mut u8 {
    #[cfg(debug_assertions)]
    if faults::count_and_refuse() {
        return ptr::null_mut();
    }
    ask()
}

/// For tests, and in no release: the system refuses from a given allocation on.
#[cfg(debug_assertions)]
pub(in crate::pg) mod faults {
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

    use pgrx::GucSetting;

    /// The first allocation that is refused, from 1; 0 for none.
    pub(in crate::pg) static FIRST_REFUSED: GucSetting<i32> = GucSetting::<i32>::new(0);

    /// What the setting was when counting began, in which process, and how many there have been
    /// since.
    static SETTING: AtomicI32 = AtomicI32::new(0);
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    static COUNT: AtomicI32 = AtomicI32::new(0);

    /// Counts an allocation, and says whether it is refused.
    pub(super) fn count_and_refuse() -> bool {
        let setting = FIRST_REFUSED.get();
        if setting == 0 {
            SETTING.store(0, Ordering::Relaxed);
            return false;
        }
        let process = std::process::id();
        if SETTING.swap(setting, Ordering::Relaxed) != setting
            || PROCESS.swap(process, Ordering::Relaxed) != process
        {
            COUNT.store(0, Ordering::Relaxed);
        }
        COUNT.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= setting
    }

    /// Whether allocations are refused now.
    pub(super) fn refuses() -> bool {
        let setting = FIRST_REFUSED.get();
        setting != 0
            && SETTING.load(Ordering::Relaxed) == setting
            && COUNT.load(Ordering::Relaxed) >= setting
    }
}

/// What the system gave, or else what the reserve gives.
fn served(memory: *mut u8, reserve: impl FnOnce() -> *mut u8) -> *mut u8 {
    if memory.is_null() {
        return reserve();
    }
    if RESERVED.has_refused.load(Ordering::Relaxed) {
        RESERVED.has_refused.store(false, Ordering::Relaxed);
    }
    memory
}

/// Whether work is under way that lives on the reserve, while the system still refuses. Says so
/// once.
pub(crate) fn has_run_out() -> bool {
    RESERVED.has_served.load(Ordering::Relaxed)
        && RESERVED.has_served.swap(false, Ordering::Relaxed)
        && RESERVED.units.in_use()
        && !can_have(RESERVE)
}

/// What every loop over input calls: gives the work up if somebody wants that, or if it lives on
/// the reserve.
pub(crate) fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
    if has_run_out() {
        Error::OutOfMemory.raise();
    }
}

/// Sizes of the pieces that a copy of an error takes: the error itself, its message, detail, hint
/// and context.
const PIECES_OF_AN_ERROR: [usize; 10] = [32, 32, 64, 64, 128, 128, 256, 256, 512, 1024];

/// Leaves room for the copy of an error in the current memory context. pgrx copies each error of
/// the server that passes through it, and if there is no memory for that, the next error comes from
/// the copying, until the server panics.
pub(in crate::pg) fn make_room_for_an_error() {
    let flags = c_int::try_from(pg_sys::MCXT_ALLOC_NO_OOM).unwrap_or_default();
    // SAFETY: told to return null and not to raise. What is given back stays with the context, for
    // pieces of its size.
    let pieces = PIECES_OF_AN_ERROR.map(|size| unsafe { pg_sys::palloc_extended(size, flags) });
    for piece in pieces.into_iter().filter(|piece| !piece.is_null()) {
        // SAFETY: made above, and nobody else has it.
        unsafe { pg_sys::pfree(piece) };
    }
    if pieces.iter().any(|piece| piece.is_null()) {
        Error::OutOfMemory.raise();
    }
}

/// Whether the system would give this many bytes now.
fn can_have(bytes: usize) -> bool {
    #[cfg(debug_assertions)]
    if faults::refuses() {
        return false;
    }
    // SAFETY: new memory that nobody has asked for a place of, and that is given back untouched.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        memory != libc::MAP_FAILED && libc::munmap(memory, bytes) == 0
    }
}

/// Called once, when the library is loaded.
pub(crate) fn install() -> Result<()> {
    work::install(work::Hooks {
        between: check_for_interrupts,
        out_of_memory: || Error::OutOfMemory.raise(),
    });
    // What the first use of a thread-local variable takes comes from the C library, which would end
    // the process if there were none. So it is taken here, and inherited by the children of the
    // postmaster.
    if !can_have(RESERVE) {
        return Err(Error::OutOfMemory);
    }
    thread_local!(static FIRST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    FIRST.with_borrow_mut(Vec::clear);
    // SAFETY: the handler keeps to what is said at it; the one before it is kept and called.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(c_int) = aborted;
        action.sa_sigaction = handler as usize;
        if libc::sigaction(libc::SIGABRT, &action, &mut before) == 0
            && before.sa_flags & libc::SA_SIGINFO == 0
            && before.sa_sigaction != action.sa_sigaction
        {
            PREVIOUS.store(before.sa_sigaction, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The handler that was there before ours: `SIG_DFL`, `SIG_IGN` or a function.
static PREVIOUS: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

unsafe extern "C-unwind" {
    // `utils/elog.h`; pgrx keeps them to itself.
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(sqlstate: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errdetail(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

/// The process is about to end with `SIGABRT`. If that is for want of memory, it ends as a session
/// that is over, which leaves the others alone; else as it would have.
///
/// `abort` raises the signal where it is called, so this is no interruption of anything: it runs in
/// the place of the rest of a function that does not return. A handler of `SIGABRT` need not return
/// either.
extern "C" fn aborted(signal: c_int) {
    static BEFORE: AtomicBool = AtomicBool::new(false);
    let is_for_memory = RESERVED.has_refused.load(Ordering::Relaxed) || !can_have(RESERVE);
    if is_for_memory && !BEFORE.swap(true, Ordering::Relaxed) {
        // SAFETY: the server's own functions, called as `ereport(FATAL)` does. They keep memory for
        // this case, and do not come back; should they, or abort, this handler is entered a second
        // time and gives way.
        unsafe {
            let level = pgrx::PgLogLevel::FATAL as c_int;
            if errstart(level, ptr::null()) {
                errcode(pgrx::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
                errmsg(c"out of memory".as_ptr());
                // Not NUL-terminated, so its length is told.
                let (length, detail) = (NO_MORE_MEMORY.len() as c_int, NO_MORE_MEMORY.as_ptr());
                errdetail(c"%.*s".as_ptr(), length, detail);
                errfinish(c"memory.rs".as_ptr(), 0, c"aborted".as_ptr());
            }
            pg_sys::proc_exit(1);
        }
    }
    let previous = PREVIOUS.load(Ordering::Relaxed);
    if previous != libc::SIG_DFL && previous != libc::SIG_IGN {
        // SAFETY: the handler that was there before, of the kind that takes the signal alone.
        let previous = unsafe {
            let function: *const () = ptr::with_exposed_provenance(previous);
            std::mem::transmute::<*const (), extern "C" fn(c_int)>(function)
        };
        previous(signal);
    }
    // `abort` ends the process when this returns.
}
