//! `ssl_is_used()` and `ssl_client_cert_present()`, the functions that read one flag and do nothing
//! else.
//!
//! pgrx wraps every function into a guard that turns a panic into an error of the server. It takes
//! longer than reading the flag, and there is nothing in here that could panic, so these two are
//! written as the server calls them.

use pgrx::pg_sys::{Datum, FunctionCallInfo, Pg_finfo_record};

use crate::pg::connection::port::Session;

static VERSION_1: Pg_finfo_record = Pg_finfo_record { api_version: 1 };

/// Tells the server how to call the function (`PG_FUNCTION_INFO_V1`).
// SAFETY: the server looks this name up for `ssl_is_used_wrapper` only.
#[unsafe(no_mangle)]
extern "C" fn pg_finfo_ssl_is_used_wrapper() -> &'static Pg_finfo_record {
    &VERSION_1
}

/// The same for the other.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn pg_finfo_ssl_client_cert_present_wrapper() -> &'static Pg_finfo_record {
    &VERSION_1
}

/// Whether this connection is encrypted with TLS.
// SAFETY: the name is this library's own, and the arguments are not looked at.
#[unsafe(no_mangle)]
extern "C" fn ssl_is_used_wrapper(_: FunctionCallInfo) -> Datum {
    Session::current().is_some_and(|session| session.tls_in_use()).into()
}

/// Whether the client has presented a certificate that the server verified.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn ssl_client_cert_present_wrapper(_: FunctionCallInfo) -> Datum {
    Session::current().is_some_and(|session| session.client_certificate_verified()).into()
}
