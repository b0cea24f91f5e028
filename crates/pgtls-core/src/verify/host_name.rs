//! Whether a client takes the server's certificate for the host name that it connects to.
//!
//! Owns libpq's rules for `sslmode = verify-full`
//! (`pq_verify_peer_name_matches_certificate`, from PostgreSQL 15 on), which differ from RFC 6125: a
//! wildcard stands for one whole label, a common name counts where the subject alternative name
//! has none of the kind that is asked for, and an address may be written as a DNS name.

use std::net::IpAddr;

use crate::text::{escape_ascii, lossless};
use crate::x509::certificate::Certificate;
use crate::x509::general_name::GeneralNameKind;

/// The shortest pattern with a wildcard: a star, a dot and a letter.
const SHORTEST_PATTERN: usize = 3;

/// What libpq says against this certificate under this name; `None` if it takes it.
pub fn objection(certificate: &Certificate, host: &str) -> Option<String> {
    let address: Option<IpAddr> = host.parse().ok();
    let wanted = if address.is_some() { GeneralNameKind::Ip } else { GeneralNameKind::Dns };
    let mut examined: Vec<String> = Vec::new();
    let mut common_name_counts = true;
    for name in certificate.san().unwrap_or_default() {
        common_name_counts &= name.kind() != wanted;
        let same = match name.kind() {
            GeneralNameKind::Dns if name.as_bytes().contains(&0) => return Some(null_byte()),
            GeneralNameKind::Dns => stands_for(name.as_bytes(), host),
            GeneralNameKind::Ip => address.is_some_and(|it| is_address(name.as_bytes(), it)),
            _ => continue,
        };
        if same {
            return None;
        }
        examined.push(name.value());
    }
    if common_name_counts && let Some(name) = certificate.subject().common_name_bytes() {
        if name.contains(&0) {
            return Some(null_byte());
        }
        if stands_for(&name, host) {
            return None;
        }
        examined.push(lossless(&name).into_owned());
    }
    let Some(first) = examined.first() else {
        return Some("could not get server's host name from server certificate".to_owned());
    };
    let others = match examined.len() {
        1 => String::new(),
        2 => " (and 1 other name)".to_owned(),
        more => format!(" (and {} other names)", more - 1),
    };
    let host = escape_ascii(host.as_bytes());
    Some(format!("server certificate for \"{first}\"{others} does not match host name \"{host}\""))
}

fn null_byte() -> String {
    "SSL certificate's name contains embedded null".to_owned()
}

/// Whether a name of the certificate, perhaps with a wildcard, stands for this host.
fn stands_for(name: &[u8], host: &str) -> bool {
    let host = host.as_bytes();
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(parent) = name.strip_prefix(b"*").filter(|parent| parent.starts_with(b".")) else {
        return false;
    };
    if name.len() < SHORTEST_PATTERN {
        return false;
    }
    let split = host.len().checked_sub(parent.len()).and_then(|at| host.split_at_checked(at));
    split.is_some_and(|(label, rest)| {
        // libpq does not look at the last character.
        let is_one = label.split_last().is_some_and(|(_, others)| !others.contains(&b'.'));
        is_one && rest.eq_ignore_ascii_case(parent)
    })
}

fn is_address(bytes: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => bytes == address.octets(),
        IpAddr::V6(address) => bytes == address.octets(),
    }
}
