//! What the core says about revocation is what OpenSSL says: generated situations, each put to
//! both.
//!
//! OpenSSL is asked as the server asks it: `X509_verify_cert` with the purpose `sslclient` and the
//! flags CRL_CHECK and CRL_CHECK_ALL. Compared are the error and the depth of the first certificate
//! that is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Crl, X509PurposeId, X509StoreContext};
use testpki::x509::key_usage;
use testpki::{Name, Text};

use crate::prelude::*;

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;
const LEAF: [u8; 3] = [0x11, 0x22, 0x33];
const INTERMEDIATE: [u8; 2] = [0x7a, 0xbc];
const ROOT: [u8; 1] = [1];
const OTHER: [u8; 3] = [0x11, 0x22, 0x34];
const HERE: &str = "http://crl.test/a.crl";

/// Keys are made once: which ones they are does not matter.
static ROOT_KEY: LazyLock<Key> = LazyLock::new(Key::ec);
static INTERMEDIATE_KEY: LazyLock<Key> = LazyLock::new(Key::ec);
static LEAF_KEY: LazyLock<Key> = LazyLock::new(Key::ec);
static STRANGE_KEY: LazyLock<Key> = LazyLock::new(Key::ec);

fn root_name() -> Vec<u8> {
    name("/O=Acme/CN=Root CA")
}

fn intermediate_name() -> Vec<u8> {
    name("/O=Acme/CN=Issuing CA")
}

fn root() -> CertificateParts {
    CertificateParts::new(&root_name(), &ROOT_KEY, &root_name(), &ROOT).ca().key_id(b"root")
}

fn intermediate() -> CertificateParts {
    let name = intermediate_name();
    CertificateParts::new(&name, &INTERMEDIATE_KEY, &root_name(), &INTERMEDIATE).ca().key_id(b"int")
}

fn leaf(issuer: &[u8]) -> CertificateParts {
    CertificateParts::new(&name("/CN=alice"), &LEAF_KEY, issuer, &LEAF)
}

/// A chain, leaf first, as DER.
type Chain = Vec<Vec<u8>>;

fn short_chain(leaf_extensions: &[Vec<u8>]) -> Chain {
    let mut leaf = leaf(&root_name());
    leaf.extensions.extend_from_slice(leaf_extensions);
    vec![leaf.sign(&ROOT_KEY), root().sign(&ROOT_KEY)]
}

fn long_chain() -> Chain {
    vec![
        leaf(&intermediate_name()).sign(&INTERMEDIATE_KEY),
        intermediate().sign(&ROOT_KEY),
        root().sign(&ROOT_KEY),
    ]
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pgtls-revocation-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts chains and lists to OpenSSL.
struct Reference {
    scratch: Scratch,
}

impl Reference {
    fn new() -> Self {
        Self { scratch: Scratch::new() }
    }

    /// Error and depth; (0, 0) if the chain is accepted.
    fn verdict(&self, chain: &[Vec<u8>], crls: &[Vec<u8>], now: i64) -> (i32, u32) {
        let chain: Vec<_> = chain.iter().map(|der| X509::from_der(der).unwrap()).collect();
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(chain.last().unwrap().clone()).unwrap();
        let mut param = X509VerifyParam::new().unwrap();
        param.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL).unwrap();
        param.set_time(now);
        param.set_purpose(X509PurposeId::SSL_CLIENT).unwrap();
        store.set_param(&param).unwrap();
        if !crls.is_empty() {
            let path = self.scratch.0.join("crl.pem");
            fs::write(&path, crls.iter().flat_map(|der| list_pem(der)).collect::<Vec<_>>())
                .unwrap();
            let lookup = store.add_lookup(X509Lookup::file()).unwrap();
            lookup.load_crl_file(&path, SslFiletype::PEM).unwrap();
        }
        let store = store.build();
        let mut sent = Stack::new().unwrap();
        for certificate in &chain[1..] {
            sent.push(certificate.clone()).unwrap();
        }
        let mut context = X509StoreContext::new().unwrap();
        context
            .init(&store, &chain[0], &sent, |context| {
                let good = context.verify_cert()?;
                let found = context.chain().map_or(0, |chain| chain.len());
                assert!(!good || found == chain.len(), "OpenSSL built another chain");
                Ok(if good { (0, 0) } else { (context.error().as_raw(), context.error_depth()) })
            })
            .unwrap()
    }

    /// What this OpenSSL does where versions differ.
    fn rules(&self) -> Rules {
        let is_used = |writer: CrlParts| match self.verdict(
            &short_chain(&[]),
            &[writer.sign(&ROOT_KEY)],
            NOW,
        ) {
            (0, _) => true,
            (3, 0) => false,
            other => panic!("unheard-of answer {other:?}"),
        };
        let delta = list(&root_name()).with(crl_number(2)).with(delta_of(1));
        let empty = list(&root_name()).with(idp(&[]));
        Rules {
            delta_lists: Some(match is_used(delta) {
                true => DeltaLists::TakenForComplete,
                false => DeltaLists::Ignored,
            }),
            empty_scopes: Some(match is_used(empty) {
                true => EmptyScopes::Accepted,
                false => EmptyScopes::Ignored,
            }),
            self_signed: match self.verdict(
                &short_chain(&[]),
                &[list(&root_name()).with(idp(&[ONLY_USER.to_vec()])).sign(&ROOT_KEY)],
                NOW,
            ) {
                (0, _) => SelfSigned::Skipped,
                _ => SelfSigned::Checked,
            },
        }
    }
}

