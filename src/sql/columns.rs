//! Columns that several views have.

use std::borrow::Cow;

use pgtls_core::value::Value;

use crate::checks::credentials::Credential;

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of a credential's certificate under these names. A certificate that was not recorded is at least named by its
/// fingerprint.
pub(super) fn certificate_columns<'a>(
    credential: &'a Credential,
    fingerprint: Option<&'a [u8; 32]>,
    names: impl Iterator<Item = &'static str> + 'a,
) -> impl Iterator<Item = (Cow<'static, str>, Value)> + 'a {
    names.enumerate().map(move |(place, name)| {
        let value = match &credential.certificate {
            Some(columns) => columns.get(place).map_or(Value::Null, |(_, value)| value.clone()),
            None if name.ends_with("fingerprint") && !name.ends_with("spki_fingerprint") => {
                fingerprint.map(hex).into()
            }
            None => Value::Null,
        };
        (Cow::Borrowed(name), value)
    })
}
