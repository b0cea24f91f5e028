//! This backend's client connection: the server's `Port`.
//!
//! Owns nothing. Hands out copies, or handles that borrow from the connection. `Port.hba` is not offered: it points
//! into memory that the server frees right after login.

use std::ffi::CStr;
use std::net::IpAddr;
use std::ptr::NonNull;

use super::network::ip_of;
use super::sys;
use super::tls::Tls;

/// The client connection of this backend.
pub(crate) struct Session {
    port: NonNull<sys::Port>,
}

impl Session {
    /// The connection of this backend; `None` in a process that has no client (background and parallel workers,
    /// autovacuum, single-user mode).
    pub(crate) fn current() -> Option<Self> {
        // SAFETY: a plain read of a process-wide variable; the server sets it before it runs any SQL and frees what it
        // points to only when the process ends.
        NonNull::new(unsafe { sys::MyProcPort }).map(|port| Self { port })
    }

    fn port(&self) -> &sys::Port {
        // SAFETY: not null, and live until the process ends (see `current`). Nothing writes to it while one of our
        // functions runs, because a backend has one thread.
        unsafe { self.port.as_ref() }
    }

    /// Whether the connection is encrypted with TLS (`Port.ssl_in_use`).
    pub(crate) fn tls_in_use(&self) -> bool {
        self.port().ssl_in_use
    }

    /// Whether the client presented a certificate and the server verified it (`Port.peer_cert_valid`).
    pub(crate) fn client_certificate_verified(&self) -> bool {
        self.port().peer_cert_valid
    }

    /// The TLS layer; `None` on an unencrypted connection.
    pub(crate) fn tls(&self) -> Option<Tls<'_>> {
        let port = self.port();
        if !port.ssl_in_use {
            return None;
        }
        // SAFETY: on a connection with TLS in use, `ssl` is null or a live OpenSSL object that the server frees when
        // the process ends; the handle cannot outlive `self`.
        unsafe { Tls::from_ptr(port.ssl) }
    }

    /// The role that the client asked for when it logged in.
    pub(crate) fn role(&self) -> &[u8] {
        self.bytes_at(self.port().user_name).unwrap_or_default()
    }

    /// The database that the client asked for when it logged in.
    pub(crate) fn database(&self) -> &[u8] {
        self.bytes_at(self.port().database_name).unwrap_or_default()
    }

    /// The client's address; `None` over the Unix socket.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let address = &raw const self.port().raddr.addr;
        // SAFETY: the server keeps a socket address there, in the room of any family.
        unsafe { ip_of(address.cast()) }
    }

    /// The common name that `cert` authentication compares (`Port.peer_cn`), as the bytes of the certificate: the first
    /// CN of the subject.
    pub(crate) fn client_common_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().peer_cn)
    }

    /// The subject in RFC 2253 form as `clientname=DN` compares it (`Port.peer_dn`).
    pub(crate) fn client_distinguished_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().peer_dn)
    }

    /// The bytes of one of the connection's C strings; `None` for a null pointer.
    fn bytes_at(&self, string: *const std::ffi::c_char) -> Option<&[u8]> {
        // SAFETY: the strings of a `Port` that this module asks for are null or NUL-terminated, and live as long as it.
        (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_bytes())
    }

    /// DER of the certificate that the client presented, if the server verified it.
    pub(crate) fn client_certificate_der(&self) -> Option<Vec<u8>> {
        if !self.client_certificate_verified() {
            return None;
        }
        self.tls()?.peer_certificate_der()
    }
}