/// All that OpenSSL may do.
fn all_rules(self_signed: SelfSigned) -> impl Iterator<Item = Rules> {
    [DeltaLists::Ignored, DeltaLists::TakenForComplete].into_iter().flat_map(move |delta_lists| {
        [EmptyScopes::Accepted, EmptyScopes::Ignored].map(move |empty_scopes| Rules {
            delta_lists: Some(delta_lists),
            empty_scopes: Some(empty_scopes),
            self_signed,
        })
    })
}

/// A list of an issuer that is current.
fn list(issuer: &[u8]) -> CrlParts {
    CrlParts::new(issuer, NOW - DAY, NOW + DAY)
}

fn set(crls: &[Vec<u8>]) -> CrlSet {
    let mut set = CrlSet::new();
    for (position, der) in crls.iter().enumerate() {
        set.push(Crl::from_der(der.clone()).unwrap(), format!("list {position}"));
    }
    set
}

fn certificates(chain: &[Vec<u8>]) -> Vec<Certificate> {
    chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect()
}

/// The first that is not good, as OpenSSL reports it.
fn first(found: &[Status]) -> (Option<i32>, u32) {
    match found.iter().position(|status| !status.is_good()) {
        Some(depth) => (found[depth].verify_error(), u32::try_from(depth).unwrap()),
        None => (Some(0), 0),
    }
}

fn ours(chain: &[Certificate], crls: &CrlSet, now: i64, rules: Rules) -> Vec<Status> {
    statuses(chain, crls, UnixTime(now), rules).iter().map(|found| found.status).collect()
}

/// Puts situations to both and counts the outcomes.
struct Comparison {
    reference: Reference,
    rules: Rules,
    outcomes: BTreeMap<i32, usize>,
    unsure: usize,
    wrong: Vec<String>,
}

impl Comparison {
    fn new() -> Self {
        let reference = Reference::new();
        let rules = reference.rules();
        Self { reference, rules, outcomes: BTreeMap::new(), unsure: 0, wrong: Vec::new() }
    }

    fn compare(&mut self, what: &str, chain: &Chain, crls: &[Vec<u8>], now: i64) -> Vec<Status> {
        let (error, depth) = self.reference.verdict(chain, crls, now);
        *self.outcomes.entry(error).or_default() += 1;
        let certificates = certificates(chain);
        let set = set(crls);
        let known = ours(&certificates, &set, now, self.rules);
        if first(&known) != (Some(error), depth) {
            let ours = first(&known);
            self.wrong.push(format!("{what}: OpenSSL ({error}, {depth}), ours {ours:?}"));
        }
        let self_signed = self.rules.self_signed;
        let unknown = Rules { self_signed, ..Rules::default() };
        let unsure = ours(&certificates, &set, now, unknown);
        let each: Vec<_> =
            all_rules(self_signed).map(|rules| ours(&certificates, &set, now, rules)).collect();
        for (depth, status) in unsure.iter().enumerate() {
            let agree = each.iter().all(|answer| answer[depth] == each[0][depth]);
            if *status == Status::Unknown(WhyUnknown::DependsOnVersion) {
                assert!(!agree, "{what}");
                self.unsure += 1;
            } else {
                assert!(agree && *status == each[0][depth], "{what}");
            }
        }
        unsure
    }

