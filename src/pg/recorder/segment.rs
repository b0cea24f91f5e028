//! The recorder's segment of shared memory: how large it is, where what is, and how it is read
//! while it is written.
//!
//! Exists only where the library is preloaded. One allocation holds, in this order: counters
//! ([`Shared`]), the inventory of client certificates, the ring of recent failures, and a slot for
//! each backend. What is in them is known to `inventory`, `failures` and `slots`.
//!
//! Counters are atomics, and the inventory is under a lock of the server. A ring entry or a slot is
//! written by one process and read by others, without a lock: the writer makes a change counter
//! odd, writes, and makes it even again; a reader copies, and takes the copy only if the counter
//! was even and the same before and after. A reader gives up after some tries, a writer never
//! waits. So nothing here can block, and a process that dies in the middle of writing leaves an odd
//! counter, which readers skip and the next writer overwrites.

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

use pgrx::pg_sys;

use pgtls_core::recorder::lru;
use pgtls_core::work;

use crate::pg::recorder::{
    failure_ring, failures, inventory, logins, reload, reload_error, same_files, sessions,
};
use crate::pg::server::guc;

/// The name of the segment.
const NAME: &std::ffi::CStr = c"pgtls_ext";

/// How often a reader tries to get a consistent copy. A writer is done in microseconds, and a
/// process writes its slot twice in its life, so more than a few tries mean that the writer is dead
/// or stopped.
const READ_TRIES: usize = 1000;

/// All parts of the segment start at multiples of this.
const ALIGNMENT: usize = 8;

/// Where the segment is in this process; null without one. Children of the postmaster inherit it.
static SEGMENT: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// The lock of the inventory; null without a segment.
static LOCK: AtomicPtr<pg_sys::LWLock> = AtomicPtr::new(ptr::null_mut());

/// The hooks that were there before ours.
static PREVIOUS_REQUEST: OnceLock<pg_sys::shmem_request_hook_type> = OnceLock::new();
static PREVIOUS_STARTUP: OnceLock<pg_sys::shmem_startup_hook_type> = OnceLock::new();

/// The counters, and where the other parts are.
#[repr(C)]
pub(in crate::pg) struct Shared {
    layout: Layout,
    /// Sessions and failures that could not be recorded.
    pub(in crate::pg) dropped: AtomicU64,
    /// When the TLS context in force was loaded, as the postmaster knows it: microseconds of the
    /// server's epoch, 0 for never.
    pub(in crate::pg) context_loaded_at: AtomicI64,
    /// When the server last reloaded its TLS configuration, in the same unit.
    pub(in crate::pg) last_reload_at: AtomicI64,
    /// Whether that took: one of `reload::Outcome`.
    pub(in crate::pg) last_reload: AtomicU32,
    /// Grows whenever something else may have come into force; written by the postmaster.
    pub(in crate::pg) generation: AtomicU64,
    /// The generation of which was last published what is in force; 0 for none.
    pub(in crate::pg) published: AtomicU64,
    /// The last generation of which it could not be published what is in force.
    pub(in crate::pg) unpublished: AtomicU64,
    /// The generation of which were last published the rules of `pg_hba.conf` and `pg_ident.conf`.
    pub(in crate::pg) rules_published: AtomicU64,
    /// How often something was published.
    pub(in crate::pg) publications: AtomicU64,
    /// How often verdicts were written down (see `verdicts`).
    pub(in crate::pg) verdicts: AtomicU64,
    /// Grows with every change that is worth saving.
    pub(in crate::pg) changes: AtomicU64,
    /// When this memory was made, in the same unit.
    pub(in crate::pg) made_at: AtomicI64,
    /// When everything was last forgotten, in the same unit; 0 for never.
    pub(in crate::pg) reset_at: AtomicI64,
    /// How much of the saved file has been taken over (see `save`).
    pub(in crate::pg) loaded: AtomicU64,
    /// The worker's process ID; 0 if there is none.
    pub(in crate::pg) worker_pid: AtomicU32,
    /// When the worker last checked the credentials of sessions, in the same unit; 0 for never.
    pub(in crate::pg) worker_checked_at: AtomicI64,
    /// When it last ended nobody because it would have been too many, in the same unit.
    pub(in crate::pg) held_back_at: AtomicI64,
    /// Sessions that were ended because of their certificate.
    pub(in crate::pg) sessions_terminated: AtomicU64,
    /// Logins for which there was no room in their table.
    pub(in crate::pg) other_logins: AtomicU64,
    /// Failures by reason.
    pub(in crate::pg) failures: failures::Counters,
    /// Which of them are in the ring.
    pub(in crate::pg) failure_numbers: failure_ring::Numbers,
}

