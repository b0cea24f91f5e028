//! Certificates as a tree for people: each below the one that issued it.
//!
//! Own text is ASCII, which every encoding has. Nothing is verified: a certificate stands below
//! another one if that has the name, and the key identifier, which it gives as its issuer's
//! (OpenSSL: `X509_check_issued` without the signature).

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::time::UnixTime;
use crate::work;
use crate::x509::certificate::Certificate;

/// How far a certificate is set in below its issuer; deeper ones are not set in further, so that
/// the text of a long chain stays as long as its names.
const MAX_DEPTH: usize = 100;

/// One line for each certificate. An issuer that is not among them is named in a line of its own
/// above those that it has issued. `note` says more of a certificate by its place.
pub fn text(
    certificates: &[Certificate],
    now: UnixTime,
    note: impl Fn(usize) -> Option<String>,
) -> String {
    let tree = Tree::of(certificates);
    let mut out = String::new();
    let mut missing = None;
    for root in &tree.roots {
        let Some(certificate) = certificates.get(*root) else { continue };
        let issuer = certificate.issuer().oneline();
        let is_self_issued = certificate.subject().matches(certificate.issuer());
        let mut depth = 0;
        if !is_self_issued {
            if missing != Some(issuer) {
                push_line(&mut out, 0, &format!("{} (not here)", named(issuer)));
            }
            depth = 1;
        }
        missing = Some(issuer).filter(|_| !is_self_issued);
        let mut pending = vec![(*root, depth)];
        while let Some((place, depth)) = pending.pop() {
            work::between();
            let Some(certificate) = certificates.get(place) else { continue };
            push_line(&mut out, depth, &described(certificate, now, note(place)));
            for child in tree.children.get(&place).into_iter().flatten().rev() {
                work::push(&mut pending, (*child, depth + 1));
            }
        }
    }
    out
}

/// Who stands below whom, by places.
struct Tree {
    roots: Vec<usize>,
    children: BTreeMap<usize, Vec<usize>>,
}

impl Tree {
    fn of(certificates: &[Certificate]) -> Self {
        let mut by_subject: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            work::between();
            by_subject.entry(certificate.subject().canonical()).or_default().push(place);
        }
        let issuer = |place: usize, certificate: &Certificate| {
            let named = by_subject.get(&certificate.issuer().canonical())?;
            named.iter().copied().find(|issuer| {
                let found = certificates.get(*issuer);
                *issuer != place && found.is_some_and(|issuer| certificate.may_be_issued_by(issuer))
            })
        };
        let mut parents = BTreeMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            work::between();
            let is_self_issued = certificate.subject().matches(certificate.issuer());
            if let Some(parent) = issuer(place, certificate).filter(|_| !is_self_issued)
                && !leads_to(&parents, parent, place)
            {
                parents.insert(place, parent);
            }
        }
        let mut tree = Self { roots: Vec::new(), children: BTreeMap::new() };
        for place in 0..certificates.len() {
            match parents.get(&place) {
                Some(parent) => tree.children.entry(*parent).or_default().push(place),
                None => work::push(&mut tree.roots, place),
            }
        }
        tree
    }
}

/// Whether the way up from one place comes to another: two CAs can have issued each other.
fn leads_to(parents: &BTreeMap<usize, usize>, from: usize, to: usize) -> bool {
    let mut place = from;
    for _ in 0..=parents.len() {
        if place == to {
            return true;
        }
        work::between();
        match parents.get(&place) {
            Some(parent) => place = *parent,
            None => return false,
        }
    }
    true
}

fn named(name: &str) -> &str {
    if name.is_empty() { "(no name)" } else { name }
}

fn described(certificate: &Certificate, now: UnixTime, note: Option<String>) -> String {
    let mut notes = Vec::new();
    if certificate.is_ca() == Some(true) {
        notes.push("CA".to_owned());
    }
    notes.push(match (certificate.not_before(), certificate.not_after()) {
        (_, Some(ends)) if ends < now => format!("expired {}", day(ends)),
        (Some(begins), _) if begins > now => format!("not valid before {}", day(begins)),
        (_, Some(ends)) => format!("until {}", day(ends)),
        (_, None) => "end unreadable".to_owned(),
    });
    notes.extend(note);
    let serial = certificate.serial().hex();
    format!("{} (serial {serial}; {})", named(certificate.subject().oneline()), notes.join(", "))
}

/// The date of a moment, in UTC.
fn day(moment: UnixTime) -> String {
    moment.to_string().chars().take_while(|character| *character != 'T').collect()
}

fn push_line(out: &mut String, depth: usize, line: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    match depth.min(MAX_DEPTH) {
        0 => out.push_str(line),
        // Writing to a String cannot fail.
        depth => drop(write!(out, "{:1$}+- {line}", "", (depth - 1) * 3)),
    }
}
