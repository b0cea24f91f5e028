//! How values get into SQL, and out of it.

pub(crate) mod cached;
pub(crate) mod json;
pub(crate) mod rows;
pub(crate) mod text;
pub(crate) mod time;
