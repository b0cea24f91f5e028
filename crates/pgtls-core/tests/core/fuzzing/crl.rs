//! `crl` and `revocation`: what is read of lists agrees with itself, and what they say of a chain
//! holds together.

use pgtls_core::crl::{Crl, parse_crls};
use pgtls_core::time::UnixTime;
use pgtls_core::verify::revocation::behaviour::{DeltaLists, EmptyScopes, Rules};
use pgtls_core::verify::revocation::coverage::{coverage, list_status};
use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::verify::revocation::status::{Status, WhyUnknown};
use pgtls_core::verify::revocation::statuses;
use pgtls_core::x509::certificate::Certificate;

/// SubjectPublicKeyInfo of an Ed25519 key that signed nothing, up to the key.
const KEY_START: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// Bytes as a file of lists: every entry is found again, and a list read from its own DER is the
/// same list.
pub fn crl(file: &[u8]) {
    let Ok(members) = parse_crls(file.to_vec()) else { return };
    assert!(!members.is_empty());
    for (member, position) in members.iter().zip(1..) {
        assert_eq!(member.position, position);
        assert!(member.offset < file.len());
        if let Ok(crl) = &member.crl {
            assert_consistent(crl);
        }
    }
}

fn assert_consistent(crl: &Crl) {
    let _ = crl.issuer().oneline();
    let _ = crl.signature_algorithm();
    let _ = (crl.this_update(), crl.next_update(), crl.version(), crl.memory());
    let _ = (crl.number().map(|n| n.decimal()), crl.base_number().map(|n| n.hex()));
    let _ = (crl.authority_key_id(), crl.freshest(), crl.unhandled_critical());
    let scope = crl.issuing_distribution_point();
    let place = scope.and_then(|scope| scope.distribution_point.as_ref());
    let _ = place.map(|place| place.urls());
    assert!(!crl.check_signature(&[&KEY_START[..], &[7; 32]].concat()).is_good());

    let again = Crl::from_der(crl.as_der().to_vec()).expect("it was read before");
    assert_eq!(again.revoked_count(), crl.revoked_count());
    assert_eq!(crl.entries().count(), crl.revoked_count());
    for entry in crl.entries().take(1000) {
        let Ok(serial) = entry.serial() else { continue };
        // Not found are only entries of other issuers.
        let found = crl.lookup(&serial).map(|entry| entry.serial_bytes());
        assert!(found.is_none_or(|found| found == entry.serial_bytes()));
        assert_eq!(again.lookup(&serial).map(|entry| entry.serial_bytes()), found);
    }
}

/// Bytes as a time, certificates and lists: the rules that OpenSSL versions differ in are taken
/// together as documented, and nothing is good without a list that a certificate of the chain
/// signed.
///
/// Four octets of time, then records: two octets of length, the top bit set for a list, and so many
/// octets of DER.
pub fn revocation(input: &[u8]) {
    let Some((now, mut rest)) = input.split_first_chunk::<4>() else { return };
    let now = UnixTime(i64::from(u32::from_be_bytes(*now)));
    let mut chain = Vec::new();
    let mut set = CrlSet::new();
    while let Some((header, behind)) = rest.split_first_chunk::<2>() {
        let header = u16::from_be_bytes(*header);
        let length = usize::from(header & 0x7fff).min(behind.len());
        let (der, behind) = behind.split_at(length);
        rest = behind;
        if header & 0x8000 != 0 {
            if let Ok(crl) = Crl::from_der(der.to_vec()) {
                set.push(crl, "fuzz");
            }
        } else if let Ok(certificate) = Certificate::from_der(der) {
            chain.push(certificate);
        }
    }
    chain.truncate(5);

    let unsure = statuses(&chain, &set, now, Rules::default());
    assert_eq!(unsure.len(), chain.len());
    let mut each = Vec::new();
    for delta_lists in [DeltaLists::Ignored, DeltaLists::TakenForComplete] {
        for empty_scopes in [EmptyScopes::Accepted, EmptyScopes::Ignored] {
            let rules = Rules {
                delta_lists: Some(delta_lists),
                empty_scopes: Some(empty_scopes),
                ..Rules::default()
            };
            each.push(statuses(&chain, &set, now, rules));
        }
    }
    for (depth, found) in unsure.iter().enumerate() {
        let first = each[0][depth].status;
        let agree = each.iter().all(|answer| answer[depth].status == first);
        let expected = if agree { first } else { Status::Unknown(WhyUnknown::DependsOnVersion) };
        assert_eq!(found.status, expected);
        if found.status.is_good() {
            let crl = &found.list.expect("a list says so").crl;
            let signed = |c: &Certificate| crl.check_signature(c.public_key_der()).is_good();
            assert!(chain.iter().any(signed));
        }
    }
    for list in set.lists() {
        let (_, signature) = list_status(&list.crl, &chain, now, Rules::default());
        let is_named =
            chain.iter().any(|certificate| certificate.subject().matches(list.crl.issuer()));
        assert!(signature.is_none() || is_named);
    }
    let covered = coverage(&chain, Some(&set), now, Rules::default());
    assert_eq!(covered.len(), chain.len());
    for one in &covered {
        let clients = one.clients.as_ref().expect("there is a set");
        assert!(one.is_anchored || one.refuses_all());
        assert!(!matches!(clients.status, Status::Revoked { .. }));
    }
}
