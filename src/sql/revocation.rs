//! Revocation: is a certificate revoked, and what do the configured CRLs do to the clients of each CA.
//!
//! Two things are told apart everywhere: what this session's TLS context holds (`login`, `in_force`), and what the files
//! that the settings name hold now (`file`).

use std::cell::OnceCell;
use std::rc::Rc;

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::crl::{Crl, Cursor, NextUpdate, parse_crls};
use pgtls_core::limits;
use pgtls_core::time::UnixTime;
use pgtls_core::value::Value;
use pgtls_core::verify::revocation::behaviour::{Rules, SelfSigned};
use pgtls_core::verify::revocation::coverage::{
    Coverage, CoverageStatus, chain_of, coverage, list_status,
};
use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::verify::revocation::status::{CertificateStatus, Status};
use pgtls_core::verify::revocation::statuses;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::serial::Serial;

use crate::checks::crl_file::ListedCrl;
use crate::checks::session_certificate::client_chain;
use crate::checks::tls_files::{Crls, Usable, authorities};
use crate::error::{Error, Form, Result};
use crate::pg::connection::port::Session;
use crate::pg::datum::rows::{Row, Rows};
use crate::pg::datum::time;
use crate::pg::openssl::verify;
use crate::pg::recorder::inventory;

/// Where the lists of a session's context are said to be from: OpenSSL does not remember the files.
const CONTEXT: &str = "server context";

/// What OpenSSL does where its versions differ. About rare kinds of lists that is not asked, so what depends on them is
/// `unsupported`.
fn rules() -> Rules {
    let self_signed = match verify::wants_list_for_self_signed() {
        true => SelfSigned::Checked,
        false => SelfSigned::Skipped,
    };
    Rules { self_signed, ..Rules::default() }
}

thread_local! {
    /// The verdicts as of the login: neither the chain nor the context nor that moment changes during a session.
    static AT_LOGIN: OnceCell<Rc<Vec<Row>>> = const { OnceCell::new() };
}

#[pg_extern(sql = false)]
fn ssl_client_crl_status() -> Result<Rows, ErrorReport> {
    let Some(chain) = client_chain()? else { return Ok(Rows::none()) };
    let chain: Vec<Certificate> =
        chain.entries().iter().map(|entry| entry.certificate.clone()).collect();
    let mut rows = at_login(&chain)?.to_vec();
    rows.extend(as_of_files(&chain));
    Ok(rows.into_iter().collect())
}

#[pg_extern(sql = false)]
fn pgtls_crl_status(certificate: &[u8]) -> Result<Rows, ErrorReport> {
    let given = parse_certificates(certificate).map_err(Error::argument(Form::Text))?;
    let Some((leaf, others)) = given.split_first() else { return Ok(Rows::none()) };
    // OpenSSL looks for issuers among what it trusts first.
    let mut known = authorities().and_then(std::result::Result::ok).unwrap_or_default();
    known.extend_from_slice(others);
    Ok(as_of_files(&chain_of(leaf, &known, time::now())).into_iter().collect())
}

/// What the context of this session said of the chain when the client logged in.
fn at_login(chain: &[Certificate]) -> Result<Rc<Vec<Row>>> {
    if let Some(known) = AT_LOGIN.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let session = Session::current();
    let lists = session.as_ref().and_then(Session::tls).and_then(|tls| tls.crls_in_force());
    let set = lists
        .map(|lists| {
            let mut set = CrlSet::new();
            for list in lists {
                set.push(Crl::from_der(list).map_err(Error::SessionCrl)?, CONTEXT);
            }
            Ok(set)
        })
        .transpose()?;
    let rows = Rc::new(status_rows("login", chain, set.as_ref(), time::session_start()));
    Ok(AT_LOGIN.with(|cell| cell.get_or_init(|| rows).clone()))
}

/// What the configured files say of the chain now.
fn as_of_files(chain: &[Certificate]) -> Vec<Row> {
    let crls = Crls::read();
    if crls.is_loadable {
        return rows_of_files(chain, crls.usable().as_ref());
    }
    let unreadable = crls.lists.iter().find(|list| list.problem.is_some() && !list.in_directory);
    (0..)
        .zip(chain)
        .map(|(depth, certificate)| {
            let source = unreadable.map(|list| list.file.display().to_string());
            status_row("file", depth, certificate, "unreadable", None, Value::from(source))
        })
        .collect()
}

