//! Roles and databases, read from the catalogues as the server reads them at login.
//!
//! Passwords never leave this module: only how they are kept does.

use std::ffi::{CStr, CString, c_int};

use pgrx::spi::{self, Spi};
use pgrx::{FromDatum, pg_sys};
use pgtls_core::login::access::Roles;
use pgtls_core::login::facts::{DatabaseFacts, Password, RoleFacts, SlotFacts};
use pgtls_core::work;

use crate::error::{Error, Result};
use crate::pg::datum::cstr;
use crate::pg::datum::time;
use crate::pg::server::settings;
use crate::pg::server::version;

/// What `datconnlimit` is set to before a database is dropped (`DATCONNLIMIT_INVALID_DB`).
const INVALID_DATABASE: i32 = -2;

/// The catalogues of this cluster.
pub(crate) struct Catalog;

impl Roles for Catalog {
    fn is_member(&self, role: &[u8], group: &[u8]) -> bool {
        let (Some(role), Some(group)) = (role_oid(role), role_oid(group)) else { return false };
        // SAFETY: two valid OIDs; pgrx guards the call.
        unsafe { pg_sys::is_member_of_role_nosuper(role, group) }
    }
}

/// The role of this name; `None` if it does not exist.
fn role_oid(name: &[u8]) -> Option<pg_sys::Oid> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated name; pgrx guards the call.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// A row of a catalogue, found by its key and released at the end.
struct Row {
    tuple: pg_sys::HeapTuple,
    cache: c_int,
}

impl Row {
    fn find(cache: pg_sys::SysCacheIdentifier::Type, key: pg_sys::Datum) -> Option<Self> {
        let cache = c_int::try_from(cache).ok()?;
        // SAFETY: a cache with one key, of the key's type; pgrx guards the call.
        let tuple = unsafe { pg_sys::SearchSysCache1(cache, key) };
        // Not made for a null pointer even to be dropped at once: dropping releases it.
        (!tuple.is_null()).then(|| Self { tuple, cache })
    }

    /// A column that can be NULL.
    fn nullable(&self, attribute: u32) -> Option<pg_sys::Datum> {
        let attribute = pg_sys::AttrNumber::try_from(attribute).ok()?;
        let mut is_null = true;
        // SAFETY: a live row of this cache, and one of its columns.
        let datum =
            unsafe { pg_sys::SysCacheGetAttr(self.cache, self.tuple, attribute, &mut is_null) };
        (!is_null).then_some(datum)
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // SAFETY: found in the cache and released once.
        unsafe { pg_sys::ReleaseSysCache(self.tuple) }
    }
}

/// What matters of a role at login; `None` if it does not exist.
pub(crate) fn role(name: &CStr) -> Option<RoleFacts> {
    let row = Row::find(pg_sys::SysCacheIdentifier::AUTHNAME, name.as_ptr().into())?;
    // SAFETY: the fixed part of a live row of pg_authid.
    let form = unsafe { &*pg_sys::GETSTRUCT(row.tuple).cast::<pg_sys::FormData_pg_authid>() };
    let (oid, limit) = (form.oid, form.rolconnlimit);
    // SAFETY: counts in shared memory; pgrx guards the call.
    let connections = || unsafe { pg_sys::CountUserBackends(oid) };
    Some(RoleFacts {
        may_log_in: form.rolcanlogin,
        superuser: form.rolsuper,
        replication: form.rolreplication,
        password: row.nullable(pg_sys::Anum_pg_authid_rolpassword).map_or(Password::None, password),
        valid_until: row
            .nullable(pg_sys::Anum_pg_authid_rolvaliduntil)
            // SAFETY: a timestamptz, as the catalogue has it.
            .and_then(|datum| unsafe { i64::from_datum(datum, false) })
            .and_then(time::from_microseconds),
        limit_reached: limit >= 0 && connections() >= limit,
        may_use_reserved: version::may_use_reserved(oid),
    })
}

/// The names of all roles that may log in, in alphabetical order.
pub(crate) fn login_roles() -> Result<Vec<Vec<u8>>> {
    const QUERY: &str = "SELECT oid FROM pg_catalog.pg_roles WHERE rolcanlogin ORDER BY rolname";
    let oids = Spi::connect(|client| {
        let mut oids = Vec::new();
        for row in client.select(QUERY, None, &[])? {
            if let Some(oid) = row.get::<pg_sys::Oid>(1)? {
                work::push(&mut oids, oid);
            }
        }
        Ok(oids)
    });
    let oids = oids.map_err(|error: spi::Error| Error::Internal(error.to_string()))?;
    Ok(work::collect(oids.into_iter().filter_map(name_of)))
}

