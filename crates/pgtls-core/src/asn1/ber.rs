//! BER rewritten as DER, as OpenSSL reads it (X.690, section 8).
//!
//! Owns indefinite lengths and strings in pieces. Only input that [`der`](super::der) refuses with
//! [`Fault::is_ber`] comes here.

use super::der::{CLASS_MASK, CONSTRUCTED, Fault, Header, LONG_TAG, SEQUENCE, SET, push_header};
use crate::limits;

/// How much memory rewriting takes, in multiples of the data: the copies of what is open at the
/// same time.
pub(crate) const MEMORY_FACTOR: usize = 8;

/// Rewrites the first BER element of `data` with definite lengths and strings in one piece, as
/// OpenSSL reads it. Gives the result and how many bytes of `data` the element took.
pub(crate) fn to_definite(data: &[u8]) -> Result<(Vec<u8>, usize), Fault> {
    let mut out = Vec::new();
    let used = rewrite(data, 0, limits::MAX_NESTING, &mut out)?;
    Ok((out, used))
}

/// Appends the element at `at`, and gives the bytes it took.
fn rewrite(data: &[u8], at: usize, depth: usize, out: &mut Vec<u8>) -> Result<usize, Fault> {
    let span = Span::at(data, at)?;
    let depth = depth.checked_sub(1).ok_or_else(|| Fault::new(at, "elements nest too deeply"))?;
    let mut content = Vec::new();
    let is_string = is_string_in_pieces(span.tag);
    let end = match span.end {
        Some(end) if span.tag & CONSTRUCTED == 0 => {
            content.extend_from_slice(&data[span.start..end]);
            end
        }
        _ if is_string => collect(data, &span, depth, &mut content)?,
        _ => {
            let end = each_child(data, &span, |scope, at| rewrite(scope, at, depth, &mut content));
            match (end, span.end) {
                (Ok(end), _) => end,
                // What nobody looks into, such as the parameters of an algorithm, may hold
                // anything.
                (Err(_), Some(end)) => {
                    content.clear();
                    content.extend_from_slice(&data[span.start..end]);
                    end
                }
                (Err(fault), None) => return Err(fault),
            }
        }
    };
    if span.tag & LONG_TAG == LONG_TAG {
        out.extend_from_slice(&data[at..end]);
    } else {
        let tag = if is_string { span.tag & !CONSTRUCTED } else { span.tag };
        push_header(out, tag, content.len());
        out.extend_from_slice(&content);
    }
    Ok(end - at)
}

/// Appends the contents of the pieces of a string, and gives where the string ends.
fn collect(data: &[u8], string: &Span, depth: usize, out: &mut Vec<u8>) -> Result<usize, Fault> {
    each_child(data, string, |scope, at| {
        let piece = Span::at(scope, at)?;
        let depth =
            depth.checked_sub(1).ok_or_else(|| Fault::new(at, "strings nest too deeply"))?;
        match piece.end {
            Some(end) if piece.tag & CONSTRUCTED == 0 => {
                out.extend_from_slice(&scope[piece.start..end]);
                Ok(end - at)
            }
            _ => Ok(collect(scope, &piece, depth, out)? - at),
        }
    })
}

/// Calls `visit` with the position of each child and with what it may reach into; `visit` gives its
/// size. Gives where the parent ends.
fn each_child(
    data: &[u8],
    parent: &Span,
    mut visit: impl FnMut(&[u8], usize) -> Result<usize, Fault>,
) -> Result<usize, Fault> {
    let scope = &data[..parent.end.unwrap_or(data.len())];
    let mut at = parent.start;
    loop {
        match (parent.end, scope.get(at..)) {
            (Some(end), _) if at >= end => return Ok(end),
            (None, Some([0, 0, ..])) => return Ok(at + 2),
            _ => at += visit(scope, at)?,
        }
    }
}

/// Where an element lies.
struct Span {
    tag: u8,
    /// Of its content.
    start: usize,
    /// `None` when indefinite.
    end: Option<usize>,
}

impl Span {
    fn at(data: &[u8], at: usize) -> Result<Self, Fault> {
        let rest = data.get(at..).unwrap_or_default();
        let header = Header::parse(rest).map_err(|problem| Fault::new(at, problem))?;
        let start = at + header.size;
        let end = match header.length {
            Some(length) => {
                let end = start.checked_add(length).filter(|end| *end <= data.len());
                Some(end.ok_or_else(|| Fault::new(at, "data ends before the element does"))?)
            }
            None => None,
        };
        Ok(Self { tag: header.tag, start, end })
    }
}

/// Whether an element with this tag is a string split into pieces (X.690, sections 8.7 and 8.23).
/// OpenSSL takes every universal type for one that is no SEQUENCE and no SET.
pub(crate) fn is_string_in_pieces(tag: u8) -> bool {
    tag & CLASS_MASK == 0 && tag & CONSTRUCTED != 0 && !matches!(tag, SEQUENCE | SET)
}
