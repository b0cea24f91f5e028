//! The server's regular expressions, applied as it applies them to `pg_hba.conf` and
//! `pg_ident.conf`.
//!
//! The server compiles and runs these expressions before it knows of any database, so they work on
//! bytes. Here they get the same: every byte is one character, whatever the encoding of the
//! database asked in.
//!
//! Owns the compiled expressions and their memory, which goes with it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int};

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::{PgMemoryContexts, pg_sys};
use pgtls_core::login::access::{Found, Patterns};

use crate::error::Error;
use crate::pg::datum::cstr;
use crate::pg::memory;
use crate::pg::server::sys;

/// Room for the text of an error, as much as the server itself has for it.
const ERROR_TEXT: usize = 100;

/// How many compiled expressions are kept. A file can have thousands, each of some ten kilobytes,
/// and is gone through from top to bottom; the few that are asked again are asked one right after
/// the other.
const KEPT: usize = 8;

/// Compiles expressions, keeps the last of them, and knows of each whether it is valid.
pub(crate) struct Engine {
    // Before `memory`: expressions are freed while their memory context lives.
    kept: RefCell<VecDeque<(Vec<u8>, Expression)>>,
    known: RefCell<HashMap<Vec<u8>, Result<(), String>>>,
    memory: RefCell<PgMemoryContexts>,
}

/// A compiled expression.
struct Expression(Box<sys::pg_regex_t>);

impl Drop for Expression {
    fn drop(&mut self) {
        // SAFETY: only made from an expression that was compiled, and freed once. It frees memory
        // and nothing else, so it raises no error.
        unsafe { sys::pg_regfree(&mut *self.0) }
    }
}

impl Engine {
    pub(crate) fn new() -> Self {
        Self {
            kept: RefCell::default(),
            known: RefCell::default(),
            memory: RefCell::new(PgMemoryContexts::new("pgtls_ext regular expressions")),
        }
    }

    /// Does something with the compiled expression.
    fn with<T>(
        &self,
        pattern: &[u8],
        ask: impl FnOnce(&mut sys::pg_regex_t) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut kept = self.kept.borrow_mut();
        if let Some((_, expression)) = kept.iter_mut().find(|(known, _)| known == pattern) {
            return ask(&mut expression.0);
        }
        let compiled = self.compile(pattern);
        let validity = compiled.as_ref().map(|_| ()).map_err(String::clone);
        self.known.borrow_mut().insert(pattern.to_vec(), validity);
        let mut expression = compiled?;
        let answer = ask(&mut expression.0);
        kept.truncate(KEPT - 1);
        kept.push_front((pattern.to_vec(), expression));
        answer
    }

    fn compile(&self, pattern: &[u8]) -> Result<Expression, String> {
        let wide = widened(pattern);
        // SAFETY: all bits zero is a value of this plain C struct, and what the server itself
        // starts from.
        let mut expression: Box<sys::pg_regex_t> = Box::new(unsafe { std::mem::zeroed() });
        let (target, text, length) = (&raw mut *expression, wide.as_ptr(), wide.len());
        let flags = c_int::try_from(sys::REG_ADVANCED).unwrap_or_default();
        let collation = u32::from(pg_sys::C_COLLATION_OID);
        // SAFETY: `text` holds `length` characters, and `target` is a place for the result. It can
        // raise from PostgreSQL 16 on, so it is guarded; the closure captures plain values only.
        let code = unsafe {
            self.memory.borrow_mut().switch_to(|_| {
                pg_guard_ffi_boundary(|| sys::pg_regcomp(target, text, length, flags, collation))
            })
        };
        match code {
            0 => Ok(Expression(expression)),
            code => Err(error_text(code, &expression)),
        }
    }
}

impl Patterns for Engine {
    fn search(&self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String> {
        self.with(pattern, |expression| {
            let wide = widened(subject);
            let mut matches = [sys::pg_regmatch_t { rm_so: -1, rm_eo: -1 }; 2];
            let (target, text, length) = (&raw mut *expression, wide.as_ptr(), wide.len());
            let (found, count) = (matches.as_mut_ptr(), matches.len());
            // SAFETY: a compiled expression, `length` readable characters, and room for `count`
            // matches. It can raise from PostgreSQL 16 on, so it is guarded; the closure captures
            // plain values only.
            let code = unsafe {
                self.memory.borrow_mut().switch_to(|_| {
                    pg_guard_ffi_boundary(|| {
                        let details = std::ptr::null_mut();
                        sys::pg_regexec(target, text, length, 0, details, count, found, 0)
                    })
                })
            };
            match u32::try_from(code) {
                Ok(sys::REG_OKAY) => {
                    let [_, group] = matches;
                    let range =
                        usize::try_from(group.rm_so).ok().zip(usize::try_from(group.rm_eo).ok());
                    Ok(Some(Found { group: range.map(|(start, end)| start..end) }))
                }
                Ok(sys::REG_NOMATCH) => Ok(None),
                _ => Err(error_text(code, expression)),
            }
        })
    }

    fn check(&self, pattern: &[u8]) -> Result<(), String> {
        if let Some(validity) = self.known.borrow().get(pattern) {
            return validity.clone();
        }
        let validity = self.compile(pattern).map(drop);
        self.known.borrow_mut().insert(pattern.to_vec(), validity.clone());
        validity
    }
}

/// Every byte as a character, as the server reads text of no known encoding.
fn widened(bytes: &[u8]) -> Vec<sys::pg_wchar> {
    bytes.iter().map(|byte| sys::pg_wchar::from(*byte)).collect()
}

/// The server's text for an error. A cancelled query shows as one, so it is looked for first.
fn error_text(code: c_int, expression: &sys::pg_regex_t) -> String {
    memory::check_for_interrupts();
    if u32::try_from(code) == Ok(sys::REG_ESPACE) {
        Error::OutOfMemory.raise();
    }
    let mut text: [c_char; ERROR_TEXT] = [0; ERROR_TEXT];
    // SAFETY: writes at most `ERROR_TEXT` bytes with a NUL at the end, and raises nothing.
    unsafe {
        sys::pg_regerror(code, expression, text.as_mut_ptr(), ERROR_TEXT);
        String::from_utf8_lossy(cstr::bytes(text.as_ptr()).unwrap_or_default()).into_owned()
    }
}
