//! `pg_hba.conf` and `pg_ident.conf`, read by the server's own functions.
//!
//! The files are those that the server's settings name, never an argument's. What leaves this
//! module is plain data without the options of external methods, so without any secret.
//!
//! The server's functions also compile the regular expressions in the files, and do so in the
//! encoding of the database that asks, while the server that loads the files does so in none. So
//! the expressions are hidden from them and compiled the way the server does it when it loads the
//! files (see [`super::regex`]).

use std::ffi::{c_char, c_int, c_void};
use std::net::{IpAddr, Ipv4Addr};

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::{PgMemoryContexts, pg_sys};
use pgtls_core::login::access::{Surroundings, Token};
use pgtls_core::login::server_version::ServerVersion;
use pgtls_core::login::{hba, ident};
use pgtls_core::work;

use crate::pg::datum::cstr;
use crate::pg::datum::text::lossless;
use crate::pg::memory;
use crate::pg::server::memory_file::MemoryFile;
use crate::pg::server::network::ip_of;
use crate::pg::server::{sys, version};

/// The major version of the server this is built for.
pub(crate) const VERSION: ServerVersion = ServerVersion(pg_sys::PG_VERSION_NUM / 10_000);

/// The level that the server's functions report at: below all levels that a client or the log can
/// ask for, because a report can quote a secret.
pub(in crate::pg) const QUIET: c_int = 9;

/// What the server says of a line that has no `=` in an option; it goes on with the option itself,
/// which can be a secret.
const NO_NAME_AND_VALUE: &str = "authentication option not in name=value format";

/// What stands for the name of the file where a text was given.
const GIVEN_RULES: &str = "argument hba";
const GIVEN_MAPPINGS: &str = "argument ident";

/// Where the rules are (`hba_file`).
pub(crate) fn hba_file() -> String {
    // SAFETY: a setting that the server always has; null or NUL-terminated.
    unsafe { string(pg_sys::HbaFileName) }.unwrap_or_default()
}

/// Where the mappings are (`ident_file`).
pub(crate) fn ident_file() -> String {
    // SAFETY: a setting that the server always has; null or NUL-terminated.
    unsafe { string(pg_sys::IdentFileName) }.unwrap_or_default()
}

/// The rules of `pg_hba.conf` as it is now, in order, with what is wrong with each line.
pub(crate) fn rules(around: &Surroundings<'_>) -> Vec<hba::Line> {
    // SAFETY: a setting of the server, null or NUL-terminated.
    unsafe { rules_of(pg_sys::HbaFileName, hba_file(), around) }
}

/// The rules of a text that is to take the place of the file. It must not have the server read
/// another one ([`pgtls_core::login::rehearsal::first_inclusion`]).
pub(crate) fn rules_in(text: &MemoryFile, around: &Surroundings<'_>) -> Vec<hba::Line> {
    // SAFETY: the path of an open file, NUL-terminated.
    let mut lines = unsafe { rules_of(text.path().as_ptr(), GIVEN_RULES.to_owned(), around) };
    lines.iter_mut().for_each(|line| line.file = GIVEN_RULES.to_owned());
    lines
}

/// # Safety
/// `path` is null or NUL-terminated.
unsafe fn rules_of(path: *const c_char, file: String, around: &Surroundings<'_>) -> Vec<hba::Line> {
    // SAFETY: the caller's contract. Lines come from the server's own tokenizer and live during the
    // call.
    let lines = unsafe { each_line(path, |line| rule_line(line, &file, around)) };
    lines.unwrap_or_else(|problem| {
        vec![hba::Line { file, number: None, rule: None, problem: Some(problem) }]
    })
}

/// The mappings of `pg_ident.conf` as it is now, in order, with what is wrong with each line but
/// for their regular expressions: those are left to [`ident::check_patterns`], because compiling
/// thousands of them takes its time, and a search may have done it already.
pub(crate) fn mappings() -> Vec<ident::Line> {
    // SAFETY: a setting of the server, null or NUL-terminated.
    unsafe { mappings_of(pg_sys::IdentFileName, ident_file()) }
}

/// The mappings of a text that is to take the place of the file; see [`rules_in`].
pub(crate) fn mappings_in(text: &MemoryFile) -> Vec<ident::Line> {
    // SAFETY: the path of an open file, NUL-terminated.
    let mut lines = unsafe { mappings_of(text.path().as_ptr(), GIVEN_MAPPINGS.to_owned()) };
    lines.iter_mut().for_each(|line| line.file = GIVEN_MAPPINGS.to_owned());
    lines
}

/// # Safety
/// `path` is null or NUL-terminated.
unsafe fn mappings_of(path: *const c_char, file: String) -> Vec<ident::Line> {
    // SAFETY: the caller's contract. Lines come from the server's own tokenizer and live during the
    // call.
    let lines = unsafe { each_line(path, |line| mapping_line(line, &file)) };
    lines.unwrap_or_else(|problem| {
        vec![ident::Line { file, number: None, mapping: None, problem: Some(problem) }]
    })
}

