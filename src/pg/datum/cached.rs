//! Results that stay the same for the whole session: made once, in memory that lives as long as the
//! process, and handed out by pointer from then on.
//!
//! A caller may not change or free what a function returns, which may as well point into a page of
//! a table; so the same datum can be returned any number of times. Nothing is ever freed: keep only
//! as many as a session has facts.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::{IntoDatum, PgMemoryContexts, pg_sys};

/// A value that is passed by reference, such as a `text` or a `numeric`, for good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept(pg_sys::Datum);

impl Kept {
    /// Keeps a value; `None` for one that is NULL.
    pub(crate) fn new(value: impl IntoDatum) -> Option<Self> {
        // SAFETY: the context lives as long as the process. If the conversion raises, it stays the
        // current one until the server has handled the error, which sets its own.
        unsafe { PgMemoryContexts::TopMemoryContext.switch_to(|_| value.into_datum()) }.map(Self)
    }
}

// The type is the one that the SQL script declares; this name is for SQL that pgrx would generate.
pgrx::pgrx_sql_entity_graph::impl_sql_translatable!(Kept, "anyelement");

// SAFETY: the datum is of the type of the value that was kept, and stays valid.
unsafe impl BoxRet for Kept {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: a non-null datum in memory that outlives the call.
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}
