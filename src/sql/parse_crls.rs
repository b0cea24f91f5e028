//! `pgtls_parse_crls` and `pgtls_parse_crl_entries`: CRLs given as an argument.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::crl::{Crl, Cursor, parse_crls};
use pgtls_core::limits;
use pgtls_core::value::Value;

use crate::error::{Error, Form, Result};
use crate::pg::datum::rows::{Row, Rows};
use crate::sql::columns::{count, crl_columns};

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
    let mut row = crl_columns(Some(crl));
    row.extend::<Row>(vec![
        ("signature_algorithm".into(), crl.signature_algorithm().into()),
        ("revoked_count".into(), count(crl.revoked_count())),
        ("is_delta".into(), crl.is_delta().into()),
        ("problems".into(), Some(crl.problems()).filter(|all| !all.is_empty()).into()),
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
