//! Where CRLs are published: the distribution points of certificates (RFC 5280, section 4.2.1.13)
//! and the one that a CRL says it is from (section 5.2.5).

use crate::asn1::der::{self, Fault, Reader};
use crate::x509::general_name::{
    GeneralName, GeneralNameKind, general_names, is_directory_name, same_general_name,
};
use crate::x509::name::Name;

/// Where a list, or the list for a certificate, is published (RFC 5280, sections 4.2.1.13 and
/// 5.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DistributionPointName {
    /// One or more names of the same place.
    Full(Vec<GeneralName>),
    /// An RDN below the issuer's name: the content of its SET.
    Relative(Box<[u8]>),
}

impl DistributionPointName {
    /// Reads the optional `[0]` at the start of a distribution point.
    fn read(fields: &mut Reader<'_>) -> Result<Option<Self>, Fault> {
        let Some(tagged) = fields.optional(0xa0)? else { return Ok(None) };
        let mut choice = tagged.inside();
        let name = choice.any()?;
        choice.end()?;
        match name.tag {
            0xa0 => Ok(Some(Self::Full(general_names(&name)?))),
            0xa1 => Ok(Some(Self::Relative(name.content.into()))),
            tag => Err(name.fault(format!("no distribution point name has tag 0x{tag:02x}"))),
        }
    }

    /// Whether two names are of the same place (OpenSSL: `idp_check_dp`). Each comes with the name
    /// that a relative name is relative to.
    pub(crate) fn same_place(a: (&Self, &Name), b: (&Self, &Name)) -> bool {
        match (a, b) {
            ((Self::Full(a), _), (Self::Full(b), _)) => {
                a.iter().any(|a| b.iter().any(|b| same_general_name(a, b)))
            }
            ((Self::Relative(a), base_a), (Self::Relative(b), base_b)) => {
                match (below(base_a, a), below(base_b, b)) {
                    (Some(a), Some(b)) => a.matches(&b),
                    _ => false,
                }
            }
            ((Self::Full(full), _), (Self::Relative(relative), base))
            | ((Self::Relative(relative), base), (Self::Full(full), _)) => below(base, relative)
                .is_some_and(|name| full.iter().any(|full| is_directory_name(full, &name))),
        }
    }

    /// The URIs among the names of the place.
    pub fn urls(&self) -> Vec<String> {
        match self {
            Self::Full(names) => names
                .iter()
                .filter(|name| name.kind() == GeneralNameKind::Uri)
                .map(GeneralName::value)
                .collect(),
            Self::Relative(_) => Vec::new(),
        }
    }
}

/// The name that an RDN below another name stands for (OpenSSL: `DIST_POINT_set_dpname`).
fn below(base: &Name, rdn: &[u8]) -> Option<Name> {
    let mut rdns = Reader::new(base.as_der(), 0).any().ok()?.content.to_vec();
    der::push_header(&mut rdns, der::SET, rdn.len());
    rdns.extend_from_slice(rdn);
    let mut name = Vec::with_capacity(rdns.len() + 6);
    der::push_header(&mut name, der::SEQUENCE, rdns.len());
    name.extend_from_slice(&rdns);
    Name::from_der(&name).ok()
}

/// Where to look for the list for a certificate, or for the newest delta list (RFC 5280, sections
/// 4.2.1.13 and 5.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DistributionPoint {
    /// The place.
    pub name: Option<DistributionPointName>,
    /// Only for these reasons, as the octets of the BIT STRING without the count of unused bits.
    pub reasons: Option<Box<[u8]>>,
    /// Who signs the list there, if not the issuer of the certificate.
    pub crl_issuer: Option<Vec<GeneralName>>,
}

impl DistributionPoint {
    /// Reads the value of the extension.
    pub(crate) fn read_all(mut value: Reader<'_>) -> Result<Vec<Self>, Fault> {
        let mut points = value.expect_list(der::SEQUENCE, "distribution points")?.inside();
        let mut read = Vec::new();
        while !points.is_empty() {
            let mut fields = points.expect(der::SEQUENCE, "a distribution point")?.inside();
            let name = DistributionPointName::read(&mut fields)?;
            let reasons = reason_flags(&mut fields, 0x81)?;
            let crl_issuer = match fields.optional(0xa2)? {
                Some(names) => Some(general_names(&names)?),
                None => None,
            };
            fields.end()?;
            read.push(Self { name, reasons, crl_issuer });
        }
        Ok(read)
    }
}

/// An optional ReasonFlags: its octets, the bits that do not count cleared.
fn reason_flags(fields: &mut Reader<'_>, tag: u8) -> Result<Option<Box<[u8]>>, Fault> {
    let Some(flags) = fields.optional(tag)? else { return Ok(None) };
    let (unused, octets) = flags.bits()?;
    let mut octets: Box<[u8]> = octets.into();
    if let Some(last) = octets.last_mut() {
        *last &= 0xff << unused;
    }
    Ok(Some(octets))
}

/// Which certificates a list is about (RFC 5280, section 5.2.5).
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
    pub only_some_reasons: Option<Box<[u8]>>,
    /// Also certificates of other issuers.
    pub indirect: bool,
}

impl IssuingDistributionPoint {
    /// Reads the value of the extension.
    pub(crate) fn read(mut value: Reader<'_>) -> Result<Self, Fault> {
        let mut fields = value.expect(der::SEQUENCE, "an issuing distribution point")?.inside();
        let flag = |fields: &mut Reader<'_>, tag| match fields.optional(tag)? {
            Some(field) => field.boolean(),
            None => Ok(false),
        };
        let distribution_point = DistributionPointName::read(&mut fields)?;
        let only_user = flag(&mut fields, 0x81)?;
        let only_ca = flag(&mut fields, 0x82)?;
        let only_some_reasons = reason_flags(&mut fields, 0x83)?;
        let indirect = flag(&mut fields, 0x84)?;
        let only_attribute = flag(&mut fields, 0x85)?;
        fields.end()?;
        Ok(Self {
            distribution_point,
            only_user,
            only_ca,
            only_attribute,
            only_some_reasons,
            indirect,
        })
    }

    /// More than one of the "only" flags, which contradict each other; OpenSSL then never uses the
    /// list.
    pub fn is_contradictory(&self) -> bool {
        [self.only_user, self.only_ca, self.only_attribute].iter().filter(|set| **set).count() > 1
    }
}
