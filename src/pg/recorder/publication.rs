//! What is in force, written down for processes that were there before it was.
//!
//! A process that the server forked after its last reload has inherited the TLS context. It writes
//! down what the context holds, in a file that readers of any age and on any kind of connection can
//! read. The file starts with a line of JSON, behind which stand the certificates and lists in DER.
//! It holds nothing secret: no key, no password.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::sync::atomic::Ordering;

use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Crl};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pg::connection::tls;
use crate::pg::openssl::server_context::Material;
use crate::pg::recorder::in_force::{InForce, Origin};
use crate::pg::recorder::reload::{self, Reload};
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::shared_file::SharedFile;
use crate::pg::server::files;
use crate::pg::server::tls_settings::TlsSettings;

const FILE: SharedFile = SharedFile { name: "pg_stat_tmp/pgtls_ext.in_force" };

/// Largest file that is read: as much as the largest CRL file and CA file together.
const MAX_BYTES: u64 = 4 * files::MAX_FILE_BYTES;

/// The format of the file.
const VERSION: u64 = 1;

/// Called in a process that was forked after the last reload: writes down what it inherited, for
/// all others. What keeps it from doing so is said once for each reload.
pub(crate) fn publish() {
    let Some(segment) = Segment::in_child() else { return };
    let shared = segment.shared();
    let written = in_force().and_then(|in_force| {
        FILE.replace(|file| write(file, &in_force)).map_err(|error| error.to_string())
    });
    let generation = reload::generation();
    match written {
        Ok(()) => {
            shared.published.store(generation, Ordering::Release);
            shared.publications.fetch_add(1, Ordering::Release);
        }
        Err(_) if shared.unpublished.swap(generation, Ordering::Relaxed) == generation => {}
        Err(why) => pgrx::log!(
            "pgtls_ext could not write down in \"{}\" what is in force: {why}",
            FILE.path().display(),
        ),
    }
}

/// What is in force, as this process knows it.
///
/// Where the server shows no context, files that were not taken are not in force, and neither are
/// those that were replaced before a crash: what was written down before still holds.
fn in_force() -> Result<InForce, String> {
    if let Some(inherited) = InForce::inherited() {
        return Ok(inherited);
    }
    let now = Reload::inherited();
    match read() {
        Ok((of, before)) if of.started == now.started && (of == now || reload::is_refused()) => {
            Ok(InForce { generation: reload::generation(), ..before })
        }
        _ => InForce::of_files(now.read),
    }
}

fn write(file: &mut BufWriter<File>, in_force: &InForce) -> io::Result<()> {
    let certificates = in_force.chain.iter().chain(&in_force.material.certificates);
    let certificates: Vec<Vec<u8>> =
        certificates.map(|one| one.to_der()).collect::<Result<_, ErrorStack>>()?;
    let mut lengths = Vec::new();
    for crl in &in_force.material.crls {
        lengths.push(tls::crl_length(crl).ok_or(ErrorKind::InvalidData)?);
    }
    let head = json!({
        "version": VERSION,
        "of": Reload::inherited(),
        "generation": in_force.generation,
        "loaded_at": in_force.loaded_at,
        "origin": in_force.origin.as_str(),
        "asks_clients": in_force.asks_clients,
        "checks_crls": in_force.checks_crls,
        "protocols": [in_force.protocols.0, in_force.protocols.1],
        "security_level": in_force.security_level,
        "settings": settings(in_force),
        "chain": in_force.chain.len(),
        "certificates": certificates.iter().map(Vec::len).collect::<Vec<_>>(),
        "crls": lengths,
    });
    writeln!(file, "{head}")?;
    for der in &certificates {
        file.write_all(der)?;
    }
    // One list at a time: there may be 50 MB of them.
    for crl in &in_force.material.crls {
        file.write_all(&tls::crl_der(crl).ok_or(ErrorKind::OutOfMemory)?)?;
    }
    Ok(())
}

/// The settings byte for byte: names of files need not be text.
fn settings(in_force: &InForce) -> Value {
    let hex = |value: &CString| pgtls_core::text::hex(value.to_bytes());
    in_force.settings.iter().map(|(name, value)| (name.to_string_lossy(), hex(value))).collect()
}

/// What was published last; or why it cannot be read.
pub(in crate::pg) fn read() -> Result<(Reload, InForce), String> {
    let content = files::open_up_to(FILE.path(), MAX_BYTES).and_then(files::Readable::read)?;
    decode(&content).ok_or_else(|| "is damaged".to_owned())
}

fn decode(content: &[u8]) -> Option<(Reload, InForce)> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (head, mut rest) = content.split_at_checked(end)?;
    rest = rest.get(1..)?;
    let head: Value = serde_json::from_slice(head).ok()?;
    if head["version"].as_u64()? != VERSION {
        return None;
    }
    let mut piece = |length: &Value| -> Option<&[u8]> {
        let length = usize::try_from(length.as_u64()?).ok()?;
        let (piece, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(piece)
    };
    let mut certificates = Vec::new();
    for length in head["certificates"].as_array()? {
        certificates.push(X509::from_der(piece(length)?).ok()?);
    }
    let mut crls = Vec::new();
    for length in head["crls"].as_array()? {
        crls.push(X509Crl::from_der(piece(length)?).ok()?);
    }
    let own = usize::try_from(head["chain"].as_u64()?).ok()?;
    let chain = certificates.drain(..own.min(certificates.len())).collect();
    let number = |value: &Value| i32::try_from(value.as_i64()?).ok();
    let of = Reload::deserialize(&head["of"]).ok()?;
    let in_force = InForce {
        generation: head["generation"].as_u64()?,
        loaded_at: head["loaded_at"].as_i64(),
        origin: Origin::from_name(head["origin"].as_str()?)?,
        asks_clients: head["asks_clients"].as_bool()?,
        checks_crls: head["checks_crls"].as_bool()?,
        protocols: (number(&head["protocols"][0])?, number(&head["protocols"][1])?),
        security_level: number(&head["security_level"])?,
        settings: decode_settings(&head["settings"]),
        chain,
        material: Material { certificates, crls },
        store: Default::default(),
    };
    Some((of, in_force))
}

fn decode_settings(settings: &Value) -> TlsSettings {
    TlsSettings::of(|name| {
        let value = settings.get(name.to_str().ok()?)?.as_str()?;
        CString::new(pgtls_core::text::unhex(value)?).ok()
    })
}