    fn finish(self, least: usize) {
        let count: usize = self.outcomes.values().sum();
        println!("{count} situations, {:?}, {} unsure", self.outcomes, self.unsure);
        assert!(
            self.wrong.is_empty(),
            "{} of {count}:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
        assert!(count >= least, "only {count} situations");
    }
}

/// Every kind of list that an issuer can have for a certificate with this serial number.
fn kinds(issuer: &[u8], key: &Key, key_id: &[u8], serial: &[u8]) -> Vec<(String, Vec<u8>)> {
    let base = || list(issuer);
    let at = NOW - 3600;
    let aki = |fields: &[Vec<u8>]| authority_key_id(fields);
    let mut kinds: Vec<(&str, CrlParts)> = vec![
        ("good", base()),
        ("good, no revoked field", CrlParts { version: None, ..base() }),
        ("good, number", base().with(crl_number(7))),
        ("good, other revoked", base().revoke(&OTHER, at, &[])),
        ("good, empty revoked field", CrlParts { entries: Some(Vec::new()), ..base() }),
        ("revoked", base().revoke(serial, at, &[])),
        ("revoked, reason", base().revoke(serial, at, &[reason(1)])),
        ("revoked, hold", base().revoke(serial, at, &[reason(6)])),
        ("revoked, removed", base().revoke(serial, at, &[reason(8)])),
        ("revoked, then removed", base().revoke(serial, at, &[]).revoke(serial, at, &[reason(8)])),
        ("removed, then revoked", base().revoke(serial, at, &[reason(8)]).revoke(serial, at, &[])),
        ("revoked in the future", base().revoke(serial, NOW + 3600, &[])),
        (
            "revoked, behind a smaller and a larger one",
            base().revoke(&[0x7f, 0, 0, 0], at, &[]).revoke(&[2], at, &[]).revoke(serial, at, &[]),
        ),
        (
            "revoked, critical reason",
            base().revoke(serial, at, &[extension("CRLReason", true, &[10, 1, 1])]),
        ),
        (
            "good, critical reason elsewhere",
            base().revoke(&OTHER, at, &[extension("CRLReason", true, &[10, 1, 1])]),
        ),
        (
            "revoked, broken reason elsewhere before",
            base().revoke(&OTHER, at, &[extension("CRLReason", false, &[10, 0])]).revoke(
                serial,
                at,
                &[reason(8)],
            ),
        ),
        (
            "revoked, broken reason elsewhere behind",
            base().revoke(serial, at, &[reason(8)]).revoke(
                &OTHER,
                at,
                &[extension("CRLReason", false, &[10, 0])],
            ),
        ),
        ("revoked, reason twice", base().revoke(serial, at, &[reason(8), reason(8)])),
        (
            "critical behind a broken reason",
            base().revoke(&OTHER, at, &[extension("CRLReason", false, &[1, 1, 0])]).revoke(
                &[5],
                at,
                &[extension("CRLReason", true, &[10, 1, 1])],
            ),
        ),
        (
            "revoked, of another issuer",
            base().revoke(serial, at, &[certificate_issuer(&name("/CN=other"))]),
        ),
        (
            "revoked, of this issuer by name",
            base().revoke(serial, at, &[certificate_issuer(issuer)]),
        ),
        (
            "revoked, other issuer from the entry before",
            base().revoke(&OTHER, at, &[certificate_issuer(&name("/CN=other"))]).revoke(
                serial,
                at,
                &[],
            ),
        ),
        (
            "revoked, other issuer and back",
            base()
                .revoke(&OTHER, at, &[certificate_issuer(&name("/CN=other"))])
                .revoke(&[9], at, &[certificate_issuer(issuer)])
                .revoke(serial, at, &[]),
        ),
        (
            "revoked, broken issuer before",
            base()
                .revoke(&OTHER, at, &[extension("certificateIssuer", true, &[0x30, 2, 0x99, 0])])
                .revoke(serial, at, &[reason(8)]),
        ),
        ("stale", CrlParts::new(issuer, NOW - 2 * DAY, NOW - DAY)),
        ("stale this second", CrlParts::new(issuer, NOW - DAY, NOW)),
        ("last second", CrlParts::new(issuer, NOW - DAY, NOW + 1)),
        ("first second", CrlParts::new(issuer, NOW, NOW + DAY)),
        ("not yet valid", CrlParts::new(issuer, NOW + 1, NOW + DAY)),
        ("stale, revoked", CrlParts::new(issuer, NOW - 3 * DAY, NOW - DAY).revoke(serial, at, &[])),
        ("no end", CrlParts { next_update: None, ..base() }),
        ("newer", CrlParts::new(issuer, NOW - DAY + 1, NOW + DAY)),
        ("newer, revoked", CrlParts::new(issuer, NOW - 60, NOW + DAY).revoke(serial, at, &[])),
        ("older, revoked", CrlParts::new(issuer, NOW - 9 * DAY, NOW + DAY).revoke(serial, at, &[])),
        ("no seconds", CrlParts { this_update: tlv(0x17, b"2311010000Z"), ..base() }),
        ("offset", CrlParts { this_update: tlv(0x17, b"231101000000+0000"), ..base() }),
        ("no date", CrlParts { this_update: tlv(0x17, b"nonsense"), ..base() }),
        ("fraction", CrlParts { next_update: Some(tlv(0x18, b"20330101000000.5Z")), ..base() }),
        ("no date at the end", CrlParts { next_update: Some(tlv(0x18, b"never")), ..base() }),
        (
            "far date as UTCTime",
            CrlParts { next_update: Some(tlv(0x17, b"491231235959Z")), ..base() },
        ),
        ("last century", CrlParts { next_update: Some(tlv(0x17, b"500101000000Z")), ..base() }),
        ("only user", base().with(idp(&[ONLY_USER.to_vec()]))),
        ("only user, revoked", base().revoke(serial, at, &[]).with(idp(&[ONLY_USER.to_vec()]))),
        ("only CA", base().with(idp(&[ONLY_CA.to_vec()]))),
        ("only CA, revoked", base().revoke(serial, at, &[]).with(idp(&[ONLY_CA.to_vec()]))),
        ("only attribute", base().with(idp(&[ONLY_ATTRIBUTE.to_vec()]))),
        ("only user and CA", base().with(idp(&[ONLY_USER.to_vec(), ONLY_CA.to_vec()]))),
        ("indirect", base().with(idp(&[INDIRECT.to_vec()]))),
        ("some reasons", base().with(idp(&[tlv(0x83, &[1, 0x06])]))),
        ("empty scope", base().with(idp(&[]))),
        ("false flags", base().with(idp(&[vec![0x81, 1, 0], vec![0x84, 1, 0]]))),
        (
            "broken scope",
            base().with(extension("issuingDistributionPoint", true, &[0x30, 2, 0x81, 9])),
        ),
        ("scope twice", base().with(idp(&[ONLY_CA.to_vec()])).with(idp(&[ONLY_USER.to_vec()]))),
        ("point here", base().with(idp(&[full_name(&[uri(HERE)])]))),
        (
            "point here, revoked",
            base().revoke(serial, at, &[]).with(idp(&[full_name(&[uri(HERE)])])),
        ),
        ("point here, only user", base().with(idp(&[full_name(&[uri(HERE)]), ONLY_USER.to_vec()]))),
        ("point elsewhere", base().with(idp(&[full_name(&[uri("http://crl.test/b.crl")])]))),
        ("point in other case", base().with(idp(&[full_name(&[uri("HTTP://crl.test/a.crl")])]))),
        ("points", base().with(idp(&[full_name(&[uri("ldap://x"), uri(HERE)])]))),
        ("point of a directory", base().with(idp(&[full_name(&[directory(&name("/CN=crl"))])]))),
        (
            "point of the directory in capitals",
            base().with(idp(&[full_name(&[directory(&name("/CN= CRL "))])])),
        ),
        ("relative point", base().with(idp(&[relative_name("CN", "crl 1")]))),
        ("relative point in capitals", base().with(idp(&[relative_name("CN", "CRL  1")]))),
        (
            "full form of the relative point",
            base().with(idp(&[full_name(&[directory(&issuer_with(issuer, "crl 1"))])])),
        ),
        ("delta", base().with(crl_number(9)).with(delta_of(7))),
        ("delta, revoked", base().revoke(serial, at, &[]).with(crl_number(9)).with(delta_of(7))),
        (
            "newer delta",
            CrlParts::new(issuer, NOW - 60, NOW + DAY).with(crl_number(9)).with(delta_of(7)),
        ),
        (
            "newer delta, removed",
            CrlParts::new(issuer, NOW - 60, NOW + DAY)
                .revoke(serial, at, &[reason(8)])
                .with(crl_number(9))
                .with(delta_of(7)),
        ),
        ("stale delta", CrlParts::new(issuer, NOW - 9 * DAY, NOW - DAY).with(delta_of(7))),
        ("delta for CAs", base().with(delta_of(7)).with(idp(&[ONLY_CA.to_vec()]))),
        ("broken delta", base().with(extension("deltaCRL", true, &[4, 0]))),
        ("delta twice", base().with(delta_of(1)).with(delta_of(1))),
        ("freshest", base().with(freshest(false, HERE))),
        ("critical freshest", base().with(freshest(true, HERE))),
        ("unknown", base().with(extension("1.2.3.4", false, &[5, 0]))),
        ("unknown critical", base().with(extension("1.2.3.4", true, &[5, 0]))),
        (
            "unknown critical, revoked",
            base().revoke(serial, at, &[]).with(extension("1.2.3.4", true, &[5, 0])),
        ),
        ("critical number", base().with(extension("crlNumber", true, &integer(1)))),
        (
            "critical key id",
            base().with(extension("authorityKeyIdentifier", true, &seq(&[&tlv(0x80, key_id)]))),
        ),
        ("key id", base().with(aki(&[tlv(0x80, key_id)]))),
        ("key id, revoked", base().revoke(serial, at, &[]).with(aki(&[tlv(0x80, key_id)]))),
        ("other key id", base().with(aki(&[tlv(0x80, b"other")]))),
        ("other key id, revoked", base().revoke(serial, at, &[]).with(aki(&[tlv(0x80, b"other")]))),
        ("empty key id", base().with(aki(&[]))),
        ("broken key id", base().with(extension("authorityKeyIdentifier", false, &[2, 0]))),
        (
            "issuer serial of the root",
            base().with(aki(&[tlv(0xa1, &directory(&root_name())), tlv(0x82, &ROOT)])),
        ),
        (
            "issuer serial of the intermediate",
            base().with(aki(&[tlv(0xa1, &directory(&root_name())), tlv(0x82, &INTERMEDIATE)])),
        ),
        (
            "issuer serial of another issuer",
            base().with(aki(&[tlv(0xa1, &directory(&name("/CN=x"))), tlv(0x82, &ROOT)])),
        ),
        (
            "issuer without directory name",
            base().with(aki(&[tlv(0xa1, &uri("x:y")), tlv(0x82, &ROOT)])),
        ),
    ];
    let mut same_name = base();
    same_name.issuer = upper(issuer);
    kinds.push(("issuer in capitals", same_name.clone()));
    kinds.push(("issuer in capitals, revoked", same_name.revoke(serial, at, &[])));
    let mut other_name = base();
    other_name.issuer = name("/CN=Another CA");
    kinds.push(("another issuer, revoked", other_name.revoke(serial, at, &[])));

    let mut signed: Vec<(String, Vec<u8>)> =
        kinds.into_iter().map(|(what, writer)| (what.to_owned(), writer.sign(key))).collect();
    signed.push(("wrong key".to_owned(), base().sign(&STRANGE_KEY)));
    signed
        .push(("wrong key, revoked".to_owned(), base().revoke(serial, at, &[]).sign(&STRANGE_KEY)));
    let good = base();
    let mut broken = good.sign(key);
    *broken.last_mut().unwrap() ^= 1;
    signed.push(("bad signature".to_owned(), broken));
    signed.push(("no signature".to_owned(), good.sealed(&good.tbs(), &[])));
    let mut outer = good.clone();
    let tbs = outer.tbs();
    outer.signature_algorithm = algorithm_null("sha256WithRSAEncryption");
    signed.push(("two algorithms".to_owned(), outer.sealed(&tbs, &[1, 2, 3])));
    signed.push(("wrong kind of algorithm".to_owned(), outer.sign(key)));
    // OpenSSL 3.5 does not even load lists with some of the malformed dates.
    signed.retain(|(_, der)| X509Crl::from_der(der).is_ok());
    signed
}

/// A name with a common name below it.
fn issuer_with(issuer: &[u8], common_name: &str) -> Vec<u8> {
    let rdns = &issuer[2..];
    let below = name(&format!("/CN={common_name}"));
    seq(&[rdns, &below[2..]])
}

/// The same name in capitals, with more spaces and as PrintableString.
fn upper(issuer: &[u8]) -> Vec<u8> {
    if issuer == root_name() {
        named(Text::Printable, " ACME", Text::Printable, "ROOT   CA ")
    } else {
        named(Text::Teletex, "acme", Text::Ia5, "issuing ca")
    }
}

fn named(o: Text, organization: &str, cn: Text, common_name: &str) -> Vec<u8> {
    let name = Name::empty().attr_raw("O", o, organization.as_bytes());
    name.attr_raw("CN", cn, common_name.as_bytes()).der()
}

fn root_kinds(serial: &[u8]) -> Vec<(String, Vec<u8>)> {
    kinds(&root_name(), &ROOT_KEY, b"root", serial)
}

/// Distribution points that a leaf can have.
fn leaf_kinds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let point = |fields: &[Vec<u8>]| tlv(0x30, &fields.concat());
    let here = || full_name(&[uri(HERE)]);
    vec![
        ("no point", vec![]),
        ("point here", vec![crl_points(&[point(&[here()])])]),
        ("empty points", vec![crl_points(&[])]),
        ("points", vec![crl_points(&[point(&[full_name(&[uri("http://x")])]), point(&[here()])])]),
        (
            "directory point",
            vec![crl_points(&[point(&[full_name(&[directory(&name("/CN=crl"))])])])],
        ),
        ("relative point", vec![crl_points(&[point(&[relative_name("CN", "crl 1")])])]),
        ("point for key compromise", vec![crl_points(&[point(&[here(), tlv(0x81, &[6, 0x40])])])]),
        (
            "points for all reasons",
            vec![crl_points(&[
                point(&[here(), tlv(0x81, &[6, 0x40])]),
                point(&[full_name(&[uri("http://crl.test/b.crl")]), tlv(0x81, &[7, 0x3f, 0x80])]),
            ])],
        ),
        ("point for no reason", vec![crl_points(&[point(&[here(), tlv(0x81, &[0])])])]),
        (
            "point for all reasons",
            vec![crl_points(&[point(&[here(), tlv(0x81, &[7, 0x7f, 0x80])])])],
        ),
        (
            "point signed by another",
            vec![crl_points(&[point(&[here(), tlv(0xa2, &directory(&name("/CN=Another CA")))])])],
        ),
        (
            "point signed by the issuer",
            vec![crl_points(&[point(&[here(), tlv(0xa2, &directory(&upper(&root_name())))])])],
        ),
        (
            "relative point signed by another",
            vec![crl_points(&[point(&[
                relative_name("CN", "crl 1"),
                tlv(0xa2, &directory(&name("/CN=x"))),
            ])])],
        ),
    ]
}

