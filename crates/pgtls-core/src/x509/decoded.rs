//! What every extension of a certificate says, under its name.
//!
//! Owns the choice of the reader: the core's own for the extensions behind the certificate columns,
//! the strict one for the others. A value that neither reads is given as its bytes, and where one
//! of them should have read it, as a problem too.

use serde_json::{Map, Value, json};

use crate::asn1::der::{self, Fault, Reader};
use crate::x509::distribution_point::{DistributionPoint, DistributionPointName};
use crate::x509::extension::{self, AuthorityKeyId, Extension, decode};
use crate::x509::general_name;
use crate::x509::name::Name;
use crate::x509::strict::{self, Reading};
use crate::{limits, text};

/// Extensions as one document, and what is wrong with them.
pub(crate) struct Decoded {
    /// By the name of the extension: `critical`, and `value` or `hex`.
    pub(crate) document: Map<String, Value>,
    /// Which part, such as `extension nameConstraints`, and why.
    pub(crate) problems: Vec<(String, String)>,
}

/// Decodes the extensions of a certificate or request of `size` bytes.
pub(crate) fn extensions<'a>(list: impl Iterator<Item = Extension<'a>>, size: usize) -> Decoded {
    let mut decoded = Decoded { document: Map::new(), problems: Vec::new() };
    let is_too_large = size > limits::MAX_STRICT_BYTES;
    if is_too_large {
        let limit = limits::MAX_STRICT_BYTES;
        let problem = format!("not decoded, because there are more than {limit} bytes in all");
        decoded.problems.push(("extensions".to_owned(), problem));
    }
    for Extension { oid, critical, value } in list {
        let name = oid.short().into_owned();
        let part = || format!("extension {name}");
        // Whoever finds one twice may not choose: OpenSSL takes such a certificate for invalid.
        if let Some(first) = decoded.document.get_mut(&name) {
            if !first["value"].is_null() || first.get("hex").is_some() {
                *first = json!({ "critical": critical, "value": null });
                decoded.problems.push((part(), "extension is there twice".to_owned()));
            }
            continue;
        }
        let reading = match own_reading(&name, value) {
            _ if is_too_large => Reading::Unknown,
            Some(Ok(read)) => Reading::Read { value: read, left_out: left_out(value) },
            Some(Err(fault)) => Reading::Unreadable(fault.into_error("value").to_string()),
            None => strict::extension(&oid, value),
        };
        let member = match reading {
            Reading::Read { value, left_out } => {
                decoded.problems.extend(left_out.map(|problem| (part(), problem)));
                json!({ "critical": critical, "value": value })
            }
            Reading::Unknown => json!({ "critical": critical, "hex": text::hex(value) }),
            Reading::Unreadable(problem) => {
                decoded.problems.push((part(), problem));
                json!({ "critical": critical, "hex": text::hex(value) })
            }
        };
        decoded.document.insert(name, member);
    }
    decoded
}

/// The values that the core reads, by OpenSSL's short names.
fn own_reading(name: &str, value: &[u8]) -> Option<Result<Value, Fault>> {
    let value = Reader::new(value, 0);
    Some(match name {
        "subjectAltName" => decode(value, general_name::read_alternative_names).map(|names| texts(&names)),
        "basicConstraints" => decode(value, extension::basic_constraints).map(|constraints| {
            json!({ "ca": constraints.is_ca, "path_length": constraints.path_length })
        }),
        "keyUsage" => decode(value, extension::key_usage).map(Value::from),
        "extendedKeyUsage" => decode(value, extension::extended_key_usage).map(Value::from),
        "subjectKeyIdentifier" => {
            decode(value, extension::subject_key_id).map(|id| text::hex(&id).into())
        }
        "authorityKeyIdentifier" => decode(value, AuthorityKeyId::read).map(|authority| {
            json!({
                "key_id": authority.key_id_hex(),
                "issuer": (!authority.issuer.is_empty()).then(|| texts(&authority.issuer)),
                "serial": authority.serial.map(|serial| serial.decimal()),
            })
        }),
        "crlDistributionPoints" | "freshestCRL" => decode(value, distribution_points),
        "privateKeyUsagePeriod" => decode(value, usage_period),
        // The other texts that Netscape put into certificates.
        "nsBaseUrl" | "nsRevocationUrl" | "nsCaRevocationUrl" | "nsRenewalUrl"
        | "nsCaPolicyUrl" | "nsSslServerName" => decode(value, ia5_string),
        _ => return None,
    })
}

