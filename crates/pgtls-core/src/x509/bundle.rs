//! Several certificates in one input: PEM text or DER, one after the other.

use crate::error::Error;
use crate::form::{self, Form};
use crate::x509::certificate::{Certificate, EXPECTED};
use crate::{limits, pem, work};

/// The certificates of a text with PEM blocks or of DER one after the other, in their order.
///
/// The first member that is broken makes the whole an error that names it; see [`each_certificate`]
/// for the others. Input without any certificate is an error.
pub fn parse_certificates(input: &[u8]) -> Result<Vec<Certificate>, Error> {
    let mut certificates = Vec::new();
    for certificate in each_certificate(input)? {
        work::push(&mut certificates, certificate?);
    }
    Ok(certificates)
}

/// As [`parse_certificates`], but also those that OpenSSL refuses to read, if only their structure
/// can be walked: what a client may send ([`Certificate::refusal`]).
pub fn parse_certificates_as_sent(input: &[u8]) -> Result<Vec<Certificate>, Error> {
    members(input, Certificate::read)?.collect()
}

/// The certificates of a session in DER, one after the other, as OpenSSL has read and written them.
pub fn certificates_from_openssl(mut der: &[u8]) -> Result<Vec<Certificate>, Error> {
    let mut certificates = Vec::new();
    while !der.is_empty() {
        certificates.push(Certificate::read(&mut der)?);
    }
    Ok(certificates)
}

/// As [`parse_certificates`], one after the other: members before and, in PEM, after a broken one
/// can still be had. Where the armour itself is broken, nothing follows.
pub fn each_certificate(
    input: &[u8],
) -> Result<impl Iterator<Item = Result<Certificate, Error>> + use<'_>, Error> {
    members(input, Certificate::take_der)
}

/// Reads the certificate at the start of DER, and leaves what follows it.
type Read = fn(&mut &[u8]) -> Result<Certificate, Error>;

fn members(
    input: &[u8],
    read: Read,
) -> Result<impl Iterator<Item = Result<Certificate, Error>> + use<'_>, Error> {
    if input.len() > limits::MAX_BUNDLE_BYTES {
        return Err(Error::TooLarge {
            what: "input with certificates",
            limit: limits::MAX_BUNDLE_BYTES,
        });
    }
    let mut members = match form::of(input) {
        Form::Der => Members::Der { rest: input, position: 0, read },
        Form::Pem => {
            Members::Pem { blocks: pem::blocks(input, pem::CERTIFICATE), position: 0, read }
        }
    };
    let Some(first) = members.next() else {
        return Err(Error::NoPemBlock { expected: EXPECTED });
    };
    let mut second = members.next();
    // A lone broken certificate is no bundle.
    let first = match first {
        Err(Error::Member { source, .. }) if second.is_none() => Err(*source),
        other => other,
    };
    // The second one waits, rather than all of them being parsed at once.
    let rest = std::iter::from_fn(move || second.take().or_else(|| members.next()));
    Ok(std::iter::once(first).chain(rest))
}

enum Members<'a> {
    Pem { blocks: pem::Blocks<'a>, position: usize, read: Read },
    Der { rest: &'a [u8], position: usize, read: Read },
}

impl Iterator for Members<'_> {
    type Item = Result<Certificate, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        work::between();
        let (position, certificate) = match self {
            Self::Pem { blocks, position, read } => {
                let block = blocks.next()?;
                (position, block.and_then(|block| Certificate::from_block(&block, *read)))
            }
            Self::Der { rest: [], .. } => return None,
            Self::Der { rest, position, read } => (position, read(rest)),
        };
        *position += 1;
        let position = *position;
        if position > limits::MAX_CERTIFICATES {
            *self = Self::Der { rest: &[], position, read: Certificate::take_der };
            return Some(Err(Error::TooLarge {
                what: "number of certificates",
                limit: limits::MAX_CERTIFICATES,
            }));
        }
        Some(certificate.map_err(|source| Error::Member {
            expected: EXPECTED,
            position,
            source: Box::new(source),
        }))
    }
}
