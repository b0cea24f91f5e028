//! What reading certificates costs. Each bench asserts its answer.
//!
//! - `leaf`: a leaf of 2 kB with every extension that has a column and 28 alternative names, as a
//!   client presents it; parsed, and then read as the columns that sslinfo has.
//! - `bundle`: Debian's ca-certificates, some 150 of them, from PEM; and all columns of all.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a bench reads files as it likes")]
#![allow(missing_docs, reason = "criterion makes a public function")]

#[path = "../tests/core/fixtures.rs"]
#[allow(dead_code, reason = "tests use more of them")]
mod fixtures;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pgtls_core::pem;
use pgtls_core::x509::bundle::parse_certificates;
use pgtls_core::x509::certificate::Certificate;

fn leaf(criterion: &mut Criterion) {
    let der = fixtures::named("leaf");
    assert!((1900..2300).contains(&der.len()), "the leaf has {} bytes", der.len());
    let mut group = criterion.benchmark_group("leaf");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let certificate = Certificate::from_der(black_box(der)).unwrap();
            assert_eq!(certificate.extensions().count(), 8);
            certificate
        });
    });
    group.bench_function("parse and name", |bencher| {
        bencher.iter(|| {
            let certificate = Certificate::from_der(black_box(der)).unwrap();
            assert_eq!(certificate.subject().oneline(), "/C=DE/O=Acme\\, Inc./CN=alice");
            certificate
        });
    });
    let certificate = Certificate::from_der(der).unwrap();
    group.bench_function("name again", |bencher| {
        bencher.iter(|| {
            let subject = black_box(&certificate).subject().oneline();
            assert_eq!(subject.len(), 28);
            subject
        });
    });
    group.bench_function("field", |bencher| {
        let oid = pgtls_core::asn1::oid::Oid::from_text("commonName").unwrap();
        bencher.iter(|| {
            let field = black_box(&certificate).subject().field(&oid);
            assert_eq!(field.as_deref(), Some("alice"));
            field
        });
    });
    group.bench_function("all columns", |bencher| {
        bencher.iter(|| {
            let columns = black_box(&certificate).columns();
            assert_eq!(columns.len(), 24);
            columns
        });
    });
    group.finish();
}

fn bundle(criterion: &mut Criterion) {
    let text = fixtures::system_bundle();
    let expected = openssl::x509::X509::stack_from_pem(&text).unwrap().len();
    assert!(expected > 100);
    let mut group = criterion.benchmark_group("bundle");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let blocks: Vec<_> = pem::blocks(black_box(&text), pem::CERTIFICATE).collect();
            assert_eq!(blocks.len(), expected);
            blocks
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let certificates = parse_certificates(black_box(&text)).unwrap();
            assert_eq!(certificates.len(), expected);
            certificates
        });
    });
    group.bench_function("parse, by OpenSSL", |bencher| {
        bencher.iter(|| {
            let certificates = openssl::x509::X509::stack_from_pem(black_box(&text)).unwrap();
            assert_eq!(certificates.len(), expected);
            certificates
        });
    });
    group.bench_function("all columns", |bencher| {
        let certificates = parse_certificates(&text).unwrap();
        bencher.iter(|| {
            let rows: Vec<_> = black_box(&certificates).iter().map(Certificate::columns).collect();
            assert_eq!(rows.len(), expected);
            rows
        });
    });
    group.finish();
}

criterion_group!(benches, leaf, bundle);
criterion_main!(benches);