/// The rows for what can be used of the files. Where it is uncertain what that is, nothing can be said of a certificate for
/// which it makes a difference.
fn rows_of_files(chain: &[Certificate], usable: Option<&Usable>) -> Vec<Row> {
    let now = time::now();
    let rows = status_rows("file", chain, usable.map(|usable| &usable.certain), now);
    let Some(all) = usable.and_then(|usable| usable.all.as_ref()) else { return rows };
    let certain = usable.map(|usable| statuses(chain, &usable.certain, now, rules()));
    let both = certain.unwrap_or_default().into_iter().zip(statuses(chain, all, now, rules()));
    let agree = both.map(|(certain, all)| certain.status.as_str() == all.status.as_str());
    (0..)
        .zip(chain)
        .zip(rows.into_iter().zip(agree))
        .map(|((depth, certificate), (row, agree))| match agree {
            true => row,
            false => status_row("file", depth, certificate, "unsupported", None, Value::Null),
        })
        .collect()
}

/// A row for each certificate of the chain; without a set, revocation is not checked.
fn status_rows(
    evaluated: &'static str,
    chain: &[Certificate],
    set: Option<&CrlSet>,
    at: UnixTime,
) -> Vec<Row> {
    let Some(set) = set else {
        let row = |(depth, certificate)| {
            status_row(evaluated, depth, certificate, "not_checked", None, Value::Null)
        };
        return (0..).zip(chain).map(row).collect();
    };
    let verdicts = statuses(chain, set, at, rules());
    (0..)
        .zip(chain)
        .zip(&verdicts)
        .map(|((depth, certificate), verdict)| {
            let source = verdict.list.map(|list| list.source.to_string());
            let status = verdict.status.as_str();
            status_row(evaluated, depth, certificate, status, Some(verdict), source.into())
        })
        .collect()
}

fn status_row(
    evaluated: &'static str,
    depth: i64,
    certificate: &Certificate,
    status: &str,
    verdict: Option<&CertificateStatus<'_>>,
    source: Value,
) -> Row {
    let (revoked_at, reason) = match verdict.map(|verdict| verdict.status) {
        Some(Status::Revoked { at, reason }) => (at, reason),
        _ => (None, None),
    };
    let crl = verdict.and_then(|verdict| verdict.list).map(|list| &list.crl);
    let mut row: Row = vec![
        ("evaluated".into(), evaluated.into()),
        ("depth".into(), depth.into()),
        ("subject".into(), certificate.column("subject").unwrap_or(Value::Null)),
        ("serial".into(), Value::Numeric(certificate.serial().decimal())),
        ("status".into(), status.into()),
        ("revoked_at".into(), revoked_at.into()),
        ("reason".into(), reason.map(|reason| reason.as_str()).into()),
        ("crl_source".into(), source),
    ];
    row.extend(list_columns(crl));
    row
}

/// The columns that describe a list wherever one is named.
fn list_columns(crl: Option<&Crl>) -> Row {
    let next_update = crl.and_then(|crl| match crl.next_update() {
        NextUpdate::At(time) => Some(time),
        NextUpdate::Never | NextUpdate::Malformed => None,
    });
    let issuer = crl.map(|crl| crl.issuer().oneline()).filter(|name| !name.is_empty());
    vec![
        ("issuer".into(), issuer.into()),
        ("crl_number".into(), numeric(crl.and_then(Crl::number))),
        ("this_update".into(), crl.and_then(Crl::this_update).into()),
        ("next_update".into(), next_update.into()),
    ]
}

