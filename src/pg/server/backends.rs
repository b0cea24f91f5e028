//! The client backends that run now, as far as the current user may see them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use pgrx::pg_sys;
use pgrx::prelude::TimestampWithTimeZone;
use pgrx::spi::{self, Spi};
use pgtls_core::work;

use crate::error::{Error, Result};
use crate::pg::datum::cstr;
use crate::pg::datum::text::lossless;
use crate::pg::server::version;

/// A client backend or walsender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Backend {
    pid: i32,
    /// When it started, in microseconds of the server's epoch.
    started: i64,
    /// The role it logged in as.
    role: pg_sys::Oid,
    in_transaction: bool,
}

impl Backend {
    /// What tells it from every other one, also from a later one with its process ID.
    pub(crate) fn key(&self) -> (i32, i64) {
        (self.pid, self.started)
    }

    /// The name of the role it logged in as.
    pub(crate) fn role_name(&self) -> Option<String> {
        // SAFETY: a catalogue look-up in a transaction, told not to raise; the result is null or
        // NUL-terminated.
        unsafe {
            let name = pg_sys::GetUserNameFromId(self.role, true);
            cstr::bytes(name).map(|name| lossless(name).into_owned())
        }
    }
}

/// All client backends and walsenders whose details the current user may see, by the rule of
/// `pg_stat_activity`: one's own roles, or everything for members of `pg_read_all_stats`.
pub(crate) fn visible() -> Vec<Backend> {
    let mut allowed = Permissions::of_current_user();
    work::collect(all().into_iter().filter(|backend| allowed.seeing(backend.role)))
}

/// A client that is connected over TCP, by what the server itself knows of it.
pub(crate) struct Connected {
    pub(crate) key: (i32, i64),
    pub(crate) role: String,
    pub(crate) database: String,
    pub(crate) address: IpAddr,
    pub(crate) tls: bool,
}

/// All clients that are connected over TCP to a database, but for walsenders.
pub(crate) fn connected() -> Result<Vec<Connected>> {
    const QUERY: &str = "select a.pid, a.backend_start, a.usename::text, a.datname::text,
            pg_catalog.host(a.client_addr), s.ssl
        from pg_catalog.pg_stat_activity a join pg_catalog.pg_stat_ssl s using (pid)
        where a.backend_type operator(pg_catalog.=) 'client backend'
          and a.client_addr is not null and a.usename is not null and a.datname is not null";
    let rows = Spi::connect(|client| -> Result<_, spi::Error> {
        let mut rows = Vec::new();
        for row in client.select(QUERY, None, &[])? {
            let started: Option<TimestampWithTimeZone> = row.get(2)?;
            let (pid, tls) = (row.get::<i32>(1)?, row.get::<bool>(6)?);
            let texts = (row.get::<String>(3)?, row.get::<String>(4)?, row.get::<String>(5)?);
            if let (Some(pid), Some(started), Some(tls), (Some(role), Some(database), Some(host))) =
                (pid, started, tls, texts)
                && let Ok(address) = host.parse()
            {
                let key = (pid, pg_sys::TimestampTz::from(started));
                work::push(&mut rows, Connected { key, role, database, address, tls });
            }
        }
        Ok(rows)
    });
    rows.map_err(|error| Error::Internal(error.to_string()))
}

/// Clients over TCP with the same encryption.
pub(crate) struct Encryption {
    /// Empty without TLS.
    pub(crate) version: String,
    pub(crate) cipher: String,
    pub(crate) count: i64,
}

/// How many clients are connected over TCP with which encryption.
pub(crate) fn encryption() -> Result<Vec<Encryption>> {
    const QUERY: &str = "select coalesce(s.version, ''), coalesce(s.cipher, ''), count(*)
        from pg_catalog.pg_stat_activity a join pg_catalog.pg_stat_ssl s using (pid)
        where a.backend_type = any ('{client backend,walsender}') and a.client_addr is not null
        group by 1, 2";
    let rows = Spi::connect(|client| -> Result<_, spi::Error> {
        let mut rows = Vec::new();
        for row in client.select(QUERY, None, &[])? {
            let texts = (row.get::<String>(1)?, row.get::<String>(2)?, row.get::<i64>(3)?);
            if let (Some(version), Some(cipher), Some(count)) = texts {
                work::push(&mut rows, Encryption { version, cipher, count });
            }
        }
        Ok(rows)
    });
    rows.map_err(|error| Error::Internal(error.to_string()))
}

/// Those that are in a transaction now, also an idle one. The snapshot is taken anew.
pub(crate) fn in_transaction() -> HashSet<(i32, i64)> {
    // SAFETY: the server's snapshot of its backends, made by this process and given up here.
    let count = unsafe {
        pg_sys::pgstat_clear_backend_activity_snapshot();
        pg_sys::pgstat_fetch_stat_numbackends()
    };
    (1..=count).filter_map(entry).filter(|one| one.in_transaction).map(|one| one.key()).collect()
}

/// All client backends and walsenders.
pub(crate) fn all() -> Vec<Backend> {
    // SAFETY: the server's snapshot of its backends, taken at the first call of a transaction.
    let count = unsafe { pg_sys::pgstat_fetch_stat_numbackends() };
    work::collect((1..=count).filter_map(entry))
}

/// One entry of the server's snapshot, counted from 1; `None` for a process without a client.
fn entry(index: i32) -> Option<Backend> {
    // SAFETY: the index is within the snapshot; the result is null or an entry of it, which lives
    // until the transaction ends.
    let entry = unsafe { version::backend_entry(index).as_ref() };
    let status = &entry?.backendStatus;
    let has_client = matches!(
        status.st_backendType,
        pg_sys::BackendType::B_BACKEND | pg_sys::BackendType::B_WAL_SENDER
    );
    (has_client && status.st_procpid > 0).then_some(Backend {
        pid: status.st_procpid,
        started: status.st_proc_start_timestamp,
        role: status.st_userid,
        in_transaction: status.st_xact_start_timestamp != 0,
    })
}

/// Whether the current user may see settings that name files, such as `hba_file`: superusers and
/// members of `pg_read_all_settings`.
pub(crate) fn may_see_files() -> bool {
    // SAFETY: SQL functions run with a user, in a transaction.
    unsafe {
        let settings = pg_sys::Oid::from(pg_sys::ROLE_PG_READ_ALL_SETTINGS);
        pg_sys::has_privs_of_role(pg_sys::GetUserId(), settings)
    }
}

/// What the current user may see, asked once for each role.
struct Permissions {
    user: pg_sys::Oid,
    everything: bool,
    roles: HashMap<pg_sys::Oid, bool>,
}

impl Permissions {
    fn of_current_user() -> Self {
        // SAFETY: SQL functions run with a user, in a transaction.
        let (user, everything) = unsafe {
            let user = pg_sys::GetUserId();
            let all = pg_sys::Oid::from(pg_sys::ROLE_PG_READ_ALL_STATS);
            (user, pg_sys::has_privs_of_role(user, all))
        };
        Self { user, everything, roles: HashMap::new() }
    }

    fn seeing(&mut self, role: pg_sys::Oid) -> bool {
        let user = self.user;
        // SAFETY: as above.
        let ask = || unsafe { pg_sys::has_privs_of_role(user, role) };
        self.everything || *self.roles.entry(role).or_insert_with(ask)
    }
}
