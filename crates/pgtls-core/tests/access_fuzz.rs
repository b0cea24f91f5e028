//! Replays what the fuzz targets `hba` and `ident` start from and have found.

#[path = "access_support/fuzz.rs"]
mod fuzz;

use std::path::Path;

/// What the targets start from.
const HBA: &[&str] = &[
    "\x04 alice app 127.0.0.1\nb all all 127.0.0.1 255.255.255.255 cert m\nH all all all - trust",
    "\x05 alice app 10.0.0.1\nh sameuser,samerole,'all +a,'b .example - reject\nn /a /b samenet - md5",
    "\x01 a b ::1\nA all all :: :: scram-sha-256\nf replication all all - ldap",
    "\x07 a b socket\nB all /*x all - peer\n\nB x",
];
const IDENT: &[&str] = &[
    "\x00 m CN=alice alice\nm /CN=( \\1\nm CN=alice bob\nx CN=alice alice",
    "\x01 m alice bob\nm /a? x\nm alice bob\nm /ali \\1\nm alice 'all\nm alice all\nm alice +b",
    "\x03 m alice bob\nm /*bad x\nm alice /b\nm 'alice '/bo\nm",
    "\x02  alice alice\nm alice alice",
];

/// Runs a target with its seeds, with the files it has found, and with its seeds after small changes.
fn replay(name: &str, seeds: &[&str], target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_regressions").join(name);
    for file in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        target(&std::fs::read(file.path()).expect("a file of ours"));
    }
    for seed in seeds {
        target(seed.as_bytes());
        for position in 0..seed.len() {
            for byte in [0, b' ', b'\n', b'/', b'(', b'*', b'?', b'+', b'\\', b'\'', 0xff] {
                let mut changed = seed.as_bytes().to_vec();
                changed[position] = byte;
                target(&changed);
                changed.insert(position, byte);
                target(&changed);
            }
        }
    }
}

#[test]
fn rules_hold_what_the_fuzzer_expects() {
    replay("hba", HBA, fuzz::hba);
}

#[test]
fn mappings_hold_what_the_fuzzer_expects() {
    replay("ident", IDENT, fuzz::ident);
}

/// Writes the seeds for the fuzzers: `PGTLS_FUZZ_CORPUS=directory cargo test … -- --ignored write_seeds`.
#[test]
#[ignore = "writes files, for fuzz/run.sh"]
fn write_seeds() {
    let corpus = std::env::var("PGTLS_FUZZ_CORPUS").expect("PGTLS_FUZZ_CORPUS names a directory");
    for (name, seeds) in [("hba", HBA), ("ident", IDENT)] {
        let directory = Path::new(&corpus).join(name);
        std::fs::create_dir_all(&directory).expect("it can be made");
        for (seed, number) in seeds.iter().zip(1..) {
            std::fs::write(directory.join(format!("seed-{number}")), seed).expect("written");
        }
    }
}
