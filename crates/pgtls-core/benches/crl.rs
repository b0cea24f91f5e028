//! A revocation list of a million entries: the first answer, the next answers, and how both compare
//! with `openssl crl`.
//!
//! Without `--test`, a table of ratios against `openssl crl -noout` on the same file comes first;
//! each side is a process of its own, measured from outside. The goals are at most 0.25 for time
//! and peak memory of the first answer, and at most 20 µs for each of the next.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a bench reads files as it likes")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use pgtls_core::crl::{Crl, Reason, parse_crls};
use pgtls_core::time::UnixTime;
use pgtls_core::verify::revocation::behaviour::Rules;
use pgtls_core::verify::revocation::crl_set::CrlSet;
use pgtls_core::verify::revocation::status::Status;
use pgtls_core::verify::revocation::statuses;
use pgtls_core::x509::certificate::Certificate;
use pgtls_core::x509::serial::Serial;
use testpki::x509::{algorithm_null, authority_key_id, key_id};
use testpki::{CertificateParts, CrlParts, Key, Order, der, many_entries, many_serial, name};

const ENTRIES: u32 = 1_000_000;
const BASE: i64 = 1_735_689_600;

/// Set in a process that gives one first answer and ends.
const CHILD: &str = "PGTLS_CRL_BENCH_FILE";

struct Fixture {
    key: Key,
    spki: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let key = Key::rsa();
        let spki = key.public_der();
        Self { key, spki }
    }

    fn pem(&self, entries: u32, order: Order) -> Vec<u8> {
        let mut writer = CrlParts::new(&name("/CN=Big CA"), BASE, BASE + 86_400 * 30);
        writer.signature_algorithm = algorithm_null("sha256WithRSAEncryption");
        writer.entries = Some(many_entries(entries, order, BASE, true));
        der::pem("X509 CRL", &writer.sign(&self.key)).into_bytes()
    }
}

/// Everything between a file and the answer about one certificate.
fn first_answer(file: Vec<u8>, spki: &[u8]) -> Crl {
    let crl = parse_crls(file).unwrap().remove(0).crl.unwrap();
    assert!(crl.check_signature(spki).is_good());
    let serial = serial_of(&crl, 0);
    assert_eq!(crl.lookup(&serial).unwrap().reason, Some(Reason::KeyCompromise));
    crl
}

fn serial_of(crl: &Crl, entry: usize) -> Serial {
    crl.entries().nth(entry).unwrap().serial().unwrap()
}

