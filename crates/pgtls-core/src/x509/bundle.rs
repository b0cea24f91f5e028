//! Several certificates in one input: PEM text or DER, one after the other.

use crate::error::Error;
use crate::form::{self, Form};
use crate::x509::certificate::{Certificate, EXPECTED};
use crate::{limits, pem};

/// The certificates of a text with PEM blocks or of DER one after the other, in their order.
///
/// The first member that is broken makes the whole an error that names it; see [`each_certificate`] for the others.
/// Input without any certificate is an error.
pub fn parse_certificates(input: &[u8]) -> Result<Vec<Certificate>, Error> {
    each_certificate(input)?.collect()
}

/// As [`parse_certificates`], one after the other: members before and, in PEM, after a broken one can still be had.
/// Where the armour itself is broken, nothing follows.
pub fn each_certificate(
    input: &[u8],
) -> Result<impl Iterator<Item = Result<Certificate, Error>> + use<'_>, Error> {
    if input.len() > limits::MAX_BUNDLE_BYTES {
        return Err(Error::TooLarge {
            what: "input with certificates",
            limit: limits::MAX_BUNDLE_BYTES,
        });
    }
    let mut members = match form::of(input) {
        Form::Der => Members::Der { rest: input, position: 0 },
        Form::Pem => Members::Pem { blocks: pem::blocks(input, pem::CERTIFICATE), position: 0 },
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
    Pem { blocks: pem::Blocks<'a>, position: usize },
    Der { rest: &'a [u8], position: usize },
}

impl Iterator for Members<'_> {
    type Item = Result<Certificate, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (position, certificate) = match self {
            Self::Pem { blocks, position } => {
                let block = blocks.next()?;
                (position, block.and_then(|block| Certificate::from_block(&block)))
            }
            Self::Der { rest: [], .. } => return None,
            Self::Der { rest, position } => (position, Certificate::take_der(rest)),
        };
        *position += 1;
        let position = *position;
        if position > limits::MAX_CERTIFICATES {
            *self = Self::Der { rest: &[], position };
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