/// The name of a role, as the bytes of the catalogue; `None` if it is gone.
fn name_of(role: pg_sys::Oid) -> Option<Vec<u8>> {
    // SAFETY: with `noerr` the result is null for a role that is gone, else NUL-terminated; pgrx
    // guards the call.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        cstr::bytes(name).map(<[u8]>::to_vec)
    }
}

fn password(datum: pg_sys::Datum) -> Password {
    // SAFETY: a text that is not null; the copy is in the current memory context.
    let kind = unsafe { pg_sys::get_password_type(pg_sys::text_to_cstring(datum.cast_mut_ptr())) };
    match kind {
        pg_sys::PasswordType::PASSWORD_TYPE_MD5 => Password::Md5,
        _ => Password::Scram,
    }
}

/// What matters of a database when this role logs in to it; `None` if it does not exist.
pub(crate) fn database(name: &CStr, role: &CStr) -> Option<DatabaseFacts> {
    // SAFETY: a NUL-terminated name; pgrx guards the call.
    let oid = unsafe { pg_sys::get_database_oid(name.as_ptr(), true) };
    if oid == pg_sys::InvalidOid {
        return None;
    }
    let row = Row::find(pg_sys::SysCacheIdentifier::DATABASEOID, oid.into())?;
    // SAFETY: the fixed part of a live row of pg_database.
    let form = unsafe { &*pg_sys::GETSTRUCT(row.tuple).cast::<pg_sys::FormData_pg_database>() };
    let limit = form.datconnlimit;
    // SAFETY: counts in shared memory; pgrx guards the call.
    let connections = || unsafe { pg_sys::CountDBConnections(oid) };
    Some(DatabaseFacts {
        invalid: limit == INVALID_DATABASE,
        allows_connections: form.datallowconn,
        role_may_connect: role_oid(role.to_bytes()).is_some_and(|role| may_connect(oid, role)),
        limit_reached: limit >= 0 && connections() >= limit,
    })
}

/// The encoding of a database, by the server's number and name for it; `None` if the database does
/// not exist.
pub(crate) fn encoding(name: &CStr) -> Option<(c_int, String)> {
    // SAFETY: a NUL-terminated name; pgrx guards the call.
    let oid = unsafe { pg_sys::get_database_oid(name.as_ptr(), true) };
    let row = Row::find(pg_sys::SysCacheIdentifier::DATABASEOID, oid.into())?;
    // SAFETY: the fixed part of a live row of pg_database.
    let form = unsafe { &*pg_sys::GETSTRUCT(row.tuple).cast::<pg_sys::FormData_pg_database>() };
    // SAFETY: the name is a static string.
    let name = unsafe { cstr::bytes(version::encoding_name(form.encoding)) };
    Some((form.encoding, String::from_utf8_lossy(name.unwrap_or_default()).into_owned()))
}

fn may_connect(database: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_CONNECT);
    version::database_aclcheck(database, role, mode) == pg_sys::AclResult::ACLCHECK_OK
}

/// Whether limits on the connections of roles and databases hold for walsenders: the minor releases
/// of February 2025 hold regular backends to them only (`AmRegularBackendProcess`).
pub(crate) fn limits_walsenders() -> bool {
    // Not the version that this was built with: a server is updated without its extensions.
    let version = settings::text(c"server_version_num");
    match version.and_then(|version| version.parse::<u32>().ok()) {
        Some(version) => matches!(version, ..150_011 | 160_000..160_007 | 170_000..170_003),
        None => false,
    }
}

/// Whether there is room for one more connection.
pub(crate) fn slots() -> SlotFacts {
    let (superusers, reserved) = version::reserved_connections();
    // The server looks after the new connection has taken its own.
    SlotFacts {
        for_superusers: version::has_free_procs(1),
        for_reserved: version::has_free_procs(superusers.saturating_add(1)),
        for_everybody: version::has_free_procs(
            superusers.saturating_add(reserved).saturating_add(1),
        ),
    }
}
