//! The settings `pgtls_ext.*`.
//!
//! Those of the recorder exist only where the library is preloaded: the server takes no setting of
//! context `postmaster` later, and without a recorder they would mean nothing.

use std::time::Duration;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

#[cfg(debug_assertions)]
use crate::pg::memory;

/// Most certificates of the inventory: half a gigabyte of shared memory.
const MAX_CLIENT_CERTIFICATES: i32 = 100_000;
/// Most failures that are kept one by one.
const MAX_RECENT_FAILURES: i32 = 100_000;
/// Most bytes of one chain: what a TLS client can send in OpenSSL's default
/// (`SSL_MAX_CERT_LIST_DEFAULT`), and the anchor.
const MAX_SESSION_CHAIN_BYTES: i32 = 128 * 1024;

static TRACK: GucSetting<bool> = GucSetting::<bool>::new(true);
static SESSION_CHAIN_BYTES: GucSetting<i32> = GucSetting::<i32>::new(8 * 1024);
static MAX_CERTIFICATES: GucSetting<i32> = GucSetting::<i32>::new(1000);
static SAVE: GucSetting<bool> = GucSetting::<bool>::new(true);
static REQUIRE_TLS: GucSetting<bool> = GucSetting::<bool>::new(false);
static CHECK_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(0);
static GRACE: GucSetting<i32> = GucSetting::<i32>::new(0);
static MAX_SHARE: GucSetting<i32> = GucSetting::<i32>::new(20);
static ACTION: GucSetting<Action> = GucSetting::<Action>::new(Action::Log);
static MAX_FAILURES: GucSetting<i32> = GucSetting::<i32>::new(128);
static RENEWAL_WINDOW: GucSetting<i32> = GucSetting::<i32>::new(75 * 24 * 60 * 60);
static DEBUG_FAULT: GucSetting<Fault> = GucSetting::<Fault>::new(Fault::None);

/// For tests: where the recorder is to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub(in crate::pg) enum Fault {
    /// Nowhere.
    #[name = c"none"]
    None,
    /// While a session is being recorded, with its slot half written.
    #[name = c"session"]
    Session,
    /// While a failure is being recorded.
    #[name = c"failure"]
    Failure,
    /// While a certificate is being recorded, with the inventory locked.
    #[name = c"certificate"]
    Certificate,
}

/// What the worker does with a session whose certificate is not good any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub(crate) enum Action {
    /// It says so in the server's log.
    #[name = c"log"]
    Log,
    /// It says so and ends the session.
    #[name = c"terminate"]
    Terminate,
}

/// Whether sessions, certificates and failures are to be recorded.
pub(crate) fn track() -> bool {
    TRACK.get()
}

/// Room in each slot for the client's chain.
pub(in crate::pg) fn session_chain_bytes() -> usize {
    usize::try_from(SESSION_CHAIN_BYTES.get()).unwrap_or(0)
}

/// Places in the inventory.
pub(in crate::pg) fn max_client_certificates() -> usize {
    usize::try_from(MAX_CERTIFICATES.get()).unwrap_or(0)
}

/// Whether inventory and counters are to be kept over a restart.
pub(in crate::pg) fn save() -> bool {
    SAVE.get()
}

/// Whether logins over TCP have to be encrypted.
pub(crate) fn require_tls() -> bool {
    REQUIRE_TLS.get()
}

/// How often the worker looks at the certificates of connected sessions; `None` for never.
pub(crate) fn credential_check_interval() -> Option<Duration> {
    u64::try_from(CHECK_INTERVAL.get()).ok().filter(|s| *s > 0).map(Duration::from_secs)
}

/// What it does then.
pub(crate) fn credential_action() -> Action {
    ACTION.get()
}

/// How long the worker waits for an open transaction before it ends a session.
pub(crate) fn credential_grace() -> Duration {
    Duration::from_secs(u64::try_from(GRACE.get()).unwrap_or(0))
}

/// Of how many in a hundred sessions with a certificate the worker ends at most at a time.
pub(crate) fn credential_max_share() -> usize {
    usize::try_from(MAX_SHARE.get()).unwrap_or(0)
}

