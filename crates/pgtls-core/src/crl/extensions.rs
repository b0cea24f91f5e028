//! Extensions of a revocation list (RFC 5280 section 5.2) and the names in them.
//!
//! Decoded as OpenSSL decodes them: data after the element is not looked at, and an extension that is there twice or
//! does not decode counts as absent (`X509V3_get_d2i` gives NULL, and nothing on the way of a verification asks why).

use crate::crl::canonical;
use crate::der::{self, Element, Problem, Reader};

/// A GeneralName (RFC 5280 section 4.2.1.6), as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneralName {
    der: Vec<u8>,
    /// What makes two of them equal for `GENERAL_NAME_cmp`.
    canonical: Vec<u8>,
    number: u8,
}

impl GeneralName {
    pub(crate) fn read(element: &Element<'_>) -> Result<Self, Problem> {
        let number = element.tag & 0x1f;
        let constructed = matches!(number, 0 | 3 | 4 | 5);
        let tag = if constructed { der::context_constructed(number) } else { der::context(number) };
        if number > 8 || element.tag != tag {
            return Err(element.problem("not a GeneralName"));
        }
        let canonical = if number == 4 {
            canonical::name(directory_name(element)?)?
        } else {
            element.content.to_vec()
        };
        Ok(Self { der: element.raw.to_vec(), canonical, number })
    }

    /// The DER of the GeneralName.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The number of the alternative: 1 email, 2 DNS, 4 directory name, 6 URI, 7 IP address.
    pub fn kind(&self) -> u8 {
        self.number
    }

    /// The text of an email address, DNS name or URI, if it is one and is ASCII.
    pub fn text(&self) -> Option<&str> {
        if !matches!(self.number, 1 | 2 | 6) {
            return None;
        }
        str::from_utf8(&self.canonical).ok().filter(|text| text.is_ascii())
    }

    /// The canonical form of a directory name.
    pub(crate) fn directory(&self) -> Option<&[u8]> {
        (self.number == 4).then_some(self.canonical.as_slice())
    }

    /// Equality as `GENERAL_NAME_cmp` has it.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.number == other.number && self.canonical == other.canonical
    }
}

/// The content of the Name in a directoryName, which is tagged explicitly.
fn directory_name<'a>(element: &Element<'a>) -> Result<Reader<'a>, Problem> {
    let mut inner = element.reader();
    let name = inner.take(der::SEQUENCE, "directory name is not a SEQUENCE")?;
    inner.finish("data after a directory name")?;
    Ok(name.reader())
}

/// Reads the content of a GeneralNames.
pub(crate) fn general_names(mut names: Reader<'_>) -> Result<Vec<GeneralName>, Problem> {
    let mut read = Vec::new();
    while !names.is_empty() {
        read.push(GeneralName::read(&names.next()?)?);
    }
    Ok(read)
}

/// Where a list, or the list for a certificate, is published (RFC 5280 sections 4.2.1.13 and 5.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DistributionPointName {
    /// One or more names of the same place.
    Full(Vec<GeneralName>),
    /// An RDN below the issuer's name; the DER of the SET's content.
    Relative(Vec<u8>),
}

impl DistributionPointName {
    /// Reads what is inside the explicit tag `[0]` of a distribution point.
    pub(crate) fn read(mut inside: Reader<'_>) -> Result<Self, Problem> {
        let name = inside.next()?;
        inside.finish("data after a distribution point name")?;
        if name.tag == der::context_constructed(0) {
            general_names(name.reader()).map(Self::Full)
        } else if name.tag == der::context_constructed(1) {
            canonical::rdn(name.reader(), &mut Vec::new())?;
            Ok(Self::Relative(name.content.to_vec()))
        } else {
            Err(name.problem("not a distribution point name"))
        }
    }

    /// Canonical form of the whole name a relative name stands for, below the name `base` (canonical too).
    fn relative_to(rdn: &[u8], base: &[u8]) -> Option<Vec<u8>> {
        let mut whole = base.to_vec();
        canonical::rdn(Reader::new(rdn), &mut whole).ok()?;
        Some(whole)
    }

    /// Whether two names are of the same place, as `idp_check_dp` has it. Each comes with the canonical name that a
    /// relative name is relative to.
    pub(crate) fn same_place(a: (&Self, &[u8]), b: (&Self, &[u8])) -> bool {
        match (a, b) {
            ((Self::Full(a), _), (Self::Full(b), _)) => {
                a.iter().any(|a| b.iter().any(|b| a.same_as(b)))
            }
            ((Self::Relative(a), base_a), (Self::Relative(b), base_b)) => {
                Self::relative_to(a, base_a)
                    .is_some_and(|a| Self::relative_to(b, base_b) == Some(a))
            }
            ((Self::Full(full), _), (Self::Relative(relative), base))
            | ((Self::Relative(relative), base), (Self::Full(full), _)) => {
                Self::relative_to(relative, base).is_some_and(|relative| {
                    full.iter().any(|name| name.directory() == Some(relative.as_slice()))
                })
            }
        }
    }
}

/// Which certificates a list is about (RFC 5280 section 5.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssuingDistributionPoint {
    /// Where the list is published.
    pub distribution_point: Option<DistributionPointName>,
    /// Only certificates of end entities.
    pub only_user: bool,
    /// Only certificates of CAs.
    pub only_ca: bool,
    /// Only attribute certificates, so nothing that TLS knows.
    pub only_attribute: bool,
    /// Only these reasons, as the octets of the BIT STRING without the count of unused bits.
    pub only_some_reasons: Option<Vec<u8>>,
    /// Also certificates of other issuers.
    pub indirect: bool,
}

