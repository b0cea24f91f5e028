//! The fuzz targets with what they start from, with what they have found, and with small changes to
//! what they start from.
//!
//! A finding is kept as a file of any name in `fuzz_regressions/<target>/`.

use std::path::Path;
use std::{env, fs};

use crate::prelude::*;
use crate::{extensions, requests};

const NOW: u32 = 1_700_000_000;

struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: Vec<Vec<u8>>,
}

fn targets() -> Vec<Target> {
    let small: Vec<_> = fixtures::all()
        .iter()
        .filter(|fixture| fixture.der.len() < 4096)
        .map(|fixture| Certificate::from_der(&fixture.der).unwrap())
        .collect();
    let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let target = |name, run, seeds| Target { name, run, seeds };
    let (files, situations) = lists();
    vec![
        target(
            "certificate",
            fuzzing::certificate,
            small.iter().map(|c| c.as_der().to_vec()).collect(),
        ),
        target(
            "name",
            fuzzing::name,
            small.iter().map(|c| c.subject().as_der().to_vec()).collect(),
        ),
        target("pem_bundle", fuzzing::pem_bundle, bundles(&small)),
        target("crl", fuzzing::crl, files),
        target("revocation", fuzzing::revocation, situations),
        target("strict", fuzzing::strict, strict(&small)),
        target("hba", fuzzing::hba, bytes(HBA)),
        target("ident", fuzzing::ident, bytes(IDENT)),
    ]
}

/// Each certificate alone, some with words around them, and some in DER.
fn bundles(certificates: &[Certificate]) -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = certificates.iter().map(|c| c.to_pem().into_bytes()).collect();
    let bundle = certificates[..3].iter().map(|c| format!("# words\r\n{}", c.to_pem()));
    seeds.push(bundle.collect::<String>().into_bytes());
    seeds.push(certificates[13..16].iter().flat_map(|c| c.as_der()).copied().collect());
    seeds
}

/// Certificates, requests, and the values of extensions.
fn strict(certificates: &[Certificate]) -> Vec<Vec<u8>> {
    // The target `certificate` has all of them.
    let some = certificates.iter().step_by(certificates.len() / 5);
    let mut seeds: Vec<_> = some.map(|c| c.as_der().to_vec()).collect();
    seeds.extend(extensions::all().into_iter().map(|case| case.value));
    seeds.push(requests::der());
    seeds.push(der::to_ber(&requests::der()));
    seeds.push(der::pem("NEW CERTIFICATE REQUEST", &requests::der()).into_bytes());
    seeds
}

/// Lists of every kind, alone and with a chain that they are to be applied to.
fn lists() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let key = Key::ec();
    let ca = name("/CN=CA");
    let place = || full_name(&[uri("http://crl.test/a.crl")]);
    let points = crl_points(&[seq(&[&place()])]);
    let chain = [
        CertificateParts::new(&name("/CN=alice"), &key, &ca, &[5]).with(points).sign(&key),
        CertificateParts::new(&ca, &key, &ca, &[1]).ca().key_id(b"id").sign(&key),
    ];
    let now = i64::from(NOW);
    let base = || CrlParts::new(&ca, now - 1000, now + 1000);
    let other = || certificate_issuer(&name("/CN=other"));
    let writers = [
        base(),
        base().revoke(&[5], now, &[reason(1)]).revoke(&[0x80, 1], now, &[]),
        base().revoke(&[9], now, &[other()]).revoke(&[5], now, &[reason(8)]),
        base().with(crl_number(3)).with(authority_key_id(&[tlv(0x80, b"id")])),
        base().with(idp(&[place(), ONLY_USER.to_vec()])),
        base().with(idp(&[relative_name("CN", "part")])),
        base().with(idp(&[])),
        base().with(idp(&[INDIRECT.to_vec(), tlv(0x83, &[1, 6])])),
        base().with(crl_number(3)).with(delta_of(2)),
        base().with(freshest(true, "http://crl.test/a.crl")),
        CrlParts { version: None, next_update: None, ..base() },
        CrlParts { entries: Some(many_entries(20, Order::Shuffled, now, true)), ..base() },
    ];
    let lists: Vec<_> = writers.iter().map(|writer| writer.sign(&key)).collect();

    let mut files: Vec<_> = lists.iter().map(|der| list_pem(der)).collect();
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
    (files, situations.collect())
}

/// A role, its connection and rules.
const HBA: &[&str] = &[
    "\x04 alice app 127.0.0.1\nb all all 127.0.0.1 255.255.255.255 cert m\nH all all all - trust",
    "\x05 alice app 10.0.0.1\nh sameuser,samerole,'all +a,'b .example - reject\nn /a /b samenet - md5",
    "\x01 a b ::1\nA all all :: :: scram-sha-256\nf replication all all - ldap",
    "\x07 a b socket\nB all /*x all - peer\n\nB x",
];

/// An identity, a role and mappings.
const IDENT: &[&str] = &[
    "\x00 m CN=alice alice\nm /CN=( \\1\nm CN=alice bob\nx CN=alice alice",
    "\x01 m alice bob\nm /a? x\nm alice bob\nm /ali \\1\nm alice 'all\nm alice all\nm alice +b",
    "\x03 m alice bob\nm /*bad x\nm alice /b\nm 'alice '/bo\nm",
    "\x02  alice alice\nm alice alice",
];

#[test]
fn findings_stay_mended() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_regressions");
    let targets = targets();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let target = targets.iter().find(|target| entry.file_name() == target.name);
        let target = target.unwrap_or_else(|| panic!("{entry:?} belongs to no target"));
        for finding in fs::read_dir(entry.path()).unwrap() {
            (target.run)(&fs::read(finding.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn seeds_with_any_byte_changed() {
    for Target { run, seeds, .. } in targets() {
        for seed in seeds {
            run(&seed);
            // Not every position of the long ones.
            for at in (0..seed.len()).step_by(1 + seed.len() / 64) {
                for value in [0, b' ', b'\n', b'/', b'0', b'?', b'\\', 0x80, 0xff, seed[at] ^ 1] {
                    let mut changed = seed.clone();
                    changed[at] = value;
                    run(&changed);
                    changed.insert(at, value);
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
    let corpus = env::var_os("PGTLS_FUZZ_CORPUS").unwrap();
    for target in targets() {
        let directory = Path::new(&corpus).join(target.name);
        fs::create_dir_all(&directory).unwrap();
        for (seed, number) in target.seeds.iter().zip(0..) {
            fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