/// Places in the ring of recent failures.
pub(in crate::pg) fn max_recent_failures() -> usize {
    usize::try_from(MAX_FAILURES.get()).unwrap_or(0)
}

/// How many seconds before its end a certificate is due for renewal.
pub(crate) fn renewal_window() -> i64 {
    RENEWAL_WINDOW.get().into()
}

/// For tests: breaks here if that is wanted. A panic is the worst that can happen in safe code.
pub(in crate::pg) fn break_at(place: Fault) {
    if DEBUG_FAULT.get() == place {
        panic!("pgtls_ext.debug_fault");
    }
}

/// Settings that need no preloading.
pub(crate) fn define() {
    GucRegistry::define_int_guc(
        c"pgtls_ext.renewal_window",
        c"Sets how long before its end a certificate counts as due for renewal.",
        c"",
        &RENEWAL_WINDOW,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
}

/// Settings of the recorder.
pub(crate) fn define_recorder() {
    GucRegistry::define_bool_guc(
        c"pgtls_ext.track",
        c"Records TLS sessions, client certificates and failed logins.",
        c"",
        &TRACK,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.session_chain_bytes",
        c"Sets the room for the certificate chain of each session.",
        c"Of a longer chain, the certificates next to the client's are kept.",
        &SESSION_CHAIN_BYTES,
        1024,
        MAX_SESSION_CHAIN_BYTES,
        GucContext::Postmaster,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.max_client_certificates",
        c"Sets how many client certificates are kept in the inventory.",
        c"Beyond that, the least recently seen is forgotten.",
        &MAX_CERTIFICATES,
        1,
        MAX_CLIENT_CERTIFICATES,
        GucContext::Postmaster,
        GucFlags::empty(),
    );
    GucRegistry::define_bool_guc(
        c"pgtls_ext.save",
        c"Keeps the inventory of client certificates and the counters of failures over a restart.",
        c"",
        &SAVE,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_bool_guc(
        c"pgtls_ext.require_tls",
        c"Refuses logins over TCP that are not encrypted with TLS, whatever pg_hba.conf says.",
        c"Unix sockets are exempt.",
        &REQUIRE_TLS,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.credential_check_interval",
        c"Sets how often the certificates of connected sessions are checked again; 0 is never.",
        c"",
        &CHECK_INTERVAL,
        0,
        24 * 60 * 60,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_enum_guc(
        c"pgtls_ext.credential_action",
        c"Sets what is done with a session whose certificate is expired, revoked or untrusted by now.",
        c"",
        &ACTION,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.credential_grace",
        c"Sets how long an open transaction is waited for before its session is terminated.",
        c"",
        &GRACE,
        0,
        24 * 60 * 60,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.credential_max_share",
        c"Sets which share of the sessions with a certificate is terminated at most, in percent.",
        c"If more than this and more than five would have to be, a CA or CRL file is more likely wrong than they are: then nobody is terminated.",
        &MAX_SHARE,
        0,
        100,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"pgtls_ext.max_recent_failures",
        c"Sets how many of the last failed logins are kept; equal ones count as one.",
        c"",
        &MAX_FAILURES,
        1,
        MAX_RECENT_FAILURES,
        GucContext::Postmaster,
        GucFlags::empty(),
    );
    GucRegistry::define_enum_guc(
        c"pgtls_ext.debug_fault",
        c"Breaks the recorder at a given place.",
        c"For the tests of pgtls_ext.",
        &DEBUG_FAULT,
        GucContext::Sighup,
        GucFlags::NO_SHOW_ALL | GucFlags::SUPERUSER_ONLY | GucFlags::DISALLOW_IN_AUTO_FILE,
    );
    #[cfg(debug_assertions)]
    GucRegistry::define_int_guc(
        c"pgtls_ext.debug_fail_allocation",
        c"Has allocations refused from this one on.",
        c"For the tests of pgtls_ext; no release has it.",
        &memory::faults::FIRST_REFUSED,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::NO_SHOW_ALL | GucFlags::SUPERUSER_ONLY | GucFlags::DISALLOW_IN_AUTO_FILE,
    );
    // SAFETY: the prefix is a static string; called once, while the library is loaded.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(c"pgtls_ext".as_ptr()) };
}
