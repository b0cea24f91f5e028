//! The server's side: everything that reads server memory, calls a server function or touches
//! OpenSSL by pointer.
//!
//! All unsafe code of the extension is below this module. What leaves it is owned data or a handle
//! that borrows; raw pointers and `pg_sys` types stay inside. The rooms stand on one another:
//! `recorder` on `connection` on `openssl` on `server` on `datum`, and all of them on `memory`.

pub(crate) mod connection;
pub(crate) mod datum;
pub(crate) mod memory;
pub(crate) mod openssl;
pub(crate) mod recorder;
pub(crate) mod server;