fn numeric(serial: Option<&Serial>) -> Value {
    serial.map_or(Value::Null, |serial| Value::Numeric(serial.decimal()))
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Adds the intermediate CAs that clients have sent, as far as they are known: the client of this session, and with
/// preloading those of the inventory. The server checks their lists, though it need not have their certificates.
fn add_intermediates(authorities: &mut Vec<Certificate>) {
    let own = client_chain().ok().flatten();
    let own = own.iter().flat_map(|chain| chain.entries()).map(|entry| entry.certificate.clone());
    let known = inventory::known().unwrap_or_default();
    let known = known.iter().flat_map(|known| parse_certificates(&known.chain).unwrap_or_default());
    for certificate in own.chain(known) {
        let is_intermediate = certificate.is_ca() == Some(true) && !certificate.self_signed();
        if is_intermediate && !authorities.contains(&certificate) {
            authorities.push(certificate);
        }
    }
}

#[pg_extern(sql = false)]
fn pgtls_crls() -> Rows {
    let now = time::now();
    let mut authorities = authorities().and_then(std::result::Result::ok).unwrap_or_default();
    add_intermediates(&mut authorities);
    let session = Session::current();
    // Without TLS this session has no context to look into; with one that does not check there is no list in force.
    let in_force = session
        .as_ref()
        .and_then(Session::tls)
        .map(|tls| tls.crl_signatures_in_force().unwrap_or_default());
    Crls::read()
        .lists
        .iter()
        .map(|list| crl_row(list, &authorities, in_force.as_deref(), now))
        .collect()
}

fn crl_row(
    list: &ListedCrl,
    authorities: &[Certificate],
    in_force: Option<&[Vec<u8>]>,
    now: UnixTime,
) -> Row {
    let crl = list.crl.as_ref();
    let (status, signature) = match crl.map(|crl| list_status(crl, authorities, now, rules())) {
        Some((status, signature)) => (Some(status.as_str()), signature),
        None => (None, None),
    };
    let in_force = match crl {
        _ if list.is_uncertain => None,
        // The server reads the directory at each login.
        _ if list.in_directory => Some(crl.is_some() && list.problem.is_none()),
        Some(crl) => {
            in_force.map(|signatures| signatures.iter().any(|known| known == crl.signature()))
        }
        None => Some(false),
    };
    let mut row: Row = vec![
        ("file".into(), list.file.display().to_string().into()),
        ("position".into(), list.position.map_or(Value::Null, count)),
        ("revoked_count".into(), crl.map_or(Value::Null, |crl| count(crl.revoked_count()))),
        ("signature_valid".into(), signature.into()),
        ("status".into(), status.into()),
        ("in_force".into(), in_force.into()),
        ("problem".into(), list.problem.clone().into()),
    ];
    row.extend(list_columns(crl));
    row
}

#[pg_extern(sql = false)]
fn pgtls_crl_coverage() -> Rows {
    let mut authorities = match authorities() {
        None => return Rows::none(),
        Some(Ok(authorities)) => authorities,
        Some(Err(problem)) => return Rows::one(coverage_row(None, "unreadable", problem)),
    };
    add_intermediates(&mut authorities);
    let crls = Crls::read();
    let usable = crls.usable();
    let set = usable.as_ref().map(|usable| &usable.certain);
    let covered = coverage(&authorities, set, time::now(), rules());
    let is_authority = |certificate: &Certificate| certificate.is_ca() != Some(false);
    authorities
        .iter()
        .zip(&covered)
        .filter(|(authority, _)| is_authority(authority))
        .map(|(authority, coverage)| {
            if crls.is_loadable {
                let effect = effect(coverage, &authorities);
                return coverage_row(Some(authority), coverage.status.as_str(), effect);
            }
            let effect = "the server refuses to load ssl_crl_file as it is now, and goes on with what it has; it would not start";
            coverage_row(Some(authority), "unreadable", effect.to_owned())
        })
        .collect()
}

fn coverage_row(authority: Option<&Certificate>, status: &str, effect: String) -> Row {
    let column = |name: &'static str| {
        let value = authority.and_then(|authority| authority.column(name));
        (name.into(), value.unwrap_or(Value::Null))
    };
    vec![
        column("subject"),
        column("fingerprint"),
        column("not_after"),
        ("crl_status".into(), status.into()),
        ("effect".into(), effect.into()),
    ]
}

/// What the lists do to the client certificates of an authority, in words.
fn effect(coverage: &Coverage<'_>, authorities: &[Certificate]) -> String {
    const ALL_REFUSED: &str = "every client certificate issued by this CA is refused at login";
    if !coverage.is_anchored {
        return format!("{ALL_REFUSED}: its own issuer is not in ssl_ca_file");
    }
    if let Some((above, verdict)) = &coverage.refused_above {
        let name = authorities.get(*above).map_or("", |authority| authority.subject().oneline());
        return format!("{ALL_REFUSED}: {name} is {}", in_words(verdict.status));
    }
    match coverage.status {
        CoverageStatus::Covered => {
            let list = coverage.clients.as_ref().and_then(|verdict| verdict.list);
            let revoked = list.map_or(0, |list| list.crl.revoked_count());
            format!("client certificates issued by this CA are checked against {revoked} revoked ones")
        }
        CoverageStatus::NotChecked => {
            "revocation is not checked: neither ssl_crl_file nor ssl_crl_dir is set".to_owned()
        }
        CoverageStatus::OutOfScope => {
            "client certificates issued by this CA are refused at login, unless they name the distribution point of its CRL"
                .to_owned()
        }
        _ => {
            let why = coverage.clients.as_ref().map_or("", |verdict| in_words(verdict.status));
            format!("{ALL_REFUSED}: their status is {why}")
        }
    }
}