fn benches(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let mut group = criterion.benchmark_group("crl");
    group.sample_size(10);
    for order in [Order::Sorted, Order::Shuffled] {
        let file = fixture.pem(ENTRIES, order);
        group.throughput(Throughput::Bytes(u64::try_from(file.len()).unwrap()));
        group.bench_function(BenchmarkId::new("first_answer", format!("{order:?}")), |bencher| {
            bencher.iter_batched(
                || file.clone(),
                |file| first_answer(file, &fixture.spki),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("crl/next_answer");
    for entries in [1_000, 10_000, 100_000, ENTRIES] {
        let crl = first_answer(fixture.pem(entries, Order::Sorted), &fixture.spki);
        // Between two others, but none of them.
        let mut absent = many_serial(entries / 2);
        absent[15] ^= 1;
        let absent = CrlParts::new(&name("/CN=Big CA"), BASE, BASE).revoke(&absent, BASE, &[]);
        let absent = Crl::from_der(absent.sealed(&absent.tbs(), &[])).unwrap();
        let absent = serial_of(&absent, 0);
        let step = crl.revoked_count() / 499;
        let present = crl.entries().step_by(step).map(|entry| entry.serial().unwrap());
        let present: Vec<_> = present.collect();
        let mut next = present.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| {
                assert!(crl.check_signature(&fixture.spki).is_good());
                assert!(crl.lookup(black_box(next.next().unwrap())).is_some());
                assert!(crl.lookup(black_box(&absent)).is_none());
            });
        });
    }
    group.finish();

    let crl = first_answer(fixture.pem(100_000, Order::Sorted), &fixture.spki);
    criterion.bench_function("crl/entries_100000", |bencher| {
        bencher.iter(|| assert_eq!(crl.entries().count(), 100_000));
    });
}

/// Status of a chain of three whose leaf's issuer has a list of this many entries: what a status
/// function asks each time.
fn status_benches(criterion: &mut Criterion) {
    let (root_key, issuer_key, leaf_key) = (Key::ec(), Key::ec(), Key::ec());
    let (root, issuer) = (name("/CN=Root CA"), name("/CN=Issuing CA"));
    let leaf = CertificateParts::new(&name("/CN=alice"), &leaf_key, &issuer, &many_serial(4242));
    let intermediate = CertificateParts::new(&issuer, &issuer_key, &root, &[2]).ca().key_id(b"i");
    let anchor = CertificateParts::new(&root, &root_key, &root, &[1]).ca().key_id(b"r");
    let chain = [leaf.sign(&issuer_key), intermediate.sign(&root_key), anchor.sign(&root_key)];
    let chain = chain.map(|der| Certificate::from_der(&der).unwrap());

    let mut group = criterion.benchmark_group("crl/status_of_chain");
    for entries in [10_000, ENTRIES] {
        let mut big =
            CrlParts::new(&issuer, BASE, BASE + 86_400).with(authority_key_id(&[key_id(b"i")]));
        big.entries = Some(many_entries(entries, Order::Sorted, BASE, true));
        let small = CrlParts::new(&root, BASE, BASE + 86_400);
        let mut crls = CrlSet::new();
        for file in [big.sign(&issuer_key), small.sign(&root_key)] {
            crls.push(Crl::from_der(file).unwrap(), "file");
        }
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| {
                let found = statuses(&chain, &crls, UnixTime(BASE), Rules::default());
                assert!(matches!(found[0].status, Status::Revoked { .. }));
                assert!(found[1].status.is_good() && found[2].status.is_good());
            });
        });
    }
    group.finish();
}

/// Wall time and peak memory in KiB of a process.
fn measure(mut command: Command) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        // The high-water mark only grows, so the last look before the end is nearly the truth.
        peak = peak.max(high_water(&status));
        if let Some(exit) = child.try_wait().unwrap() {
            assert!(exit.success());
            return (start.elapsed(), peak);
        }
        thread::sleep(Duration::from_micros(500));
    }
}

fn high_water(status: &Path) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default()
}

fn compare() {
    let directory = env::temp_dir().join(format!("pgtls-crl-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let fixture = Fixture::new();
    println!("first answer from {ENTRIES} entries, best of 5, against openssl crl -noout:");
    for order in [Order::Sorted, Order::Shuffled] {
        let path = directory.join(format!("{order:?}.pem"));
        fs::write(&path, fixture.pem(ENTRIES, order)).unwrap();
        fs::write(directory.join("spki"), &fixture.spki).unwrap();
        let best = |command: &dyn Fn() -> Command| {
            let runs: Vec<_> = (0..5).map(|_| measure(command())).collect();
            (
                runs.iter().map(|(time, _)| *time).min().unwrap(),
                runs.iter().map(|(_, peak)| *peak).max().unwrap(),
            )
        };
        let ours = best(&|| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.env(CHILD, &path);
            command
        });
        let theirs = best(&|| {
            let mut command = Command::new("openssl");
            command.args(["crl", "-noout", "-in"]).arg(&path);
            command
        });
        println!(
            "  {order:?}: time {:.0?} / {:.0?} = {:.2}, peak memory {} / {} MiB = {:.2}",
            ours.0,
            theirs.0,
            ours.0.as_secs_f64() / theirs.0.as_secs_f64(),
            ours.1 / 1024,
            theirs.1 / 1024,
            f64::from(u32::try_from(ours.1).unwrap()) / f64::from(u32::try_from(theirs.1).unwrap()),
        );
    }
    fs::remove_dir_all(directory).unwrap();
}

fn main() {
    if let Some(path) = env::var_os(CHILD) {
        let path = PathBuf::from(path);
        let spki = fs::read(path.with_file_name("spki")).unwrap();
        first_answer(fs::read(path).unwrap(), &spki);
        return;
    }
    if env::args().any(|argument| argument == "--bench") && env::var_os("PGTLS_NO_RATIOS").is_none()
    {
        compare();
    }
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    status_benches(&mut criterion);
    criterion.final_summary();
}