#[test]
fn one_list_for_each_kind_of_leaf() {
    let mut comparison = Comparison::new();
    for (leaf, extensions) in leaf_kinds() {
        let chain = short_chain(&extensions);
        comparison.compare(&format!("{leaf} / none"), &chain, &[], NOW);
        // The root's own list does not get in the way of the leaf's verdict, which comes first.
        for (kind, der) in root_kinds(&LEAF) {
            comparison.compare(&format!("{leaf} / {kind}"), &chain, &[der], NOW);
        }
    }
    comparison.finish(1000);
}

#[test]
fn two_lists_of_one_issuer() {
    let mut comparison = Comparison::new();
    let kinds = root_kinds(&LEAF);
    let leaves = leaf_kinds();
    for (index, (first, a)) in kinds.iter().enumerate() {
        for (other, (second, b)) in kinds.iter().enumerate() {
            let (leaf, extensions) = &leaves[(index * 5 + other) % leaves.len()];
            let what = format!("{leaf} / {first} + {second}");
            comparison.compare(&what, &short_chain(extensions), &[a.clone(), b.clone()], NOW);
        }
    }
    comparison.finish(5000);
}

#[test]
fn lists_of_root_and_intermediate() {
    let mut comparison = Comparison::new();
    let chain = long_chain();
    let of_root = root_kinds(&INTERMEDIATE);
    let of_intermediate = kinds(&intermediate_name(), &INTERMEDIATE_KEY, b"int", &LEAF);
    for (index, (first, a)) in of_root.iter().enumerate() {
        comparison.compare(&format!("{first} / none"), &chain, std::slice::from_ref(a), NOW);
        for (second, b) in of_intermediate.iter().skip(index % 4).step_by(4) {
            let what = format!("root {first}, intermediate {second}");
            comparison.compare(&what, &chain, &[a.clone(), b.clone()], NOW);
        }
        let good = of_intermediate[0].1.clone();
        comparison.compare(&format!("root {first}"), &chain, &[good, a.clone()], NOW);
    }
    comparison.finish(1500);
}