/// The parts of the segment, in bytes from its start.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Layout {
    control: usize,
    buckets: usize,
    groups: usize,
    nodes: usize,
    certificates: usize,
    certificate_count: usize,
    ring: usize,
    ring_entries: usize,
    tallies: usize,
    logins: usize,
    reload_error: usize,
    same_files: usize,
    slots: usize,
    slot_count: usize,
    slot_bytes: usize,
    endings: usize,
    total: usize,
}

impl Layout {
    /// The layout for the settings of this server. `MaxBackends` is known from the request hook on.
    fn of_settings() -> Self {
        // SAFETY: a plain read of a variable that is constant from the request hook on.
        let slot_count = usize::try_from(unsafe { pg_sys::MaxBackends }).unwrap_or(0);
        let slot_bytes =
            aligned(sessions::HEAD_BYTES + sessions::TEXT_BYTES + guc::session_chain_bytes());
        let certificate_count = guc::max_client_certificates();
        let ring_entries = guc::max_recent_failures();
        let mut total = aligned(size_of::<Shared>());
        let mut part = |count: usize, bytes: usize| {
            let start = total;
            total += aligned(count * bytes);
            start
        };
        Self {
            control: part(1, size_of::<lru::Control>()),
            buckets: part(certificate_count, size_of::<u32>()),
            groups: part(certificate_count, size_of::<u32>()),
            nodes: part(certificate_count, size_of::<lru::Node>()),
            certificates: part(certificate_count, size_of::<inventory::Entry>()),
            certificate_count,
            ring: part(ring_entries, aligned(failure_ring::ENTRY_BYTES)),
            ring_entries,
            tallies: part(ring_entries, size_of::<failure_ring::Tally>()),
            logins: part(logins::ENTRIES, size_of::<logins::Entry>()),
            reload_error: part(1, aligned(reload_error::BYTES)),
            same_files: part(1, aligned(same_files::BYTES)),
            slots: part(slot_count, slot_bytes),
            slot_count,
            slot_bytes,
            endings: part(slot_count, size_of::<AtomicU64>()),
            total,
        }
    }
}

/// Asks the server for the segment. Called once, while the server loads the libraries of
/// `shared_preload_libraries`.
pub(in crate::pg) fn install() {
    // SAFETY: the postmaster is alone at this time; both hooks call the one they replace.
    unsafe {
        let _ = PREVIOUS_REQUEST.set(pg_sys::shmem_request_hook);
        pg_sys::shmem_request_hook = Some(request);
        let _ = PREVIOUS_STARTUP.set(pg_sys::shmem_startup_hook);
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn request() {
    if let Some(Some(previous)) = PREVIOUS_REQUEST.get() {
        // SAFETY: the hook of another library, called as the server would.
        unsafe { previous() };
    }
    // SAFETY: this hook is the place for it.
    unsafe {
        pg_sys::RequestAddinShmemSpace(Layout::of_settings().total);
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), 1);
    }
}

/// Runs in the postmaster at start, and again after a crash of a backend, with new memory.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn startup() {
    SEGMENT.store(ptr::null_mut(), Ordering::Relaxed);
    if let Some(Some(previous)) = PREVIOUS_STARTUP.get() {
        // SAFETY: the hook of another library, called as the server would.
        unsafe { previous() };
    }
    let layout = Layout::of_settings();
    let mut found = false;
    // SAFETY: the size asked for in the request hook. The postmaster has no children now, so no
    // lock is needed.
    let segment = unsafe { pg_sys::ShmemInitStruct(NAME.as_ptr(), layout.total, &mut found) };
    let segment = segment.cast::<Shared>();
    if !found {
        // The kernel hands shared memory out as zeroes, which are a valid state of all parts, and
        // the server has it made anew after a crash. To write them once more would take as long as
        // half a gigabyte takes, and make all of it resident.
        // SAFETY: just allocated, of this size; the layout is plain data.
        unsafe {
            ptr::write_bytes(segment, 0, 1);
            (&raw mut (*segment).layout).write(layout);
            (*segment).made_at.store(pg_sys::GetCurrentTimestamp(), Ordering::Relaxed);
        }
    }
    // SAFETY: the tranche was asked for in the request hook; it has one lock.
    LOCK.store(
        unsafe { &raw mut (*pg_sys::GetNamedLWLockTranche(NAME.as_ptr())).lock },
        Ordering::Relaxed,
    );
    SEGMENT.store(segment, Ordering::Release);
    reload::publish();
}

