//! This backend's client connection: the server's `Port`.
//!
//! Owns nothing. Hands out copies, or handles that borrow from the connection. `Port.hba` is not
//! offered: it points into memory that the server frees right after login; only the authentication
//! hook may look at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;

use crate::pg::connection::tls::Tls;
use crate::pg::datum::cstr;
use crate::pg::server::network::ip_of;
use crate::pg::server::{sys, version};

/// The client connection of this backend.
pub(crate) struct Session {
    port: NonNull<sys::Port>,
}

/// What the matched rule of pg_hba.conf says of certificates. Its options can hold secrets, so
/// nothing else is offered.
pub(in crate::pg) struct Rule<'a> {
    pub(in crate::pg) line: i32,
    /// The file; the server knows it since PostgreSQL 16.
    pub(in crate::pg) file: Option<&'a [u8]>,
    pub(in crate::pg) map: Option<&'a [u8]>,
    /// Its name in pg_hba.conf.
    pub(in crate::pg) method: Option<&'a [u8]>,
    /// `clientcert`; `None` where no certificate is demanded.
    pub(in crate::pg) client_certificate: Option<&'static str>,
    /// `clientname`.
    pub(in crate::pg) client_name: &'static str,
}

impl Session {
    /// The connection of this backend; `None` in a process that has no client (background and
    /// parallel workers, autovacuum, single-user mode).
    pub(crate) fn current() -> Option<Self> {
        // SAFETY: a plain read of a process-wide variable; the server sets it before it runs any
        // SQL and frees what it points to only when the process ends.
        NonNull::new(unsafe { sys::MyProcPort }).map(|port| Self { port })
    }

    fn port(&self) -> &sys::Port {
        // SAFETY: not null, and live until the process ends (see `current`). Nothing writes to it
        // while one of our functions runs, because a backend has one thread.
        unsafe { self.port.as_ref() }
    }

    /// Whether the connection is encrypted with TLS (`Port.ssl_in_use`).
    pub(crate) fn tls_in_use(&self) -> bool {
        self.port().ssl_in_use
    }

    /// Whether the client presented a certificate and the server verified it
    /// (`Port.peer_cert_valid`).
    pub(crate) fn client_certificate_verified(&self) -> bool {
        self.port().peer_cert_valid
    }

    /// The TLS layer; `None` on an unencrypted connection.
    pub(crate) fn tls(&self) -> Option<Tls<'_>> {
        let port = self.port();
        if !port.ssl_in_use {
            return None;
        }
        // SAFETY: on a connection with TLS in use, `ssl` is null or a live OpenSSL object that the
        // server frees when the process ends; the handle cannot outlive `self`.
        unsafe { Tls::from_ptr(port.ssl) }
    }

    /// The TLS layer also while it is being set up, when the server does not count the connection
    /// as encrypted yet.
    pub(in crate::pg) fn tls_in_handshake(&self) -> Option<Tls<'_>> {
        // SAFETY: null, or a live OpenSSL object that the server frees when the process ends.
        unsafe { Tls::from_ptr(self.port().ssl) }
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

    /// The common name that `cert` authentication compares (`Port.peer_cn`), as the bytes of the
    /// certificate: the first CN of the subject.
    pub(crate) fn client_common_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().peer_cn)
    }

    /// The subject in RFC 2253 form as `clientname=DN` compares it (`Port.peer_dn`).
    pub(crate) fn client_distinguished_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().peer_dn)
    }

    /// The role that the client asked for; `None` before it said so.
    pub(in crate::pg) fn role_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().user_name)
    }

    /// The database that the client asked for; `None` before it said so.
    pub(in crate::pg) fn database_name(&self) -> Option<&[u8]> {
        self.bytes_at(self.port().database_name)
    }

    /// Whether the client came over a Unix socket.
    pub(in crate::pg) fn is_local(&self) -> bool {
        self.address_family() == libc::AF_UNIX
    }

    fn address_family(&self) -> std::ffi::c_int {
        self.port().raddr.addr.ss_family.into()
    }

    /// The client's address; `None` over a Unix socket.
    pub(in crate::pg) fn client_address(&self) -> Option<IpAddr> {
        let address = &raw const self.port().raddr.addr;
        // SAFETY: the server filled the address in, so its family says which of the socket address
        // types it is; the storage is large enough and aligned for all of them.
        unsafe {
            match self.address_family() {
                libc::AF_INET => {
                    let address = (*address.cast::<libc::sockaddr_in>()).sin_addr.s_addr;
                    Some(Ipv4Addr::from(u32::from_be(address)).into())
                }
                libc::AF_INET6 => {
                    let address = (*address.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr;
                    Some(Ipv6Addr::from(address).into())
                }
                _ => None,
            }
        }
    }

    /// Who the client was authenticated as, such as the subject of its certificate; `None` where
    /// the method does not say.
    pub(in crate::pg) fn authenticated_identity(&self) -> Option<&[u8]> {
        self.bytes_at(version::authenticated_identity(self.port()))
    }

    /// The rule of pg_hba.conf that the connection matched.
    ///
    /// # Safety
    /// Only inside `ClientAuthentication_hook`: the server frees the rules right after.
    pub(in crate::pg) unsafe fn matched_rule(&self) -> Option<Rule<'_>> {
        // SAFETY: in the hook, the rule is null or live.
        let rule = unsafe { self.port().hba.as_ref() }?;
        // SAFETY: a look-up in a table of static strings, by a value that the server made.
        let method = unsafe { sys::hba_authname(rule.auth_method) };
        Some(Rule {
            line: rule.linenumber,
            file: self.bytes_at(version::rule_file(rule)),
            map: self.bytes_at(rule.usermap).filter(|map| !map.is_empty()),
            method: self.bytes_at(method),
            client_certificate: match rule.clientcert {
                sys::ClientCertMode::clientCertCA => Some("verify-ca"),
                sys::ClientCertMode::clientCertFull => Some("verify-full"),
                _ => None,
            },
            client_name: match rule.clientcertname {
                sys::ClientCertName::clientCertDN => "DN",
                _ => "CN",
            },
        })
    }

    /// The bytes of one of the connection's C strings; `None` for a null pointer.
    fn bytes_at(&self, string: *const std::ffi::c_char) -> Option<&[u8]> {
        // SAFETY: the strings of a `Port` that this module asks for are null or NUL-terminated, and
        // live as long as it.
        unsafe { cstr::bytes(string) }
    }

    /// DER of the certificate that the client presented, if the server verified it.
    pub(crate) fn client_certificate_der(&self) -> Option<Vec<u8>> {
        if !self.client_certificate_verified() {
            return None;
        }
        self.tls()?.peer_certificate_der()
    }
}
