//! Sets of rows on their way to SQL.
//!
//! A function returns [`Rows`]; its columns are declared once, in the SQL script, and filled here
//! by name. So a column that exists in SQL but is not supplied is an error that every call shows,
//! one that is supplied but not declared is left out, and a new version of the library still serves
//! the declarations of an older script.
//!
//! Rows are taken from the iterator one at a time and put into the server's tuple store, which
//! spills to disk beyond `work_mem`: memory is bounded by one row.

use std::borrow::Cow;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::{AnyNumeric, IntoDatum, PgMemoryContexts, pg_sys};
use pgtls_core::value::Value;
use pgtls_core::work;

use crate::error::{Error, Result};
use crate::pg::datum::{text, time};
use crate::pg::memory;

/// One row: columns by name, in any order.
pub(crate) type Row = Vec<(Cow<'static, str>, Value)>;

/// A row of the columns that the core makes.
pub(crate) fn row(columns: Vec<(&'static str, Value)>) -> Row {
    columns.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// Rows that borrow nothing.
pub(crate) type Rows = RowsOf<'static>;

/// The result of a set-returning function, or of one that returns a single composite.
pub(crate) struct RowsOf<'a>(Box<dyn Iterator<Item = Result<Row>> + 'a>);

impl<'a> RowsOf<'a> {
    /// The rows of an iterator, which is asked for one row at a time. An error ends the function.
    pub(crate) fn new(rows: impl Iterator<Item = Result<Row>> + 'a) -> Self {
        Self(Box::new(rows))
    }

    /// No rows.
    pub(crate) fn none() -> Self {
        Self::new(std::iter::empty())
    }

    /// One row.
    pub(crate) fn one(row: Row) -> Self {
        Self::new(std::iter::once(Ok(row)))
    }
}

impl FromIterator<Row> for RowsOf<'_> {
    fn from_iter<T: IntoIterator<Item = Row>>(rows: T) -> Self {
        Self::new(work::collect(rows).into_iter().map(Ok))
    }
}

pgrx::pgrx_sql_entity_graph::impl_sql_translatable!(RowsOf<'_>, "SETOF record");

// SAFETY: the rows go into the set that the server's own helper prepared for this call, with its
// tuple descriptor.
unsafe impl BoxRet for RowsOf<'_> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: called with the call information of the SQL function that returns these rows.
        if let Err(error) = unsafe { store(self, fcinfo.as_mut_ptr()) } {
            error.raise();
        }
        fcinfo.return_null()
    }
}

/// Puts all rows into the result set of the call.
///
/// # Safety
/// `fcinfo` belongs to the running call.
unsafe fn store(rows: RowsOf<'_>, fcinfo: pg_sys::FunctionCallInfo) -> Result<()> {
    memory::make_room_for_an_error();
    // SAFETY: the caller's contract. The helper raises if the caller does not take a set; else it
    // sets `resultinfo` up.
    let (set, descriptor) = unsafe {
        pg_sys::InitMaterializedSRF(fcinfo, 0);
        let info = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
        ((*info).setResult, (*info).setDesc)
    };
    let mut context = PgMemoryContexts::new("pgtls_ext row");
    let mut rows = rows.0.peekable();
    let Some(first) = rows.peek() else { return Ok(()) };
    let first = first.as_ref().map_err(Error::clone)?;
    // SAFETY: the descriptor that the helper made lives as long as the call.
    let table = unsafe { Table::new(descriptor, first) }?;
    for row in rows {
        memory::check_for_interrupts();
        let row = row?;
        // SAFETY: the context is this function's own. If a server function raises, it is dropped,
        // and when dropped it makes its parent the current one.
        unsafe {
            context.switch_to(|_| {
                memory::make_room_for_an_error();
                table.put(set, descriptor, row)
            })?;
            context.reset();
        }
    }
    memory::check_for_interrupts();
    Ok(())
}

/// How the columns of the set are filled from the rows, worked out at the first row.
struct Table {
    columns: Vec<Column>,
}

/// A declared column of the set.
struct Column {
    /// Its place in the rows.
    source: usize,
    name: String,
    type_oid: pg_sys::Oid,
}