/// The recorder's segment.
#[derive(Clone, Copy)]
pub(in crate::pg) struct Segment(NonNull<Shared>);

impl Segment {
    /// `None` where the library is not preloaded.
    pub(in crate::pg) fn get() -> Option<Self> {
        NonNull::new(SEGMENT.load(Ordering::Acquire)).map(Self)
    }

    /// The same, but also `None` in the postmaster, whose memory is replaced after a crash.
    pub(in crate::pg) fn in_child() -> Option<Self> {
        // SAFETY: a plain read of a variable that is constant in a process.
        unsafe { pg_sys::IsUnderPostmaster }.then(Self::get).flatten()
    }

    /// The counters.
    pub(in crate::pg) fn shared(self) -> &'static Shared {
        // SAFETY: mapped until the process ends; its mutable parts are atomics.
        unsafe { self.0.as_ref() }
    }

    /// One of the slots.
    pub(in crate::pg) fn slot(self, index: usize) -> Option<Published> {
        let layout = self.shared().layout;
        if index >= layout.slot_count {
            return None;
        }
        // SAFETY: inside the segment, by the layout it was allocated for.
        Some(unsafe { self.part(layout.slots + index * layout.slot_bytes, layout.slot_bytes) })
    }

    /// Why the session of a slot is being ended (see `session_end`); 0 if it is not.
    pub(in crate::pg) fn ending(self, index: usize) -> Option<&'static AtomicU64> {
        let layout = self.shared().layout;
        let start = layout.endings + index.checked_mul(size_of::<AtomicU64>())?;
        if index >= layout.slot_count {
            return None;
        }
        // SAFETY: inside the segment, by the layout it was allocated for, and aligned as all parts
        // are; any bytes are a valid number. Mapped until the process ends.
        Some(unsafe { self.0.as_ptr().cast::<u8>().add(start).cast::<AtomicU64>().as_ref()? })
    }

    /// How many slots there are.
    pub(in crate::pg) fn slot_count(self) -> usize {
        self.shared().layout.slot_count
    }

    /// One of the ring's entries.
    pub(in crate::pg) fn ring_entry(self, index: usize) -> Option<Published> {
        let layout = self.shared().layout;
        let bytes = aligned(failure_ring::ENTRY_BYTES);
        if index >= layout.ring_entries {
            return None;
        }
        // SAFETY: as in `slot`.
        Some(unsafe { self.part(layout.ring + index * bytes, bytes) })
    }

    /// How many entries the ring has.
    pub(in crate::pg) fn ring_entries(self) -> usize {
        self.shared().layout.ring_entries
    }

    /// How often the failure of each of the ring's entries has come.
    pub(in crate::pg) fn tallies(self) -> &'static [failure_ring::Tally] {
        let layout = self.shared().layout;
        // SAFETY: inside the segment, by the layout it was allocated for, and aligned as all parts
        // are; atomics, of which any bytes are a valid value. Mapped until the process ends.
        unsafe {
            let start = self.0.as_ptr().cast::<u8>().add(layout.tallies);
            std::slice::from_raw_parts(start.cast(), layout.ring_entries)
        }
    }

    /// Logins by how they were encrypted.
    pub(in crate::pg) fn logins(self) -> &'static [logins::Entry] {
        // SAFETY: as in `tallies`; zeroes are entries that are free.
        unsafe {
            let start = self.0.as_ptr().cast::<u8>().add(self.shared().layout.logins);
            std::slice::from_raw_parts(start.cast(), logins::ENTRIES)
        }
    }

    /// Where the postmaster writes why the last reload did not take.
    pub(in crate::pg) fn reload_error(self) -> Published {
        // SAFETY: as in `slot`.
        unsafe { self.part(self.shared().layout.reload_error, aligned(reload_error::BYTES)) }
    }

    /// Which files were found to hold what is in force.
    pub(in crate::pg) fn same_files(self) -> Published {
        // SAFETY: as in `slot`.
        unsafe { self.part(self.shared().layout.same_files, aligned(same_files::BYTES)) }
    }

    /// Does something with the inventory while nobody else can.
    pub(in crate::pg) fn with_inventory<T>(self, work: impl FnOnce(Inventory<'_>) -> T) -> T {
        let _lock = Lock::take();
        let layout = self.shared().layout;
        let count = layout.certificate_count;
        // SAFETY: the parts are inside the segment, do not overlap, and are aligned; all of them
        // are plain data, for which any bytes are valid. The lock makes this the only access until
        // the end of the block.
        unsafe {
            let start = self.0.cast::<u8>().as_ptr();
            work(Inventory {
                index: lru::Lru::new(
                    &mut *start.add(layout.control).cast(),
                    std::slice::from_raw_parts_mut(start.add(layout.buckets).cast(), count),
                    std::slice::from_raw_parts_mut(start.add(layout.groups).cast(), count),
                    std::slice::from_raw_parts_mut(start.add(layout.nodes).cast(), count),
                ),
                entries: std::slice::from_raw_parts_mut(
                    start.add(layout.certificates).cast(),
                    count,
                ),
            })
        }
    }

    /// How many certificates the inventory has room for.
    pub(in crate::pg) fn inventory_room(self) -> usize {
        self.shared().layout.certificate_count
    }

    /// # Safety
    /// `offset + bytes` is inside the segment, and the part starts with a change counter.
    unsafe fn part(self, offset: usize, bytes: usize) -> Published {
        // SAFETY: the caller's contract; the segment is aligned to more than `ALIGNMENT`, and so
        // are its parts.
        let start = unsafe { self.0.cast::<u8>().add(offset) };
        Published { start, bytes }
    }
}