/// Has the server split a file into lines of tokens and hands each of them on. All memory that
/// takes is freed at the end.
///
/// # Safety
/// `file` is null or NUL-terminated.
unsafe fn each_line<T>(
    file: *const c_char,
    mut convert: impl FnMut(*mut sys::TokenizedAuthLine) -> T,
) -> Result<Vec<T>, String> {
    if file.is_null() {
        return Err("no such file is configured".to_owned());
    }
    let mut context = PgMemoryContexts::new("pgtls_ext authentication file");
    // SAFETY: `file` is a NUL-terminated name by the caller's contract. The lines are handed on
    // before their memory is freed. If the server raises on the way, it closes the file when it
    // rolls back.
    unsafe {
        context.switch_to(|_| {
            let open = version::auth_file::Open::new(file)?;
            let mut converted = Vec::new();
            for line in cells(open.lines) {
                memory::check_for_interrupts();
                work::push(&mut converted, convert(line.cast()));
            }
            open.close();
            Ok(converted)
        })
    }
}

/// # Safety
/// `line` is a line of the tokenizer.
unsafe fn rule_line(
    line: *mut sys::TokenizedAuthLine,
    file: &str,
    around: &Surroundings<'_>,
) -> hba::Line {
    // SAFETY: the caller's contract.
    unsafe {
        let (file, number) = version::auth_file::place(line, file);
        let mut result = hba::Line { file, number, rule: None, problem: problem(line) };
        if result.problem.is_some() {
            return result;
        }
        let (databases, roles) = (tokens(line, 1), tokens(line, 2));
        for field in [1, 2] {
            hide_patterns(line, field);
        }
        // It allocates in the current context, which is ours. Guarded, because it can raise; only
        // pointers are captured.
        let parsed = pg_guard_ffi_boundary(|| sys::parse_hba_line(line, QUIET));
        result.problem = problem(line);
        if parsed.is_null() {
            result.problem.get_or_insert("invalid line".to_owned());
            return result;
        }
        let rule = rule(parsed, databases, roles);
        match rule.and_then(|rule| rule.invalid_pattern(around).map_or(Ok(rule), Err)) {
            Ok(rule) => result.rule = Some(rule),
            Err(problem) => result.problem = Some(problem),
        }
        result
    }
}

/// # Safety
/// `line` is a line of the tokenizer.
unsafe fn mapping_line(line: *mut sys::TokenizedAuthLine, file: &str) -> ident::Line {
    // SAFETY: the caller's contract.
    unsafe {
        let (file, number) = version::auth_file::place(line, file);
        let mut result = ident::Line { file, number, mapping: None, problem: problem(line) };
        if result.problem.is_some() {
            return result;
        }
        let words = [0, 1, 2].map(|field| tokens(line, field).into_iter().next());
        for field in [1, 2] {
            hide_patterns(line, field);
        }
        // As above. Without a pattern it allocates nothing that would have to be freed one by one.
        let parsed = pg_guard_ffi_boundary(|| sys::parse_ident_line(line, QUIET));
        result.problem = problem(line);
        match words {
            [Some(map), Some(identity), Some(role)] if !parsed.is_null() => {
                let mapping = ident::Mapping { map: map.text().to_vec(), identity, role };
                result.mapping = Some(mapping);
            }
            _ => {
                result.problem.get_or_insert("invalid line".to_owned());
            }
        }
        result
    }
}

/// A rule as plain data; an error if this version of the extension does not know a part of it.
///
/// # Safety
/// `parsed` is a rule of the server.
unsafe fn rule(
    parsed: *const sys::HbaLine,
    databases: Vec<Token>,
    roles: Vec<Token>,
) -> Result<hba::Rule, String> {
    // SAFETY: the caller's contract; the name of a method is a static string.
    let (parsed, method) = unsafe {
        let parsed = &*parsed;
        (parsed, string(sys::hba_authname(parsed.auth_method)).unwrap_or_default())
    };
    // SAFETY: strings of a rule are null or NUL-terminated and live as long as it.
    let (map, address) = unsafe { (bytes(parsed.usermap), address(parsed)) };
    Ok(hba::Rule {
        connection: match parsed.conntype {
            sys::ConnType::ctLocal => hba::Connection::Local,
            sys::ConnType::ctHost => hba::Connection::Host,
            sys::ConnType::ctHostSSL => hba::Connection::HostSsl,
            sys::ConnType::ctHostNoSSL => hba::Connection::HostNoSsl,
            sys::ConnType::ctHostGSS => hba::Connection::HostGss,
            sys::ConnType::ctHostNoGSS => hba::Connection::HostNoGss,
            other => return Err(format!("unknown connection type {other}")),
        },
        databases,
        roles,
        address,
        method: hba::Method::from_name(&method)
            .ok_or_else(|| format!("unknown authentication method \"{method}\""))?,
        client_certificate: match parsed.clientcert {
            sys::ClientCertMode::clientCertOff => hba::ClientCertificate::Optional,
            sys::ClientCertMode::clientCertCA => hba::ClientCertificate::Required,
            sys::ClientCertMode::clientCertFull => hba::ClientCertificate::RequiredAndNamed,
            other => return Err(format!("unknown kind of clientcert {other}")),
        },
        client_name: match parsed.clientcertname {
            sys::ClientCertName::clientCertCN => hba::ClientName::CommonName,
            sys::ClientCertName::clientCertDN => hba::ClientName::Subject,
            other => return Err(format!("unknown kind of clientname {other}")),
        },
        map,
    })
}

