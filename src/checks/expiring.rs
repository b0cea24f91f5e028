//! What ends next: certificates of the server and of clients, CAs and CRLs.

use pgtls_core::crl::NextUpdate;
use pgtls_core::time::UnixTime;

use crate::checks::basis::Basis;
use crate::checks::credentials::Evaluator;
use crate::checks::{revocation, server_certificates};
use crate::pg::datum::text::lossless;
use crate::pg::recorder::inventory;

/// Something that ends.
pub(crate) struct Ending {
    pub(crate) ends_at: UnixTime,
    /// `server`, `server_chain`, `ca`, `crl` or `client`.
    pub(crate) kind: &'static str,
    /// Whose it is: the subject, or the issuer of a CRL.
    pub(crate) name: String,
    /// The word that the view of its kind has for it.
    pub(crate) status: String,
    /// Where it is from, or who uses it.
    pub(crate) detail: Option<String>,
}

/// All of it, soonest first.
pub(crate) fn all() -> Vec<Ending> {
    let mut all: Vec<Ending> = server().chain(crls()).chain(clients()).collect();
    all.sort_by(|a, b| (a.ends_at, &a.name).cmp(&(b.ends_at, &b.name)));
    all
}

fn server() -> impl Iterator<Item = Ending> {
    server_certificates::all().into_iter().filter_map(|one| {
        let certificate = one.certificate.as_ref()?;
        let detail = match (one.in_force, one.on_file) {
            (Some(false), _) => "on file, not in force",
            (_, false) => "in force, in no file any more",
            _ => "in force and on file",
        };
        Some(Ending {
            ends_at: one.ends_at()?,
            kind: one.role.as_str(),
            name: certificate.subject().oneline().to_owned(),
            status: one.standing.label().to_owned(),
            detail: Some(match &one.file {
                Some(file) => format!("{detail}: {file}"),
                None => detail.to_owned(),
            }),
        })
    })
}

fn crls() -> impl Iterator<Item = Ending> {
    revocation::crls().into_iter().filter_map(|state| {
        let crl = state.listed.crl.as_ref()?;
        let NextUpdate::At(ends_at) = crl.next_update() else { return None };
        Some(Ending {
            ends_at,
            kind: "crl",
            name: crl.issuer().oneline().to_owned(),
            status: state.status.map_or("unreadable", |status| status.as_str()).to_owned(),
            detail: state.on_file.then(|| state.listed.file.display().to_string()),
        })
    })
}

/// Those of the inventory; none without preloading.
fn clients() -> impl Iterator<Item = Ending> {
    let mut evaluator = Evaluator::new(Basis::InForce);
    inventory::known().into_iter().flatten().filter_map(move |known| {
        let credential = evaluator.of_chain(&known.chain);
        let mut roles: Vec<_> = known.roles.iter().map(|role| lossless(role)).collect();
        roles.sort_unstable();
        Some(Ending {
            ends_at: credential.assessment.ends_at?,
            kind: "client",
            name: credential.subject.as_deref().unwrap_or_default().to_owned(),
            status: credential.assessment.standing.label().to_owned(),
            detail: (!roles.is_empty()).then(|| format!("roles: {}", roles.join(", "))),
        })
    })
}