/// The inventory, locked.
pub(in crate::pg) struct Inventory<'a> {
    pub(in crate::pg) index: lru::Lru<'a>,
    pub(in crate::pg) entries: &'a mut [inventory::Entry],
}

/// The lock of the inventory, held. Released also when a panic passes.
struct Lock(*mut pg_sys::LWLock);

impl Lock {
    /// `None` in the postmaster, which uses the inventory only when it has no children, and could
    /// not wait.
    fn take() -> Option<Self> {
        let lock = LOCK.load(Ordering::Relaxed);
        // SAFETY: a plain read of a variable that is constant in a process.
        if lock.is_null() || !unsafe { pg_sys::IsUnderPostmaster } {
            return None;
        }
        // SAFETY: a lock of the server, taken by a process that has its process structure; it is
        // held for the time of a copy and by nobody who takes another one.
        unsafe { pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE) };
        Some(Self(lock))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: held since `take`.
        unsafe { pg_sys::LWLockRelease(self.0) };
    }
}

/// A piece of the segment that is read while it may be written: a change counter and what it
/// guards.
#[derive(Clone, Copy)]
pub(in crate::pg) struct Published {
    start: NonNull<u8>,
    bytes: usize,
}

/// Bytes of the change counter.
pub(in crate::pg) const COUNTER_BYTES: usize = size_of::<AtomicU64>();

/// Plain data: any bytes are a value of it, and it holds no pointer.
///
/// # Safety
/// All fields are integers or arrays of integers, there is no padding that matters, and the
/// alignment is at most 8.
pub(in crate::pg) unsafe trait Plain: Copy {}

impl Published {
    fn counter(&self) -> &AtomicU64 {
        // SAFETY: every piece starts with its counter, aligned as the piece is.
        unsafe { self.start.cast::<AtomicU64>().as_ref() }
    }

