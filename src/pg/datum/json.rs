//! JSON documents on their way to SQL, as `jsonb` in any database encoding.

use std::io;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys;
use pgtls_core::work;
use serde_json::Value;

use crate::pg::datum::text;
use crate::pg::memory;

/// A document to be returned from a SQL function as `jsonb`.
pub(crate) struct Json(Value);

impl Json {
    /// Strings in it that the database's encoding cannot say are escaped, as in [`text`].
    pub(crate) fn new(document: Value) -> Self {
        Self(sayable(document))
    }
}

fn sayable(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text::sayable(&string).into_owned()),
        Value::Array(elements) => elements.into_iter().map(sayable).collect(),
        // Keys are names of columns, which are ASCII.
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key, sayable(value))).collect()
        }
        other => other,
    }
}

/// How much of a document is written between two checks for interrupts, in bytes.
const PIECE: usize = 1 << 20;

/// A document as it is written. There may not be memory for it.
struct Written(Vec<u8>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.try_reserve(bytes.len()).is_err() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let before = self.0.len();
        self.0.extend_from_slice(bytes);
        if before / PIECE != self.0.len() / PIECE {
            work::between();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pgrx::pgrx_sql_entity_graph::impl_sql_translatable!(Json, "jsonb");

// SAFETY: the datum is a `jsonb`, as the type promises.
unsafe impl BoxRet for Json {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        memory::make_room_for_an_error();
        let mut written = Written(Vec::new());
        if serde_json::to_writer(&mut written, &self.0).is_err() {
            work::out_of_memory();
        }
        drop(self);
        let document = text::c_string(std::str::from_utf8(&written.0).unwrap_or_default());
        drop(written);
        // SAFETY: the server's own input function for `jsonb`, given a NUL-terminated string that
        // it copies from.
        let datum = unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_in,
                &[Some(pg_sys::Datum::from(document.as_ptr()))],
            )
        };
        drop(document);
        memory::check_for_interrupts();
        match datum {
            // SAFETY: made in the context that the function was called in.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}