#[test]
fn many_lists_in_any_order_at_any_time() {
    let mut comparison = Comparison::new();
    let mut pool = root_kinds(&INTERMEDIATE);
    pool.extend(kinds(&intermediate_name(), &INTERMEDIATE_KEY, b"int", &LEAF));
    pool.extend(root_kinds(&ROOT));
    let chain = long_chain();
    // A fixed sequence: a failure can be looked at again.
    let mut state: u64 = 0x1234_5678_9abc_def1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below
    };
    let times =
        [NOW, NOW - DAY, NOW - DAY - 1, NOW - DAY + 1, NOW + DAY - 1, NOW + DAY, NOW + 9 * DAY];
    for _ in 0..3000 {
        let chosen: Vec<_> = (0..3 + random(4)).map(|_| &pool[random(pool.len())]).collect();
        let now = times[random(times.len())];
        let names: Vec<_> = chosen.iter().map(|(what, _)| what.as_str()).collect();
        let lists: Vec<_> = chosen.iter().map(|(_, der)| der.clone()).collect();
        comparison.compare(&format!("{} at {now}", names.join(" + ")), &chain, &lists, now);
    }
    comparison.finish(3000);
}

#[test]
fn chains_that_are_not_ordinary() {
    let mut comparison = Comparison::new();
    let good = |issuer: &[u8], key: &Key| list(issuer).sign(key);

    // A leaf that is its own trust anchor.
    let lone = CertificateParts::new(&name("/CN=lone"), &LEAF_KEY, &name("/CN=lone"), &LEAF);
    let lone = vec![lone.sign(&LEAF_KEY)];
    comparison.compare("lone, none", &lone, &[], NOW);
    for (kind, der) in kinds(&name("/CN=lone"), &LEAF_KEY, b"", &LEAF) {
        comparison.compare(&format!("lone, {kind}"), &lone, &[der], NOW);
    }

    // Key usages of the issuer.
    for (what, bits) in [("certificates only", &[5][..]), ("both", &[5, 6])] {
        let issuer = root().with(key_usage(bits)).sign(&ROOT_KEY);
        let chain = vec![leaf(&root_name()).sign(&ROOT_KEY), issuer];
        for (kind, der) in root_kinds(&LEAF) {
            comparison.compare(&format!("{what}, {kind}"), &chain, &[der], NOW);
        }
    }

    // Names that differ in case and spaces between subject, issuer and list.
    let mut odd = leaf(&upper(&root_name()));
    odd.extensions = Vec::new();
    let chain = vec![odd.sign(&ROOT_KEY), root().sign(&ROOT_KEY)];
    for (kind, der) in root_kinds(&LEAF) {
        comparison.compare(&format!("odd name, {kind}"), &chain, &[der], NOW);
    }

    // A CA that changed its key: its new certificate is signed with the old key.
    let by_old = authority_key_id(&[tlv(0x80, b"old")]);
    let by_new = authority_key_id(&[tlv(0x80, b"new")]);
    let old_root = CertificateParts::new(&root_name(), &ROOT_KEY, &root_name(), &ROOT);
    let old_root = old_root.ca().key_id(b"old").sign(&ROOT_KEY);
    let new = CertificateParts::new(&root_name(), &INTERMEDIATE_KEY, &root_name(), &INTERMEDIATE);
    let new = new.ca().key_id(b"new").with(by_old.clone()).sign(&ROOT_KEY);
    let rolled = leaf(&root_name()).with(by_new.clone()).sign(&INTERMEDIATE_KEY);
    let chain = vec![rolled, new, old_root];
    let mut rolled_lists: Vec<(String, Vec<u8>)> = Vec::new();
    for (what, key) in [("old", &*ROOT_KEY), ("new", &*INTERMEDIATE_KEY)] {
        for (id, extension) in
            [("no id", None), ("old id", Some(&by_old)), ("new id", Some(&by_new))]
        {
            for serial in [None, Some(&LEAF[..]), Some(&INTERMEDIATE[..])] {
                let mut writer = list(&root_name());
                writer.extensions.extend(extension.cloned());
                if let Some(serial) = serial {
                    writer = writer.revoke(serial, NOW, &[]);
                }
                rolled_lists.push((format!("{what} key, {id}, {serial:?}"), writer.sign(key)));
            }
        }
    }
    for (first, a) in &rolled_lists {
        comparison.compare(&format!("rolled, {first}"), &chain, std::slice::from_ref(a), NOW);
        for (second, b) in &rolled_lists {
            let what = format!("rolled, {first} + {second}");
            comparison.compare(&what, &chain, &[a.clone(), b.clone()], NOW);
        }
    }

    // Serial numbers of odd form.
    for serial in [&[0][..], &[0x80], &[0xff; 20], &[1], &[0x7f, 0xff]] {
        let mut odd = leaf(&root_name());
        odd.serial = der::unsigned(serial);
        let chain = vec![odd.sign(&ROOT_KEY), root().sign(&ROOT_KEY)];
        for listed in [&[0][..], &[0x80], &[0xff; 20], &[1], &[0x7f, 0xff]] {
            let der = list(&root_name()).revoke(listed, NOW, &[]).sign(&ROOT_KEY);
            comparison.compare(&format!("serial {serial:?}, {listed:?}"), &chain, &[der], NOW);
        }
    }

    // A list of the intermediate's name by the root and the other way round.
    let chain = long_chain();
    let crossed = [good(&intermediate_name(), &ROOT_KEY), good(&root_name(), &INTERMEDIATE_KEY)];
    comparison.compare("crossed keys", &chain, &crossed, NOW);
    comparison.finish(700);
}

