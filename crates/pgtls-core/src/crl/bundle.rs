//! Files with revocation lists in them: PEM with any number of lists and anything in between, or
//! DER, one list after the other.
//!
//! The base64 is decoded into the buffer that holds the text, so a list needs no second buffer of
//! its size; see [`pem`](crate::pem).

use std::ops::Range;
use std::sync::Arc;

use crate::crl::{Crl, EXPECTED};
use crate::error::Error;
use crate::form::{self, Form};
use crate::{limits, pem, work};

/// One list of a file, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which list of the file, counted from 1.
    pub position: usize,
    /// Where in the file it starts: its `BEGIN` line, or its first byte. Of broken armour, 0.
    pub offset: usize,
    /// The list. An error's offset counts from the start of the list's DER, or of the file if it is
    /// about the PEM.
    pub crl: Result<Crl, Error>,
}

/// Most lists of one file; a directory of CAs has hundreds, and each broken one costs an error
/// message.
const MAX_MEMBERS: usize = 100_000;

/// Reads the lists of a file, in order.
///
/// Takes the file's buffer because it decodes in place. A list that is broken does not keep the
/// others from being read, but behind broken armour and, in DER, behind a broken list nothing can
/// be read. An error means that there is not one list in the file, not even a broken one.
pub fn parse_crls(mut file: Vec<u8>) -> Result<Vec<Member>, Error> {
    if file.len() > limits::MAX_CRL_BYTES {
        return Err(Error::TooLarge {
            what: "input with revocation lists",
            limit: limits::MAX_CRL_BYTES,
        });
    }
    let blocks = match form::of(&file) {
        Form::Der => return in_der(file),
        Form::Pem => {
            let (blocks, length) = decode_blocks(&mut file)?;
            file.truncate(length);
            file.shrink_to_fit();
            blocks
        }
    };
    if blocks.is_empty() {
        return Err(Error::NoPemBlock { expected: EXPECTED });
    }
    let file = Arc::new(file);
    let members = blocks.into_iter().zip(1..).map(|(block, position)| Member {
        position,
        offset: block.offset,
        crl: block.der.and_then(|range| Crl::parse(Arc::clone(&file), range)),
    });
    Ok(work::collect(members))
}

/// One PEM block of a list.
struct Block {
    offset: usize,
    /// Where its DER now is.
    der: Result<Range<usize>, Error>,
}

/// Decodes every list of the file to the front of it; gives the blocks and how many bytes they take
/// together.
fn decode_blocks(file: &mut [u8]) -> Result<(Vec<Block>, usize), Error> {
    let mut blocks = Vec::new();
    let mut scanner = pem::Scanner::default();
    let mut target = pem::InPlace { file, written: 0 };
    let mut start = 0;
    while let Some(found) = scanner.next(&mut target, pem::CRL) {
        check_count(blocks.len())?;
        let end = target.written;
        let block = match found {
            Ok(found) => Block { offset: found.offset, der: Ok(start..end) },
            Err(error) => Block { offset: 0, der: Err(error) },
        };
        work::push(&mut blocks, block);
        start = end;
    }
    Ok((blocks, start))
}

/// The lists of DER, one after the other.
fn in_der(file: Vec<u8>) -> Result<Vec<Member>, Error> {
    let file = Arc::new(file);
    let mut members = Vec::new();
    let mut offset = 0;
    while offset < file.len() {
        check_count(members.len())?;
        let crl = Crl::parse(Arc::clone(&file), offset..file.len());
        let next = crl.as_ref().map_or(file.len(), |crl| offset + crl.input_bytes());
        members.push(Member { position: members.len() + 1, offset, crl });
        offset = next;
    }
    Ok(members)
}

fn check_count(members: usize) -> Result<(), Error> {
    if members < MAX_MEMBERS {
        return Ok(());
    }
    Err(Error::TooLarge { what: "number of CRLs in one file", limit: MAX_MEMBERS })
}
