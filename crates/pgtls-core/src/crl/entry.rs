//! The entries of a revocation list (RFC 5280 section 5.3), read from the bytes when asked for.

use std::fmt;

use crate::UnixTime;
use crate::crl::extensions::{Extension, GeneralName, general_names};
use crate::der::{self, Problem, Reader};

/// OIDs of the extensions of entries, as content octets.
const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
pub(crate) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No reason given, by saying so.
    Unspecified,
    /// The key of the certificate got out.
    KeyCompromise,
    /// The key of the CA got out.
    CaCompromise,
    /// The subject's name or other information changed.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// No longer needed for its purpose.
    CessationOfOperation,
    /// On hold: revoked until it is removed from the list.
    CertificateHold,
    /// In a delta list: no longer revoked.
    RemoveFromCrl,
    /// A privilege the certificate held was withdrawn.
    PrivilegeWithdrawn,
    /// The key of the attribute authority got out.
    AaCompromise,
    /// A number without a meaning in RFC 5280.
    Other(u32),
}

impl Reason {
    /// The reason with this number.
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            other => Self::Other(other),
        }
    }

    /// The name SQL shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::CaCompromise => "ca_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::CertificateHold => "certificate_hold",
            Self::RemoveFromCrl => "remove_from_crl",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
            Self::AaCompromise => "aa_compromise",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(code) => write!(f, "other ({code})"),
            named => f.write_str(named.as_str()),
        }
    }
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Content of the serial number's INTEGER: two's complement, big endian.
    pub serial: &'a [u8],
    /// Since when; `None` if the list's date is malformed.
    pub revoked_at: Option<UnixTime>,
    /// Why, if the list says so.
    pub reason: Option<Reason>,
    /// When the key is thought to have been compromised, if the list says so.
    pub invalidity_date: Option<UnixTime>,
}

/// An entry taken apart, with its extensions not yet looked at.
pub(crate) struct RawEntry<'a> {
    pub(crate) offset: usize,
    pub(crate) serial: &'a [u8],
    time_tag: u8,
    time: &'a [u8],
    pub(crate) extensions: Option<Reader<'a>>,
}

/// What the extensions of an entry mean for the list (OpenSSL: `crl_set_issuers`).
pub(crate) struct Effect<'a> {
    /// A critical extension that OpenSSL does not process: any but certificateIssuer, so even a reason.
    pub(crate) unhandled_critical: Option<&'a [u8]>,
    /// A new issuer for this and the entries that follow.
    pub(crate) issuer: Field<Extension<'a>>,
    pub(crate) reason: Field<Reason>,
}

/// A value that may be absent or broken.
#[derive(Clone, Copy)]
pub(crate) enum Field<T> {
    Absent,
    Broken,
    Is(T),
}

impl<'a> RawEntry<'a> {
    /// Reads the next entry of revokedCertificates.
    pub(crate) fn read(entries: &mut Reader<'a>) -> Result<Self, Problem> {
        let entry = entries.take(der::SEQUENCE, "entry is not a SEQUENCE")?;
        let mut fields = entry.reader();
        let serial = fields.take(der::INTEGER, "entry without a serial number")?.integer()?;
        let time = fields.next()?;
        if time.tag != der::UTC_TIME && time.tag != der::GENERALIZED_TIME {
            return Err(time.problem("revocation date is not a time"));
        }
        let extensions = if fields.is_empty() {
            None
        } else {
            let extensions =
                fields.take(der::SEQUENCE, "extensions of an entry are not a SEQUENCE")?;
            fields.finish("data after the extensions of an entry")?;
            Some(extensions.reader())
        };
        Ok(Self {
            offset: entry.offset,
            serial,
            time_tag: time.tag,
            time: time.content,
            extensions,
        })
    }

    /// What the entry's extensions mean for the list.
    pub(crate) fn effect(&self) -> Result<Effect<'a>, Problem> {
        let mut effect =
            Effect { unhandled_critical: None, issuer: Field::Absent, reason: Field::Absent };
        let Some(mut extensions) = self.extensions.clone() else { return Ok(effect) };
        while !extensions.is_empty() {
            let extension = Extension::read(&mut extensions)?;
            if extension.oid == CERTIFICATE_ISSUER {
                effect.issuer = match effect.issuer {
                    Field::Absent if certificate_issuer(extension.reader()).is_ok() => {
                        Field::Is(extension)
                    }
                    _ => Field::Broken,
                };
                continue;
            }
            if extension.oid == REASON_CODE {
                effect.reason = match (effect.reason, reason(&extension)) {
                    (Field::Absent, Ok(reason)) => Field::Is(reason),
                    _ => Field::Broken,
                };
            }
            if extension.critical && effect.unhandled_critical.is_none() {
                effect.unhandled_critical = Some(extension.oid);
            }
        }
        Ok(effect)
    }

    /// The entry with its extensions decoded.
    pub(crate) fn decode(&self) -> Result<Entry<'a>, Problem> {
        let mut entry = Entry {
            serial: self.serial,
            revoked_at: der::time(self.time_tag, self.time),
            reason: None,
            invalidity_date: None,
        };
        if let Some(mut extensions) = self.extensions.clone() {
            let mut reasons = Field::Absent;
            while !extensions.is_empty() {
                let extension = Extension::read(&mut extensions)?;
                if extension.oid == REASON_CODE {
                    reasons = match (reasons, reason(&extension)) {
                        (Field::Absent, Ok(reason)) => Field::Is(reason),
                        _ => Field::Broken,
                    };
                } else if extension.oid == INVALIDITY_DATE {
                    let date = extension.reader().next()?;
                    entry.invalidity_date = der::time(date.tag, date.content);
                }
            }
            if let Field::Is(reason) = reasons {
                entry.reason = Some(reason);
            }
        }
        Ok(entry)
    }
}

/// The names in a certificateIssuer extension (RFC 5280 section 5.3.3).
pub(crate) fn certificate_issuer(mut value: Reader<'_>) -> Result<Vec<GeneralName>, Problem> {
    let names = value.take(der::SEQUENCE, "certificate issuer is not a SEQUENCE")?;
    general_names(names.reader())
}

fn reason(extension: &Extension<'_>) -> Result<Reason, Problem> {
    let code = extension.reader().take(der::ENUMERATED, "reason code is not ENUMERATED")?;
    let octets = code.integer()?;
    // Negative and huge numbers mean nothing; any number without a meaning does for them.
    let code = match octets {
        [first, ..] if first & 0x80 != 0 || octets.len() > 4 => u32::MAX,
        octets => octets.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)),
    };
    Ok(Reason::from_code(code))
}

/// Order of serial numbers in the index: by length, then by octets. On the minimal encodings that get this far it is the
/// numeric order for all that are not negative, the order in which CAs write their lists.
pub(crate) fn compare_serials(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
