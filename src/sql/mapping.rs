//! `pgtls_hba_rules`, `pgtls_ident_mappings`, and whom the mappings let an identity be.
//!
//! What is read are the files as they are now. Where the server would not load a file as it is,
//! what is in force is not known: a check is NULL then.

use std::ffi::CStr;

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::login::ident::{self, Decision};
use pgtls_core::login::review::{self, Review};
use pgtls_core::value::Value;

use crate::checks::access::{Comparison, Server, checked_mappings, is_mapped};
use crate::checks::auth_comments::Comments;
use crate::checks::basis::{Basis, TlsConfiguration};
use crate::error::Error;
use crate::pg::connection::port::Session;
use crate::pg::datum::rows::{Row, Rows, row};
use crate::pg::datum::text::{lossless, to_utf8};
use crate::pg::server::auth_files;
use crate::pg::server::catalog;

#[pg_extern(sql = false)]
fn pgtls_hba_rules() -> Rows {
    let server = Server::new();
    let around = server.around();
    let (lines, mappings) = (auth_files::rules(&around), auth_files::mappings());
    let has_ca_file = TlsConfiguration::of(Basis::OnFile).facts().ca_file.is_some();
    let review = Review::new(&lines, &mappings, has_ca_file);
    let mut comments = Comments::default();
    let lines = lines.iter().zip(review::shadowed_by(&lines)).map(|(line, shadowed_by)| {
        let rule = line.rule.as_ref();
        let note = rule.and_then(|rule| review.note_of_rule(rule, &around));
        let mut columns = line.columns();
        columns.push(("shadowed_by", shadowed_by.into()));
        columns.push(("note", note.into()));
        columns.push(("comment", comments.above(&line.file, line.number).into()));
        (rule.is_some(), columns)
    });
    numbered("rule_number", lines)
}

#[pg_extern(sql = false)]
fn pgtls_ident_mappings() -> Rows {
    let server = Server::new();
    let around = server.around();
    let (lines, rules) = (checked_mappings(&around), auth_files::rules(&around));
    let review = Review::new(&rules, &lines, true);
    let mut comments = Comments::default();
    let lines = lines.iter().map(|line| {
        let note = line.mapping.as_ref().and_then(|mapping| review.note_of_mapping(mapping));
        let mut columns = line.columns();
        columns.push(("note", note.into()));
        columns.push(("comment", comments.above(&line.file, line.number).into()));
        (line.mapping.is_some(), columns)
    });
    numbered("map_number", lines)
}

/// Rows with a number for each that counts, as the server's own views have it.
fn numbered(
    column: &'static str,
    lines: impl Iterator<Item = (bool, Vec<(&'static str, Value)>)>,
) -> Rows {
    let mut count = 0;
    lines
        .map(|(counts, columns)| {
            count += i64::from(counts);
            let mut row = row(columns);
            row.push((column.into(), counts.then_some(count).into()));
            row
        })
        .collect()
}

#[pg_extern(sql = false)]
fn pgtls_check_mapping(
    identity: Option<&[u8]>,
    role: Option<&CStr>,
    map: Option<&[u8]>,
) -> Option<bool> {
    let (identity, map) = (to_utf8(identity?), map.map(to_utf8));
    is_mapped(map.as_deref(), &identity, role?.to_bytes())
}

#[pg_extern(sql = false)]
fn pgtls_explain_mapping(identity: Option<&[u8]>, role: Option<&CStr>, map: Option<&[u8]>) -> Rows {
    let (Some(identity), Some(role)) = (identity.map(to_utf8), role) else { return Rows::none() };
    let server = Server::new();
    let around = server.around();
    let map = map.map(to_utf8);
    let lines = match &map {
        Some(_) => checked_mappings(&around),
        None => Vec::new(),
    };
    let explained = ident::explain(&lines, map.as_deref(), &identity, role.to_bytes(), &around);
    let broken = lines.iter().filter(|line| line.mapping.is_none()).map(ident::Explained::broken);
    explained.into_iter().chain(broken).map(|explained| row(explained.columns())).collect()
}

#[pg_extern(sql = false)]
fn pgtls_mapped_roles(identity: Option<&[u8]>, map: Option<&[u8]>) -> Result<Rows, ErrorReport> {
    let Some(identity) = identity.map(to_utf8) else { return Ok(Rows::none()) };
    let server = Server::new();
    let around = server.around();
    let map = map.map(to_utf8).filter(|map| !map.is_empty());
    let lines = match &map {
        Some(_) => checked_mappings(&around),
        None => Vec::new(),
    };
    if let Some(problem) = ident::problem(&lines) {
        return Err(Error::AuthFile { setting: "ident_file", problem }.into());
    }
    let candidates = map.as_deref().map(|map| ident::candidates(&lines, map, &identity, &around));
    // The line that lets the identity be a role; without a map there is none to name.
    let admitted = |role: &[u8]| match &candidates {
        None => (identity.as_ref() == role).then_some(None),
        Some(candidates) => match ident::decide(candidates, role, &around) {
            Decision::Admitted(line) => Some(Some(line)),
            _ => None,
        },
    };
    let row = |role: Vec<u8>| -> Option<Row> {
        let line = admitted(&role)?;
        Some(vec![
            ("rolname".into(), Value::Text(lossless(&to_utf8(&role)).into_owned())),
            ("file_name".into(), line.map(|line| line.file.clone()).into()),
            ("line_number".into(), line.and_then(|line| line.number).map(i64::from).into()),
        ])
    };
    Ok(catalog::login_roles()?.into_iter().filter_map(row).collect())
}

#[pg_extern(sql = false)]
fn ssl_check_mapping_role(role: &CStr) -> Option<bool> {
    let session = Session::current().filter(Session::client_certificate_verified)?;
    let server = Server::new();
    let comparison = Comparison::of_session(&session, &server.around())?;
    if !comparison.compares {
        return None;
    }
    is_mapped(comparison.map.as_deref(), comparison.identity(&session)?, role.to_bytes())
}

#[pg_extern(sql = false)]
fn ssl_check_mapping_map(role: &CStr, map: &[u8]) -> Option<bool> {
    let session = Session::current().filter(Session::client_certificate_verified)?;
    let server = Server::new();
    let comparison = Comparison::of_session(&session, &server.around())?;
    is_mapped(Some(&to_utf8(map)), comparison.identity(&session)?, role.to_bytes())
}