/// What follows the value, at which OpenSSL does not look.
fn left_out(value: &[u8]) -> Option<String> {
    let mut reader = Reader::new(value, 0);
    reader.any().ok()?;
    let left = reader.rest().len();
    (left > 0).then(|| format!("{left} bytes after the value are ignored"))
}

fn texts<T: ToString>(items: &[T]) -> Value {
    items.iter().map(T::to_string).collect::<Vec<_>>().into()
}

fn ia5_string(mut value: Reader<'_>) -> Result<Value, Fault> {
    let string = value.expect(22, "an IA5String")?;
    Ok(text::escape_ascii(string.content).into())
}

/// Two moments, each of which may be left out (RFC 3280, section 4.2.1.4).
fn usage_period(mut value: Reader<'_>) -> Result<Value, Fault> {
    let mut reader = value.expect(der::SEQUENCE, "a period")?.inside();
    let mut moment = |tag| match reader.optional(tag)? {
        Some(found) => {
            let time = der::Element { tag: der::GENERALIZED_TIME, ..found }.time()?;
            Ok(Value::String(time.to_string()))
        }
        None => Ok(Value::Null),
    };
    let (not_before, not_after) = (moment(0x80)?, moment(0x81)?);
    reader.end()?;
    Ok(json!({ "not_before": not_before, "not_after": not_after }))
}

fn distribution_points(value: Reader<'_>) -> Result<Value, Fault> {
    let start = value.offset();
    let points = DistributionPoint::read_all(value)?;
    if points.len() > limits::MAX_DISTRIBUTION_POINTS {
        let what = "number of distribution points";
        return Err(Fault::too_large(start, what, limits::MAX_DISTRIBUTION_POINTS));
    }
    Ok(points.iter().map(distribution_point).collect())
}

fn distribution_point(point: &DistributionPoint) -> Value {
    let (full, relative) = match &point.name {
        Some(DistributionPointName::Full(names)) => (texts(names), Value::Null),
        Some(DistributionPointName::Relative(rdn)) => (Value::Null, relative_name(rdn)),
        None => (Value::Null, Value::Null),
    };
    json!({
        "full_name": full,
        "relative_name": relative,
        "reasons": point.reasons.as_deref().map(reasons),
        "crl_issuer": point.crl_issuer.as_deref().map(texts),
    })
}

/// An RDN in the form of RFC 2253; its bytes if it is none.
fn relative_name(rdn: &[u8]) -> Value {
    let mut set = Vec::with_capacity(rdn.len() + 6);
    der::push_header(&mut set, der::SET, rdn.len());
    set.extend_from_slice(rdn);
    let mut name = Vec::with_capacity(set.len() + 6);
    der::push_header(&mut name, der::SEQUENCE, set.len());
    name.extend_from_slice(&set);
    match Name::from_der(&name) {
        Ok(name) => name.rfc2253().into(),
        Err(_) => text::dump(rdn).into(),
    }
}

/// The bits of `ReasonFlags` in order, in the words for reasons that the lists have.
const REASONS: [&str; 9] = [
    "unused",
    "key_compromise",
    "ca_compromise",
    "affiliation_changed",
    "superseded",
    "cessation_of_operation",
    "certificate_hold",
    "privilege_withdrawn",
    "aa_compromise",
];

fn reasons(flags: &[u8]) -> Value {
    let is_set = |bit: usize| flags.get(bit / 8).is_some_and(|byte| byte << (bit % 8) & 0x80 != 0);
    let set = REASONS.iter().enumerate().filter(|(bit, _)| is_set(*bit));
    set.map(|(_, name)| *name).collect()
}
