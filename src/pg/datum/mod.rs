//! How values get into SQL, and out of it.

pub(crate) mod cached;
pub(in crate::pg) mod cstr;
pub(crate) mod json;
pub(crate) mod rows;
pub(crate) mod text;
pub(crate) mod time;
