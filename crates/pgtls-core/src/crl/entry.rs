//! The entries of a revocation list (RFC 5280 section 5.3), read from the bytes when asked for.

use std::fmt;

use crate::asn1::der::{self, Element, Fault, Reader};
use crate::time::UnixTime;
use crate::x509::extension::RawExtension;
use crate::x509::general_name::{GeneralName, general_names};
use crate::x509::serial::Serial;

/// OIDs of the extensions of entries, as content octets.
const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
pub(crate) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];

const ENUMERATED: u8 = 0x0a;

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
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    serial: Element<'a>,
    /// Since when; `None` if the date is none.
    pub revoked_at: Option<UnixTime>,
    /// Why, if the list says so.
    pub reason: Option<Reason>,
    /// When the key is thought to have been compromised, if the list says so.
    pub invalidity_date: Option<UnixTime>,
}

impl<'a> Entry<'a> {
    /// The serial number of the certificate.
    pub fn serial(&self) -> Result<Serial, crate::error::Error> {
        Serial::from_element(&self.serial).map_err(|fault| fault.into_error("serial number"))
    }

    /// The content octets of the serial number's INTEGER.
    pub fn serial_bytes(&self) -> &'a [u8] {
        self.serial.content
    }
}

/// An entry taken apart, with its extensions not yet looked at.
pub(crate) struct RawEntry<'a> {
    pub(crate) offset: usize,
    pub(crate) serial: Element<'a>,
    time: Element<'a>,
    pub(crate) extensions: Option<Reader<'a>>,
}

/// What the extensions of an entry mean for the list (OpenSSL: `crl_set_issuers`).
pub(crate) struct Effect<'a> {
    /// A critical extension that OpenSSL does not process: any but certificateIssuer, so even a
    /// reason.
    pub(crate) unhandled_critical: Option<&'a [u8]>,
    /// A new issuer for this and the entries that follow.
    pub(crate) issuer: Field<RawExtension<'a>>,
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
    pub(crate) fn read(entries: &mut Reader<'a>) -> Result<Self, Fault> {
        let entry = entries.expect(der::SEQUENCE, "an entry")?;
        let mut fields = entry.inside();
        let serial = fields.expect(der::INTEGER, "a serial number")?;
        serial.integer()?;
        let time = fields.expect_time("revocationDate")?;
        let extensions = fields.optional_list(der::SEQUENCE)?.map(|extensions| extensions.inside());
        fields.end()?;
        Ok(Self { offset: entry.offset, serial, time, extensions })
    }

    /// What the entry's extensions mean for the list.
    pub(crate) fn effect(&self) -> Result<Effect<'a>, Fault> {
        let mut effect =
            Effect { unhandled_critical: None, issuer: Field::Absent, reason: Field::Absent };
        let Some(mut extensions) = self.extensions.clone() else { return Ok(effect) };
        while !extensions.is_empty() {
            let extension = RawExtension::read(&mut extensions)?;
            if extension.oid.content == CERTIFICATE_ISSUER {
                effect.issuer = match effect.issuer {
                    Field::Absent if extension.decode(certificate_issuer).is_ok() => {
                        Field::Is(extension)
                    }
                    _ => Field::Broken,
                };
                continue;
            }
            if extension.oid.content == REASON_CODE {
                effect.reason = match (effect.reason, extension.decode(reason)) {
                    (Field::Absent, Ok(reason)) => Field::Is(reason),
                    _ => Field::Broken,
                };
            }
            if extension.critical && effect.unhandled_critical.is_none() {
                effect.unhandled_critical = Some(extension.oid.content);
            }
        }
        Ok(effect)
    }

    /// The entry with its extensions decoded.
    pub(crate) fn decode(&self) -> Result<Entry<'a>, Fault> {
        let mut entry = Entry {
            serial: self.serial,
            revoked_at: self.time.time().ok(),
            reason: None,
            invalidity_date: None,
        };
        if let Some(mut extensions) = self.extensions.clone() {
            let mut reasons = Field::Absent;
            while !extensions.is_empty() {
                let extension = RawExtension::read(&mut extensions)?;
                if extension.oid.content == REASON_CODE {
                    reasons = match (reasons, extension.decode(reason)) {
                        (Field::Absent, Ok(reason)) => Field::Is(reason),
                        _ => Field::Broken,
                    };
                } else if extension.oid.content == INVALIDITY_DATE {
                    entry.invalidity_date =
                        extension.reader().any().and_then(|date| date.time()).ok();
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
pub(crate) fn certificate_issuer(mut value: Reader<'_>) -> Result<Vec<GeneralName>, Fault> {
    general_names(&value.expect_list(der::SEQUENCE, "a certificate issuer")?)
}

fn reason(mut value: Reader<'_>) -> Result<Reason, Fault> {
    let code = value.expect(ENUMERATED, "a reason code")?;
    let octets = code.integer()?;
    // Negative and huge numbers mean nothing; any number without a meaning does for them.
    let code = match octets {
        [first, ..] if first & 0x80 != 0 || octets.len() > 4 => u32::MAX,
        octets => octets.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)),
    };
    Ok(Reason::from_code(code))
}

/// Order of serial numbers in the index: by length, then by octets. On the minimal encodings that
/// get this far it is the numeric order for all that are not negative, the order in which CAs write
/// their lists.
pub(crate) fn compare_serials(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