    /// Starts writing. The counter is even again when the result is dropped.
    pub(in crate::pg) fn write(&self) -> Writing<'_> {
        let counter = self.counter();
        // The next odd number, also after a writer that never finished.
        let odd = counter.load(Ordering::Relaxed).wrapping_add(1) | 1;
        counter.store(odd, Ordering::Relaxed);
        // What is written from here on is not seen before the odd counter.
        fence(Ordering::Release);
        Writing { place: self, odd }
    }

    /// A consistent copy: its first part, and as many of the bytes behind it as `tail` says. `None`
    /// if it is being written all the time, or was never written.
    pub(in crate::pg) fn read<T: Plain>(&self, tail: impl Fn(&T) -> usize) -> Option<(T, Vec<u8>)> {
        for _ in 0..READ_TRIES {
            let before = self.counter().load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            if before.is_multiple_of(2) {
                // SAFETY: inside the piece; any bytes are a `T`. A torn copy is thrown away below.
                let head = unsafe { self.copy_head::<T>() };
                let room = self.bytes.saturating_sub(COUNTER_BYTES + size_of::<T>());
                // A torn head may ask for anything.
                let wanted = tail(&head).min(room);
                let mut bytes = Vec::new();
                work::reserve(&mut bytes, wanted);
                bytes.resize(wanted, 0);
                // SAFETY: as many bytes as the piece has behind the head, at most.
                unsafe { self.copy_tail::<T>(&mut bytes) };
                fence(Ordering::Acquire);
                if self.counter().load(Ordering::Relaxed) == before {
                    return Some((head, bytes));
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Where the guarded data starts.
    fn data(&self) -> *mut u8 {
        // SAFETY: every piece is longer than its counter.
        unsafe { self.start.as_ptr().add(COUNTER_BYTES) }
    }

    /// # Safety
    /// The piece has room for a `T`.
    unsafe fn copy_head<T: Plain>(&self) -> T {
        let mut head = MaybeUninit::<T>::uninit();
        // SAFETY: both are at least this long, and any bytes are a `T`.
        unsafe {
            copy_volatile(self.data(), head.as_mut_ptr().cast(), size_of::<T>());
            head.assume_init()
        }
    }

    /// # Safety
    /// The piece has room for a `T` and `into` behind it.
    unsafe fn copy_tail<T: Plain>(&self, into: &mut [u8]) {
        // SAFETY: the caller's contract.
        unsafe { copy_volatile(self.data().add(size_of::<T>()), into.as_mut_ptr(), into.len()) };
    }
}

/// Copies memory that another process may be writing: each word is read once, whatever it holds.
///
/// # Safety
/// Both are valid for `bytes` bytes.
unsafe fn copy_volatile(from: *const u8, to: *mut u8, bytes: usize) {
    let words = if from.cast::<u64>().is_aligned() { bytes / 8 } else { 0 };
    for word in 0..words {
        // SAFETY: inside the caller's bounds; the source is aligned.
        unsafe {
            let value = from.cast::<u64>().add(word).read_volatile();
            to.cast::<u64>().add(word).write_unaligned(value);
        }
    }
    for byte in words * 8..bytes {
        // SAFETY: inside the caller's bounds.
        unsafe { to.add(byte).write(from.add(byte).read_volatile()) };
    }
}

/// A piece being written.
pub(in crate::pg) struct Writing<'a> {
    place: &'a Published,
    odd: u64,
}

impl Writing<'_> {
    /// The bytes behind a head of type `T`, which only this process writes now.
    pub(in crate::pg) fn tail<T: Plain>(&mut self) -> &mut [u8] {
        let room = self.place.bytes.saturating_sub(COUNTER_BYTES + size_of::<T>());
        // SAFETY: inside the piece. Nobody else writes it (see `slots` and `failures`), nothing in
        // this process reads it meanwhile, and readers in other processes throw away what they
        // copied.
        unsafe { std::slice::from_raw_parts_mut(self.place.data().add(size_of::<T>()), room) }
    }

    /// Writes the head.
    pub(in crate::pg) fn head<T: Plain>(&mut self, head: T) {
        if size_of::<T>() + COUNTER_BYTES <= self.place.bytes {
            // SAFETY: inside the piece, and aligned: the counter before it has the alignment of all
            // pieces.
            unsafe { self.place.data().cast::<T>().write_volatile(head) };
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Fails if another process has taken the piece over meanwhile, which only a ring entry can
        // suffer.
        let even = self.odd.wrapping_add(1);
        let _ = self.place.counter().compare_exchange(
            self.odd,
            even,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }
}

/// Rounded up to where the next part may start.
const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}
