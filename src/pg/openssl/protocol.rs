//! The protocol versions that settings and arguments name.

use std::ffi::CStr;

use openssl::ssl::SslVersion;

use crate::pg::server::tls_settings::TlsSettings;

/// Oldest first.
const VERSIONS: [(&str, SslVersion); 4] = [
    ("TLSv1", SslVersion::TLS1),
    ("TLSv1.1", SslVersion::TLS1_1),
    ("TLSv1.2", SslVersion::TLS1_2),
    ("TLSv1.3", SslVersion::TLS1_3),
];

/// By its name, in any case, as the server takes it.
pub(crate) fn version(name: &str) -> Option<SslVersion> {
    VERSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| *it)
}

/// The version that a setting names; `None` if it names none.
pub(in crate::pg) fn setting(settings: &TlsSettings, name: &CStr) -> Option<SslVersion> {
    version(&settings.text(name)?)
}

/// Its place in the order of age.
pub(in crate::pg) fn rank(version: SslVersion) -> Option<usize> {
    VERSIONS.iter().position(|(_, known)| *known == version)
}