/// # Safety
/// `parsed` is a rule of the server.
unsafe fn address(parsed: &sys::HbaLine) -> hba::Address {
    match parsed.ip_cmp_method {
        sys::IPCompareMethod::ipCmpAll => hba::Address::All,
        sys::IPCompareMethod::ipCmpSameHost => hba::Address::SameHost,
        sys::IPCompareMethod::ipCmpSameNet => hba::Address::SameNet,
        _ => {
            // SAFETY: null or NUL-terminated; both socket addresses have the room of any family.
            let (name, address, mask) = unsafe {
                let ip = |storage: &sys::sockaddr_storage| ip_of((&raw const *storage).cast());
                (bytes(parsed.hostname), ip(&parsed.addr), ip(&parsed.mask))
            };
            // A local rule has neither name nor address, and none is looked at.
            let nowhere = IpAddr::from(Ipv4Addr::BROADCAST);
            match name {
                Some(name) => hba::Address::Name(name),
                None => hba::Address::Network {
                    address: address.unwrap_or(nowhere),
                    mask: mask.unwrap_or(nowhere),
                },
            }
        }
    }
}

/// What the server has against a line, without what could be a secret.
///
/// # Safety
/// `line` is a line of the tokenizer.
unsafe fn problem(line: *const sys::TokenizedAuthLine) -> Option<String> {
    // SAFETY: the caller's contract; null or NUL-terminated.
    let mut problem = unsafe { string((*line).err_msg) }?;
    if problem.starts_with(NO_NAME_AND_VALUE) {
        problem.truncate(NO_NAME_AND_VALUE.len());
    }
    Some(problem)
}

/// The tokens of one field of a line; none if there is no such field.
///
/// # Safety
/// `line` is a line of the tokenizer.
unsafe fn tokens(line: *const sys::TokenizedAuthLine, field: usize) -> Vec<Token> {
    // SAFETY: the caller's contract; fields are lists of tokens.
    unsafe {
        auth_tokens(line, field)
            .map(|token| Token::new(bytes((*token).string).unwrap_or_default(), (*token).quoted))
            .collect()
    }
}

/// Keeps the server from compiling the regular expressions of one field: they no longer start with
/// a slash.
///
/// # Safety
/// `line` is a line of the tokenizer, which nobody else uses.
unsafe fn hide_patterns(line: *const sys::TokenizedAuthLine, field: usize) {
    // SAFETY: the caller's contract; the string of a token is writable and has at least its NUL.
    unsafe {
        for token in auth_tokens(line, field) {
            let first = (*token).string.cast::<u8>();
            if !first.is_null() && *first == b'/' {
                *first = b'_';
            }
        }
    }
}

/// # Safety
/// `line` is a line of the tokenizer, and outlives the iterator.
unsafe fn auth_tokens(
    line: *const sys::TokenizedAuthLine,
    field: usize,
) -> impl Iterator<Item = *mut sys::AuthToken> {
    // SAFETY: the caller's contract; a line is a list of fields, each a list of tokens.
    unsafe {
        let field = cells((*line).fields).nth(field).unwrap_or(std::ptr::null_mut());
        cells(field.cast()).map(|token| token.cast())
    }
}

/// The pointers in a list; none for an empty list, which is a null pointer.
///
/// # Safety
/// `list` is null or a list of pointers, and outlives the iterator.
unsafe fn cells(list: *const pg_sys::List) -> impl Iterator<Item = *mut c_void> {
    // SAFETY: the caller's contract.
    let length = if list.is_null() { 0 } else { unsafe { (*list).length } };
    (0..usize::try_from(length).unwrap_or(0)).map(move |index| {
        // SAFETY: a list has `length` elements.
        unsafe { (*(*list).elements.add(index)).ptr_value }
    })
}

/// The bytes of a C string; `None` for a null pointer.
///
/// # Safety
/// `string` is null or NUL-terminated.
unsafe fn bytes(string: *const c_char) -> Option<Vec<u8>> {
    // SAFETY: the caller's contract.
    unsafe { cstr::bytes(string) }.map(<[u8]>::to_vec)
}

/// A C string as text; `None` for a null pointer.
///
/// # Safety
/// `string` is null or NUL-terminated.
pub(in crate::pg) unsafe fn string(string: *const c_char) -> Option<String> {
    // SAFETY: the caller's contract.
    unsafe { bytes(string) }.map(|bytes| lossless(&bytes).into_owned())
}
