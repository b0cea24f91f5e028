//! What the fuzzers found, kept found; and what they start from.
#![allow(missing_docs, clippy::unwrap_used)]

mod crl_support;

use std::path::{Path, PathBuf};
use std::{env, fs};

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

use crl_support::*;

const NOW: u32 = 1_700_000_000;

/// A target, what it does, and what it starts from.
type Target = (&'static str, fn(&[u8]), Vec<Vec<u8>>);

fn targets() -> [Target; 2] {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let ca = name("CA");
    let place = || full_name(&[uri("http://crl.test/a.crl")]);
    let points = extension(&ce(31), false, &seq(&[&seq(&[&place()])]));
    let chain = [
        CertificateWriter::new(&name("alice"), &key, &ca, &[5]).with(points).sign(&key),
        CertificateWriter::new(&ca, &key, &ca, &[1]).ca().key_id(b"id").sign(&key),
    ];
    let now = i64::from(NOW);
    let base = || CrlWriter::new(&ca, now - 1000, now + 1000);
    let other = || extension(&ce(29), true, &seq(&[&directory(&name("other"))]));
    let writers = [
        base(),
        base().revoke(&[5], now, &[reason(1)]).revoke(&[0x80, 1], now, &[]),
        base().revoke(&[9], now, &[other()]).revoke(&[5], now, &[reason(8)]),
        base().with(number_extension(3)).with(authority_key_id(&[tlv(0x80, b"id")])),
        base().with(idp(&[place(), ONLY_USER.to_vec()])),
        base().with(idp(&[relative_name(3, "part")])),
        base().with(idp(&[])),
        base().with(idp(&[INDIRECT.to_vec(), tlv(0x83, &[1, 6])])),
        base().with(number_extension(3)).with(delta_extension(2)),
        base().with(extension(&ce(46), true, &seq(&[&seq(&[&place()])]))),
        CrlWriter { version: None, next_update: None, ..base() },
        CrlWriter { entries: Some(big_entries(20, Order::Shuffled)), ..base() },
    ];
    let lists: Vec<_> = writers.iter().map(|writer| writer.sign(&key)).collect();

    let mut files: Vec<_> = lists.iter().map(|der| pem(der)).collect();
    files.push(files.concat());
    files.extend(lists.iter().cloned());
    let record = |top: u16, der: &[u8]| {
        let header = top | u16::try_from(der.len()).unwrap();
        [&header.to_be_bytes()[..], der].concat()
    };
    let chain = chain.map(|der| record(0, &der)).concat();
    let pairs = lists.iter().zip(lists.iter().cycle().skip(1));
    let situations = pairs.map(|(a, b)| {
        [&NOW.to_be_bytes()[..], &chain, &record(0x8000, a), &record(0x8000, b)].concat()
    });
    let situations = situations.collect();
    [("crl", fuzz::crl, files), ("revocation", fuzz::revocation, situations)]
}

#[test]
fn findings_stay_mended() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_regressions");
    for (target, run, _) in targets() {
        let Ok(findings) = fs::read_dir(directory.join(target)) else { continue };
        for finding in findings {
            run(&fs::read(finding.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn seeds_with_any_byte_changed() {
    for (_, run, seeds) in targets() {
        for seed in seeds {
            run(&seed);
            // Not every position of the long ones.
            for at in (0..seed.len()).step_by(1 + seed.len() / 64) {
                for value in [0, 0x30, 0x80, 0xff, seed[at] ^ 1] {
                    let mut changed = seed.clone();
                    changed[at] = value;
                    run(&changed);
                }
                run(&seed[..at]);
            }
        }
    }
}

/// Writes the seeds to `$PGTLS_FUZZ_CORPUS/<target>/`.
#[test]
#[ignore = "writes files for the fuzzers"]
fn write_seeds() {
    let corpus = PathBuf::from(env::var_os("PGTLS_FUZZ_CORPUS").unwrap());
    for (target, _, seeds) in targets() {
        fs::create_dir_all(corpus.join(target)).unwrap();
        for (seed, number) in seeds.iter().zip(0..) {
            fs::write(corpus.join(target).join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