/// A status in a sentence.
fn in_words(status: Status) -> &'static str {
    match status.as_str() {
        "good" => "good",
        "revoked" => "revoked",
        "crl_missing" => "unknown, because the CRL is missing",
        "crl_expired" => "unknown, because the CRL has expired",
        "crl_not_yet_valid" => "unknown, because the CRL is not yet valid",
        "bad_signature" => "unknown, because the signature of the CRL is wrong",
        "out_of_scope" => "unknown, because the CRL is about other certificates",
        "no_crl_sign" => "unknown, because the CA may not sign CRLs",
        "malformed_date" => "unknown, because the CRL has a malformed date",
        "issuer_key_unreadable" => "unknown, because the key of the CA cannot be read",
        _ => "unknown, because the CRL is of a kind that the server does not support",
    }
}

/// The lists of an argument.
fn parse(input: &[u8], form: Form) -> Result<Vec<Crl>> {
    if input.len() > limits::MAX_CRL_BYTES {
        let (what, limit) = ("input with revocation lists", limits::MAX_CRL_BYTES);
        return Err(Error::Argument {
            form,
            source: pgtls_core::error::Error::TooLarge { what, limit },
        });
    }
    // An allocation that fails would end the process, and with it every session of the server.
    let mut copy = Vec::new();
    copy.try_reserve_exact(input.len()).map_err(|_| Error::OutOfMemory)?;
    copy.extend_from_slice(input);
    let members = parse_crls(copy).map_err(Error::argument(form))?;
    let lone = members.len() == 1;
    members
        .into_iter()
        .map(|member| {
            member.crl.map_err(|source| {
                let source = match lone {
                    true => source,
                    false => pgtls_core::error::Error::Member {
                        expected: "certificate revocation list",
                        position: member.position,
                        source: Box::new(source),
                    },
                };
                Error::Argument { form, source }
            })
        })
        .collect()
}

fn parsed_row(crl: &Crl) -> Row {
    let scope = crl.issuing_distribution_point();
    let point = scope.and_then(|scope| scope.distribution_point.as_ref()).map(|name| name.urls());
    let mut row = list_columns(Some(crl));
    row.extend::<Row>(vec![
        ("signature_algorithm".into(), crl.signature_algorithm().into()),
        ("revoked_count".into(), count(crl.revoked_count())),
        ("is_delta".into(), crl.is_delta().into()),
        ("distribution_point".into(), point.filter(|urls| !urls.is_empty()).into()),
        ("authority_key_id".into(), crl.authority_key_id().and_then(|id| id.key_id_hex()).into()),
    ]);
    row
}

/// The entries of all lists, one at a time: a list may have a million.
fn entries(crls: Vec<Crl>) -> Rows {
    let mut crls = crls.into_iter().zip(1_i64..);
    let mut current: Option<(Crl, i64, Cursor)> = None;
    Rows::new(std::iter::from_fn(move || {
        loop {
            let (crl, position, cursor) = match current.take() {
                Some(current) => current,
                None => crls.next().map(|(crl, position)| (crl, position, Cursor::default()))?,
            };
            let Some((entry, next)) = crl.entry_at(cursor) else { continue };
            let serial =
                entry.serial().map_or(Value::Null, |serial| Value::Numeric(serial.decimal()));
            let row: Row = vec![
                ("position".into(), position.into()),
                ("serial".into(), serial),
                ("revoked_at".into(), entry.revoked_at.into()),
                ("reason".into(), entry.reason.map(|reason| reason.as_str()).into()),
                ("invalidity_date".into(), entry.invalidity_date.into()),
            ];
            current = Some((crl, position, next));
            return Some(Ok(row));
        }
    }))
}

#[pg_extern(sql = false)]
fn pgtls_parse_crls_text(pem: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(parse(pem, Form::Text)?.iter().map(parsed_row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_parse_crls_bytea(der: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(parse(der, Form::Binary)?.iter().map(parsed_row).collect())
}

#[pg_extern(sql = false)]
fn pgtls_parse_crl_entries_text(pem: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(entries(parse(pem, Form::Text)?))
}

#[pg_extern(sql = false)]
fn pgtls_parse_crl_entries_bytea(der: &[u8]) -> Result<Rows, ErrorReport> {
    Ok(entries(parse(der, Form::Binary)?))
}