impl Table {
    /// # Safety
    /// `descriptor` is live.
    unsafe fn new(descriptor: pg_sys::TupleDesc, row: &Row) -> Result<Self> {
        // SAFETY: the caller's contract; a descriptor holds `natts` attributes.
        let attributes = unsafe { pgrx::PgTupleDesc::from_pg_copy(descriptor) };
        let columns = attributes
            .iter()
            .map(|attribute| {
                let name = attribute.name().to_owned();
                let source =
                    row.iter().position(|(column, _)| *column == name).ok_or_else(|| {
                        Error::Internal(format!(
                            "column \"{name}\" is declared in SQL but not supplied"
                        ))
                    })?;
                Ok(Column { source, name, type_oid: attribute.type_oid().value() })
            })
            .collect::<Result<_>>()?;
        Ok(Self { columns })
    }

    /// Appends one row to the set.
    fn put(
        &self,
        set: *mut pg_sys::Tuplestorestate,
        descriptor: pg_sys::TupleDesc,
        row: Row,
    ) -> Result<()> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut nulls = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let value = row.get(column.source).map_or(&Value::Null, |(_, value)| value);
            let datum = datum(value, column)?;
            nulls.push(datum.is_none());
            values.push(datum.unwrap_or_else(pg_sys::Datum::null));
        }
        // SAFETY: both arrays have one element for each attribute of the descriptor.
        unsafe {
            pg_sys::tuplestore_putvalues(set, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        }
        Ok(())
    }
}

/// A value as a datum of the column's type, in the current memory context; `None` for NULL.
fn datum(value: &Value, column: &Column) -> Result<Option<pg_sys::Datum>> {
    let (type_oid, datum) = match value {
        Value::Null => return Ok(None),
        Value::Text(value) if column.type_oid == pg_sys::INETOID => (pg_sys::INETOID, inet(value)),
        Value::Text(value) => (pg_sys::TEXTOID, Some(text::datum_of(value))),
        Value::TextArray(values) => (pg_sys::TEXTARRAYOID, Some(text_array(values))),
        Value::Numeric(digits) => {
            let number = AnyNumeric::try_from(digits.as_str())
                .map_err(|error| Error::Internal(format!("invalid numeric: {error}")))?;
            (pg_sys::NUMERICOID, number.into_datum())
        }
        Value::Timestamp(time) => (pg_sys::TIMESTAMPTZOID, time::microseconds(*time).into_datum()),
        Value::Moment(moment) => {
            (pg_sys::TIMESTAMPTZOID, time::server_microseconds(*moment).into_datum())
        }
        Value::Bool(value) => (pg_sys::BOOLOID, value.into_datum()),
        Value::Float(bits) => (pg_sys::FLOAT8OID, f64::from_bits(*bits).into_datum()),
        Value::Int(value) => match column.type_oid {
            pg_sys::INT4OID => {
                let value = i32::try_from(*value)
                    .map_err(|_| Error::Internal(format!("{value} is no integer")))?;
                (pg_sys::INT4OID, value.into_datum())
            }
            _ => (pg_sys::INT8OID, value.into_datum()),
        },
    };
    if type_oid == column.type_oid {
        return Ok(datum);
    }
    let name = &column.name;
    Err(Error::Internal(format!(
        "column \"{name}\" is declared in SQL with another type than supplied"
    )))
}

/// An address, given in its text form.
fn inet(address: &str) -> Option<pg_sys::Datum> {
    let address = text::c_string(address);
    // SAFETY: the server's own input function, given a NUL-terminated string.
    unsafe {
        pgrx::direct_function_call_as_datum(
            pg_sys::inet_in,
            &[Some(pg_sys::Datum::from(address.as_ptr()))],
        )
    }
}

fn text_array(values: &[String]) -> pg_sys::Datum {
    let mut elements: Vec<_> = values.iter().map(|value| text::datum_of(value)).collect();
    let count = i32::try_from(elements.len()).unwrap_or(i32::MAX);
    // SAFETY: `elements` holds `count` datums of type text; length, passing and alignment are those
    // of text.
    let array = unsafe {
        pg_sys::construct_array(
            elements.as_mut_ptr(),
            count,
            pg_sys::TEXTOID,
            -1,
            false,
            pg_sys::TYPALIGN_INT as std::ffi::c_char,
        )
    };
    pg_sys::Datum::from(array)
}