impl IssuingDistributionPoint {
    /// Reads the value of the extension.
    pub(crate) fn read(mut value: Reader<'_>) -> Result<Self, Problem> {
        let mut fields =
            value.take(der::SEQUENCE, "issuing distribution point is not a SEQUENCE")?.reader();
        let flag = |fields: &mut Reader<'_>, number| {
            let field = fields.take_if(der::context(number))?;
            field.map_or(Ok(false), |field| field.boolean())
        };
        let distribution_point = distribution_point_name(&mut fields)?;
        let only_user = flag(&mut fields, 1)?;
        let only_ca = flag(&mut fields, 2)?;
        let only_some_reasons = match fields.take_if(der::context(3))? {
            Some(bits) => Some(bit_string(&bits)?.to_vec()),
            None => None,
        };
        let indirect = flag(&mut fields, 4)?;
        let only_attribute = flag(&mut fields, 5)?;
        fields.finish("data after the last field of an issuing distribution point")?;
        Ok(Self {
            distribution_point,
            only_user,
            only_ca,
            only_attribute,
            only_some_reasons,
            indirect,
        })
    }

    /// More than one of the "only" flags, which contradict each other; OpenSSL then never uses the list.
    pub fn is_contradictory(&self) -> bool {
        [self.only_user, self.only_ca, self.only_attribute].iter().filter(|set| **set).count() > 1
    }
}

/// Where to look for the list for a certificate, or for the newest delta list (RFC 5280 sections 4.2.1.13 and 5.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DistributionPoint {
    /// The place.
    pub name: Option<DistributionPointName>,
    /// Only for these reasons, as the octets of the BIT STRING without the count of unused bits.
    pub reasons: Option<Vec<u8>>,
    /// Who signs the list there, if not the issuer of the certificate.
    pub crl_issuer: Option<Vec<GeneralName>>,
}

impl DistributionPoint {
    /// Reads the value of the extension.
    pub(crate) fn read_all(mut value: Reader<'_>) -> Result<Vec<Self>, Problem> {
        let mut points =
            value.take(der::SEQUENCE, "distribution points are not a SEQUENCE")?.reader();
        let mut read = Vec::new();
        while !points.is_empty() {
            let point = points.take(der::SEQUENCE, "distribution point is not a SEQUENCE")?;
            let mut fields = point.reader();
            let name = distribution_point_name(&mut fields)?;
            let reasons = match fields.take_if(der::context(1))? {
                Some(bits) => Some(bit_string(&bits)?.to_vec()),
                None => None,
            };
            let crl_issuer = match fields.take_if(der::context_constructed(2))? {
                Some(names) => Some(general_names(names.reader())?),
                None => None,
            };
            fields.finish("data after the last field of a distribution point")?;
            read.push(Self { name, reasons, crl_issuer });
        }
        Ok(read)
    }
}

/// Reads the optional `[0]` at the start of a distribution point.
fn distribution_point_name(
    fields: &mut Reader<'_>,
) -> Result<Option<DistributionPointName>, Problem> {
    match fields.take_if(der::context_constructed(0))? {
        Some(explicit) => DistributionPointName::read(explicit.reader()).map(Some),
        None => Ok(None),
    }
}

/// The octets of a BIT STRING without the count of unused bits.
pub(crate) fn bit_string<'a>(element: &Element<'a>) -> Result<&'a [u8], Problem> {
    match element.content {
        [0..=7, bits @ ..] => Ok(bits),
        _ => Err(element.problem("not a BIT STRING")),
    }
}

/// Which key of the issuer signed (RFC 5280 section 4.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorityKeyId {
    /// The issuer's subject key identifier.
    pub key_id: Option<Vec<u8>>,
    /// Issuer of the issuer's certificate.
    pub issuer: Option<Vec<GeneralName>>,
    /// Serial number of the issuer's certificate, the content of its INTEGER.
    pub serial: Option<Vec<u8>>,
}

impl AuthorityKeyId {
    /// Reads the value of the extension.
    pub(crate) fn read(mut value: Reader<'_>) -> Result<Self, Problem> {
        let mut fields =
            value.take(der::SEQUENCE, "authority key identifier is not a SEQUENCE")?.reader();
        let key_id = fields.take_if(der::context(0))?.map(|field| field.content.to_vec());
        let issuer = match fields.take_if(der::context_constructed(1))? {
            Some(names) => Some(general_names(names.reader())?),
            None => None,
        };
        let serial = match fields.take_if(der::context(2))? {
            Some(serial) => Some(serial.integer()?.to_vec()),
            None => None,
        };
        fields.finish("data after the last field of an authority key identifier")?;
        Ok(Self { key_id, issuer, serial })
    }
}

/// One extension of a list or of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extension<'a> {
    /// Content of the OID.
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
    pub(crate) value_offset: usize,
}

impl<'a> Extension<'a> {
    /// Reads the next extension of an Extensions.
    pub(crate) fn read(extensions: &mut Reader<'a>) -> Result<Self, Problem> {
        let mut fields = extensions.take(der::SEQUENCE, "extension is not a SEQUENCE")?.reader();
        let oid = fields.take(der::OID, "extension without an OID")?;
        let critical = match fields.take_if(der::BOOLEAN)? {
            Some(critical) => critical.boolean()?,
            None => false,
        };
        let value = fields.take(der::OCTET_STRING, "extension without a value")?;
        fields.finish("data after the value of an extension")?;
        Ok(Self {
            oid: oid.content,
            critical,
            value: value.content,
            value_offset: value.content_offset(),
        })
    }

    /// Reader over the value.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::at(self.value, self.value_offset)
    }
}