#[test]
fn the_answers_are_those_we_know() {
    let chain = certificates(&long_chain());
    let of_root = || list(&root_name());
    let of_intermediate = || list(&intermediate_name());
    let ask = |crls: &[Vec<u8>]| ours(&chain, &set(crls), NOW, Rules::default());
    let good = of_root().sign(&ROOT_KEY);
    let unknown = Status::Unknown;

    let leaf_good = of_intermediate().sign(&INTERMEDIATE_KEY);
    assert_eq!(ask(&[good.clone(), leaf_good]), [Status::Good; 3]);

    let revoked = of_intermediate().revoke(&LEAF, NOW - 7, &[reason(1)]).sign(&INTERMEDIATE_KEY);
    let status =
        Status::Revoked { at: Some(UnixTime(NOW - 7)), reason: Some(Reason::KeyCompromise) };
    assert_eq!(ask(&[good.clone(), revoked.clone()]), [status, Status::Good, Status::Good]);
    assert_eq!((status.as_str(), status.verify_error()), ("revoked", Some(23)));

    let missing = unknown(WhyUnknown::CrlMissing);
    assert_eq!(ask(&[]), [missing; 3]);
    assert_eq!(ask(&[revoked]), [status, missing, missing]);

    let both = of_root().revoke(&INTERMEDIATE, NOW, &[]).revoke(&ROOT, NOW, &[]).sign(&ROOT_KEY);
    let gone = Status::Revoked { at: Some(UnixTime(NOW)), reason: None };
    assert_eq!(ask(&[both]), [missing, gone, gone]);

    let delta = of_root().with(crl_number(2)).with(delta_of(1)).sign(&ROOT_KEY);
    let unsure = unknown(WhyUnknown::DependsOnVersion);
    assert_eq!(ask(std::slice::from_ref(&delta)), [missing, unsure, unsure]);
    assert_eq!((unsure.as_str(), unsure.verify_error()), ("unsupported", None));
    // Base and delta agree: nothing to be unsure about.
    assert_eq!(ask(&[delta, good])[1..], [Status::Good; 2]);
}

