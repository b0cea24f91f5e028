//! AlgorithmIdentifier (RFC 5280, section 4.1.1.2).

use std::ops::Range;

use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::Oid;

/// An AlgorithmIdentifier: an OID and at most one parameter.
pub(crate) struct Algorithm<'a> {
    /// All of it.
    pub(crate) element: Element<'a>,
    /// Where the content of its OID is.
    pub(crate) oid: Range<usize>,
    /// Where the parameter is; empty if there is none.
    pub(crate) parameters: Range<usize>,
}

impl<'a> Algorithm<'a> {
    /// Reads the next element, which `what` names in an error.
    pub(crate) fn read(fields: &mut Reader<'a>, what: &'static str) -> Result<Self, Fault> {
        let element = fields.expect(der::SEQUENCE, what)?;
        let mut parts = element.inside();
        let oid = parts.expect(der::OBJECT, "the OID of an algorithm")?;
        Oid::from_element(&oid)?;
        let start = parts.offset();
        if !parts.is_empty() {
            parts.any()?;
        }
        parts.end()?;
        Ok(Self { element, oid: oid.content_range(), parameters: start..parts.offset() })
    }
}
