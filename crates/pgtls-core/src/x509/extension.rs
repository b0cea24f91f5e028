//! Extensions of certificates and CRLs (RFC 5280, sections 4.2 and 5.2): the only reader of their
//! syntax.
//!
//! Each is read when it is asked for, so a broken one spoils its own answer and no other. Decoded
//! as OpenSSL decodes them: data behind the element is not looked at, and an extension that is
//! there twice or does not decode counts as absent (`X509V3_get_d2i` gives NULL).

use crate::asn1::ber;
use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::{self, Oid};
use crate::x509::distribution_point::DistributionPoint;
use crate::x509::general_name::{GeneralName, GeneralNameKind, general_names, is_directory_name};
use crate::x509::name::Name;
use crate::x509::serial::Serial;

/// One extension as the certificate carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its type; [`Oid::short`] is the name that `openssl` uses in configuration and sslinfo in its
    /// rows.
    pub oid: Oid<'a>,
    /// Whether who does not understand it has to reject the certificate.
    pub critical: bool,
    /// The content of its OCTET STRING: the DER of what the extension says.
    pub value: &'a [u8],
}

/// One extension of a certificate, a CRL or an entry of one, with the position of its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawExtension<'a> {
    /// The OID.
    pub(crate) oid: Element<'a>,
    pub(crate) critical: bool,
    pub(crate) value: Element<'a>,
}

impl<'a> RawExtension<'a> {
    /// Reads the next extension of an Extensions.
    pub(crate) fn read(extensions: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut fields = extensions.expect(der::SEQUENCE, "an extension")?.inside();
        let oid = fields.expect(der::OBJECT, "the type of an extension")?;
        Oid::from_element(&oid)?;
        let critical = match fields.optional(der::BOOLEAN)? {
            Some(critical) => critical.boolean()?,
            None => false,
        };
        let value = fields.expect(der::OCTET_STRING, "the value of an extension")?;
        fields.end()?;
        Ok(Self { oid, critical, value })
    }

    /// Reader over the value.
    pub(crate) fn reader(&self) -> Reader<'a> {
        self.value.inside()
    }

    /// Decodes the value, also if it is BER, as OpenSSL takes it.
    pub(crate) fn decode<T>(
        &self,
        read: impl Fn(Reader<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        decode(self.reader(), read)
    }
}

/// Decodes the value of an extension, also if it is BER, as OpenSSL's `X509V3_EXT_d2i` takes it.
/// Data behind the value is not looked at, as there.
pub(crate) fn decode<T>(
    value: Reader<'_>,
    read: impl Fn(Reader<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match read(value.clone()) {
        Err(fault) if fault.is_ber() => {
            let (definite, _) = ber::to_definite(value.rest())?;
            read(Reader::new(&definite, 0))
        }
        result => result,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<i64>,
}

pub(crate) fn basic_constraints(mut value: Reader<'_>) -> Result<BasicConstraints, Fault> {
    let mut reader = value.expect(der::SEQUENCE, "a SEQUENCE")?.inside();
    let is_ca = match reader.optional(der::BOOLEAN)? {
        Some(element) => element.boolean()?,
        None => false,
    };
    let path_length = match reader.optional(der::INTEGER)? {
        Some(element) => match element.small_integer()? {
            length @ 0.. => Some(length),
            _ => return Err(element.fault("path length is negative")),
        },
        None => None,
    };
    reader.end()?;
    Ok(BasicConstraints { is_ca, path_length })
}

/// The bits of `KeyUsage` in order, with OpenSSL's short names for them.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

pub(crate) fn key_usage(mut value: Reader<'_>) -> Result<Vec<&'static str>, Fault> {
    let (_, bytes) = value.expect(der::BIT_STRING, "a BIT STRING")?.bits()?;
    let is_set = |bit: usize| bytes.get(bit / 8).is_some_and(|byte| byte << (bit % 8) & 0x80 != 0);
    let set = KEY_USAGES.iter().enumerate().filter(|(bit, _)| is_set(*bit));
    Ok(set.map(|(_, name)| *name).collect())
}

pub(crate) fn extended_key_usage(mut value: Reader<'_>) -> Result<Vec<String>, Fault> {
    der::sequence_of(&mut value, |reader| {
        let purpose = Oid::from_element(&reader.expect(der::OBJECT, "a purpose")?)?;
        Ok(purpose.short().into_owned())
    })
}

pub(crate) fn subject_key_id(mut value: Reader<'_>) -> Result<Box<[u8]>, Fault> {
    Ok(value.expect(der::OCTET_STRING, "an OCTET STRING")?.content.into())
}

/// The URIs among the full names of `CRLDistributionPoints`.
pub(crate) fn crl_urls(value: Reader<'_>) -> Result<Vec<String>, Fault> {
    let points = DistributionPoint::read_all(value)?;
    let names = points.iter().filter_map(|point| point.name.as_ref());
    Ok(names.flat_map(|name| name.urls()).collect())
}

/// The URIs of the OCSP responders in `AuthorityInfoAccessSyntax`.
pub(crate) fn ocsp_urls(mut value: Reader<'_>) -> Result<Vec<String>, Fault> {
    let places = der::sequence_of(&mut value, |reader| {
        let mut description = reader.expect(der::SEQUENCE, "an access description")?.inside();
        let method = Oid::from_element(&description.expect(der::OBJECT, "an access method")?)?;
        let place = GeneralName::read(&mut description)?;
        description.end()?;
        Ok((method == oid::ids::OCSP).then_some(place))
    })?;
    let places = places.iter().flatten();
    let uris = places.filter(|place| place.kind() == GeneralNameKind::Uri);
    Ok(uris.map(GeneralName::value).collect())
}

/// Which key of the issuer signed (RFC 5280, section 4.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorityKeyId {
    /// The issuer's subject key identifier.
    pub key_id: Option<Box<[u8]>>,
    /// Issuer of the issuer's certificate.
    pub issuer: Vec<GeneralName>,
    /// Serial number of the issuer's certificate.
    pub serial: Option<Serial>,
}

impl AuthorityKeyId {
    /// Reads the value of the extension.
    pub(crate) fn read(mut value: Reader<'_>) -> Result<Self, Fault> {
        let mut fields = value.expect(der::SEQUENCE, "an authority key identifier")?.inside();
        let key_id = fields.optional(0x80)?.map(|field| field.content.into());
        let issuer = match fields.optional(0xa1)? {
            Some(names) => general_names(&names)?,
            None => Vec::new(),
        };
        let serial = match fields.optional(0x82)? {
            Some(serial) => {
                serial.integer()?;
                Some(Serial::from_element(&serial)?)
            }
            None => None,
        };
        fields.end()?;
        Ok(Self { key_id, issuer, serial })
    }

    /// Whether it can mean the certificate with this serial number, issuer and subject key
    /// identifier (OpenSSL: `X509_check_akid`).
    pub(crate) fn may_mean(&self, serial: &Serial, issuer: &Name, key_id: Option<&[u8]>) -> bool {
        if let (Some(wanted), Some(own)) = (self.key_id.as_deref(), key_id)
            && wanted != own
        {
            return false;
        }
        if self.serial.as_ref().is_some_and(|wanted| wanted != serial) {
            return false;
        }
        // Only the first directory name counts.
        match self.issuer.iter().find(|name| name.kind() == GeneralNameKind::DirName) {
            Some(name) => is_directory_name(name, issuer),
            None => true,
        }
    }

    /// The key identifier in lower-case hexadecimal.
    pub fn key_id_hex(&self) -> Option<String> {
        self.key_id.as_deref().map(crate::text::hex)
    }
}
