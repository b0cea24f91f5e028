//! The server's settings that decide how TLS is done.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pgtls_core::login::facts::TlsFacts;

use crate::pg::datum::text::lossless;
use crate::pg::server::config_files::ConfigFiles;
use crate::pg::server::settings;

/// Their names, without `ssl_passphrase_command`, which can hold a secret. Those that this version
/// of the server does not have are always empty.
pub(crate) const NAMES: &[&CStr] = &[
    c"ssl",
    c"ssl_sni",
    c"ssl_cert_file",
    c"ssl_key_file",
    c"ssl_ca_file",
    c"ssl_crl_file",
    c"ssl_crl_dir",
    c"ssl_min_protocol_version",
    c"ssl_max_protocol_version",
    c"ssl_ciphers",
    c"ssl_tls13_ciphers",
    c"ssl_ecdh_curve",
    c"ssl_groups",
    c"ssl_dh_params_file",
    c"ssl_prefer_server_ciphers",
    c"ssl_passphrase_command_supports_reload",
];

/// Their values at one time, or as the files have them. Empty ones are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsSettings(Vec<(&'static CStr, CString)>);

impl TlsSettings {
    /// As this process has them.
    pub(crate) fn current() -> Self {
        Self::of(settings::bytes)
    }

    /// As a reload would have them.
    pub(crate) fn on_file() -> Self {
        Self::of_files(&ConfigFiles::read(NAMES))
    }

    /// As these files have them.
    pub(crate) fn of_files(files: &ConfigFiles) -> Self {
        Self::of(|name| files.value(name))
    }

    /// By what gives the value of each.
    pub(in crate::pg) fn of(value: impl Fn(&CStr) -> Option<CString>) -> Self {
        Self(NAMES.iter().filter_map(|name| Some((*name, value(name)?))).collect())
    }

    /// Those that are not empty.
    pub(in crate::pg) fn iter(&self) -> impl Iterator<Item = &(&'static CStr, CString)> {
        self.0.iter()
    }

    /// The value of one; empty if it is not set.
    pub(crate) fn get(&self, name: &CStr) -> &CStr {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or(c"", |(_, value)| value.as_c_str())
    }

    /// The value of one as text; `None` if it is not set.
    pub(crate) fn text(&self, name: &CStr) -> Option<String> {
        let value = self.get(name);
        (!value.is_empty()).then(|| lossless(value.to_bytes()).into_owned())
    }

    /// The file or directory that one names; `None` if it is not set.
    pub(crate) fn path(&self, name: &CStr) -> Option<PathBuf> {
        let value = self.get(name);
        (!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value.to_bytes())))
    }

    /// Whether `ssl` is on.
    pub(crate) fn is_on(&self) -> bool {
        self.get(c"ssl") == c"on"
    }

    /// Whether the server chooses certificate and CA file by the host name that a client asks for
    /// (`ssl_sni`, since PostgreSQL 19). Then `ssl_ca_file` alone does not say whom it trusts.
    pub(crate) fn chooses_by_host(&self) -> bool {
        self.get(c"ssl_sni") == c"on"
    }

    /// Whether every certificate of a chain needs a CRL.
    pub(crate) fn checks_crls(&self) -> bool {
        !self.get(c"ssl_crl_file").is_empty() || !self.get(c"ssl_crl_dir").is_empty()
    }

    /// For the core.
    pub(crate) fn facts(&self) -> TlsFacts {
        TlsFacts {
            enabled: self.is_on(),
            ca_file: self.text(c"ssl_ca_file"),
            crls: [c"ssl_crl_file", c"ssl_crl_dir"]
                .into_iter()
                .filter_map(|name| self.text(name))
                .collect(),
            protocol_limits: [c"ssl_min_protocol_version", c"ssl_max_protocol_version"]
                .map(|name| self.text(name).unwrap_or_default()),
        }
    }
}