#[test]
fn a_missing_list_says_what_was_passed_over() {
    let chain = certificates(&short_chain(&[]));
    let why = |writer: CrlParts| {
        let set = set(&[writer.sign(&ROOT_KEY)]);
        let rules = all_rules(SelfSigned::Checked).last().unwrap();
        let rules = Rules { delta_lists: Some(DeltaLists::Ignored), ..rules };
        let found = statuses(&chain, &set, UnixTime(NOW), rules);
        assert_eq!(found[0].status, Status::Unknown(WhyUnknown::CrlMissing));
        assert!(found[0].list.is_none());
        assert_eq!(found[0].passed_over.len(), 1);
        assert_eq!(&*found[0].passed_over[0].list.source, "list 0");
        found[0].passed_over[0].why
    };
    let base = || list(&root_name());
    assert_eq!(why(base().with(delta_of(1))), WhyPassedOver::Delta);
    assert_eq!(why(base().with(idp(&[]))), WhyPassedOver::EmptyScope);
    assert_eq!(why(base().with(idp(&[INDIRECT.to_vec()]))), WhyPassedOver::Indirect);
    assert_eq!(why(base().with(idp(&[tlv(0x83, &[0, 2])]))), WhyPassedOver::SomeReasons);
    let both = idp(&[ONLY_USER.to_vec(), ONLY_CA.to_vec()]);
    assert_eq!(why(base().with(both)), WhyPassedOver::ContradictoryScope);
    let other_key = authority_key_id(&[tlv(0x80, b"other")]);
    assert_eq!(why(base().with(other_key)), WhyPassedOver::OtherKey);
}

#[test]
fn the_list_that_decided_is_named() {
    let chain = certificates(&short_chain(&[]));
    let old = CrlParts::new(&root_name(), NOW - 3 * DAY, NOW + DAY).sign(&ROOT_KEY);
    let new = list(&root_name()).with(crl_number(5)).sign(&ROOT_KEY);
    let set = set(&[old, new]);
    let found = statuses(&chain, &set, UnixTime(NOW), Rules::default());
    for status in &found {
        let used = status.list.unwrap();
        assert_eq!(&*used.source, "list 1");
        assert_eq!(used.crl.number().unwrap().decimal(), "5");
        assert!(status.passed_over.is_empty());
    }
}

#[test]
fn no_chain_has_no_status() {
    let none: [Certificate; 0] = [];
    assert!(statuses(&none, &CrlSet::new(), UnixTime(NOW), Rules::default()).is_empty());
    assert!(coverage(&none, None, UnixTime(NOW), Rules::default()).is_empty());
}

#[test]
fn coverage_of_authorities() {
    let authorities = certificates(&[intermediate().sign(&ROOT_KEY), root().sign(&ROOT_KEY)]);
    let of_root = || list(&root_name());
    let of_intermediate = || list(&intermediate_name()).sign(&INTERMEDIATE_KEY);
    let ask = |crls: &[Vec<u8>]| {
        let set = set(crls);
        let found = coverage(&authorities, Some(&set), UnixTime(NOW), Rules::default());
        let all: Vec<_> = found
            .iter()
            .map(|one| {
                assert!(one.is_anchored);
                let above = one.refused_above.as_ref().map(|(at, status)| (*at, status.status));
                (one.status, above, one.refuses_all())
            })
            .collect();
        [all[0], all[1]]
    };
    let missing = Status::Unknown(WhyUnknown::CrlMissing);
    use CoverageStatus::{BadSignature, Covered, Missing, OutOfScope, Stale, Unsupported};

    let good = of_root().sign(&ROOT_KEY);
    assert_eq!(ask(&[of_intermediate(), good.clone()]), [(Covered, None, false); 2]);
    assert_eq!(ask(&[good]), [(Missing, None, true), (Covered, None, false)]);
    // The list of the intermediate is there, but its clients fail at the root.
    assert_eq!(
        ask(&[of_intermediate()]),
        [(Covered, Some((0, missing)), true), (Missing, Some((1, missing)), true)]
    );
    let stale = CrlParts::new(&root_name(), NOW - 2 * DAY, NOW - DAY).sign(&ROOT_KEY);
    let expired = Status::Unknown(WhyUnknown::Expired);
    assert_eq!(
        ask(&[of_intermediate(), stale]),
        [(Covered, Some((0, expired)), true), (Stale, Some((1, expired)), true)]
    );
    let revoking = of_root().revoke(&INTERMEDIATE, NOW, &[]).sign(&ROOT_KEY);
    let revoked = Status::Revoked { at: Some(UnixTime(NOW)), reason: None };
    assert_eq!(
        ask(&[of_intermediate(), revoking]),
        [(Covered, Some((0, revoked)), true), (Covered, None, false)]
    );
    let forged = of_root().sign(&STRANGE_KEY);
    let bad = Status::Unknown(WhyUnknown::BadSignature);
    assert_eq!(ask(&[of_intermediate(), forged])[1], (BadSignature, Some((1, bad)), true));
    let for_cas = of_root().with(idp(&[ONLY_CA.to_vec()])).sign(&ROOT_KEY);
    assert_eq!(ask(&[for_cas])[1], (OutOfScope, None, false));
    let critical = of_root().with(extension("1.2.3", true, &[5, 0])).sign(&ROOT_KEY);
    assert_eq!(ask(&[critical])[1].0, Unsupported);

    for one in coverage(&authorities, None, UnixTime(NOW), Rules::default()) {
        assert_eq!((one.status, one.refuses_all()), (CoverageStatus::NotChecked, false));
    }
    // Without its root the intermediate leads nowhere.
    let lone = coverage(&authorities[..1], None, UnixTime(NOW), Rules::default());
    assert!(!lone[0].is_anchored && lone[0].refuses_all());
}

#[test]
fn coverage_foretells_what_happens_to_clients() {
    let reference = Reference::new();
    let rules = reference.rules();
    let chain = long_chain();
    let authorities = certificates(&chain[1..]);
    let of_intermediate = kinds(&intermediate_name(), &INTERMEDIATE_KEY, b"int", &OTHER);
    let mut of_root = root_kinds(&INTERMEDIATE);
    of_root.extend(root_kinds(&OTHER));
    let mut refused = 0;
    for (first, a) in &of_root {
        for (second, b) in of_intermediate.iter().step_by(7) {
            let crls = [a.clone(), b.clone()];
            let set = set(&crls);
            let covered = coverage(&authorities, Some(&set), UnixTime(NOW), rules);
            let accepted = reference.verdict(&chain, &crls, NOW) == (0, 0);
            // The leaf is not in any of the lists and has no distribution points.
            let is_good = covered[0].refused_above.is_none()
                && covered[0].clients.as_ref().unwrap().status.is_good();
            assert_eq!(accepted, is_good, "root {first}, intermediate {second}");
            assert!(!(accepted && covered[0].refuses_all()), "{first}, {second}");
            refused += usize::from(!accepted);
        }
    }
    assert!(refused > 100);
}

#[test]
fn status_of_a_list_by_itself() {
    let authorities = certificates(&[root().sign(&ROOT_KEY)]);
    let ask = |writer: CrlParts, key: &Key| {
        let crl = Crl::from_der(writer.sign(key)).unwrap();
        list_status(&crl, &authorities, UnixTime(NOW), Rules::default())
    };
    let base = || list(&root_name());
    let dated = |from: i64, to: i64| CrlParts::new(&root_name(), NOW + from, NOW + to);
    assert_eq!(ask(base(), &ROOT_KEY), (ListStatus::Current, Some(true)));
    assert_eq!(ask(dated(-DAY, 0), &ROOT_KEY), (ListStatus::Stale, Some(true)));
    assert_eq!(ask(dated(1, DAY), &ROOT_KEY), (ListStatus::NotYetValid, Some(true)));
    assert_eq!(ask(base(), &STRANGE_KEY), (ListStatus::BadSignature, Some(false)));
    assert_eq!(ask(list(&name("/CN=x")), &ROOT_KEY), (ListStatus::UnknownIssuer, None));
    let other_key = base().with(authority_key_id(&[tlv(0x80, b"other")]));
    assert_eq!(ask(other_key, &ROOT_KEY), (ListStatus::UnknownIssuer, None));
    for extension in [delta_of(1), idp(&[INDIRECT.to_vec()]), extension("1.2.3", true, &[5, 0])] {
        assert_eq!(ask(base().with(extension), &ROOT_KEY), (ListStatus::Unsupported, Some(true)));
    }
    let malformed = CrlParts { this_update: tlv(0x17, b"x"), ..base() };
    assert_eq!(ask(malformed, &ROOT_KEY), (ListStatus::MalformedDate, Some(true)));
}
