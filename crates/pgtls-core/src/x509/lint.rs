//! What strict readers and current rules object to in a certificate that OpenSSL reads.
//!
//! Owns the closed list of findings, [`Rule`], each with a severity and a reference. Nothing here
//! knows the time, whom the server trusts, or who may log in; the second opinion of the strict
//! reader comes from `strict`.

use openssl::nid::Nid;

use crate::asn1::der::{self, Reader};
use crate::asn1::oid::{self, Oid};
use crate::limits;
use crate::x509::certificate::Certificate;
use crate::x509::{decoded, strict};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// OpenSSL or PostgreSQL refuses it, or it does not protect.
    High,
    /// Some programs refuse it.
    Medium,
    /// It departs from a standard or from custom.
    Low,
    /// To be known.
    Info,
}

impl Severity {
    /// The word for it in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }
}

/// One thing in a certificate that a rule objects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What it found, as a clause.
    pub detail: String,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $id:literal $severity:ident $reference:literal,)*) => {
        /// The rules, in the order in which findings of one severity are told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* $rule,)* }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// The word for it in SQL.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$rule => $id,)* }
            }

            /// How much it matters.
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// Where the rule comes from.
            pub fn reference(self) -> &'static str {
                match self { $(Self::$rule => $reference,)* }
            }
        }
    };
}

rules! {
    /// A part that makes no sense.
    Malformed "malformed" High "RFC 5280, section 4",
    /// A critical extension that OpenSSL does not act upon.
    UnsupportedCriticalExtension "unsupported_critical_extension" High
        "RFC 5280, section 4.2; X509_supported_extension of OpenSSL",
    /// Signed with MD5 or an older digest.
    Md5Signature "md5_signature" High "RFC 6151, section 2",
    /// Signed with SHA-1.
    Sha1Signature "sha1_signature" High "NIST SP 800-131A Rev. 2, section 3; RFC 9155",
    /// A key that is too small.
    SmallKey "small_key" High "NIST SP 800-131A Rev. 2, section 3",
    /// A key that OpenSSL does not read.
    UnreadableKey "unreadable_key" High "RFC 5280, section 4.1.2.7",
    /// A name that PostgreSQL cannot write down.
    UnnamedAttribute "unnamed_attribute" High "X509_NAME_to_cstring of PostgreSQL",
    /// A common name with a NUL.
    NulInCommonName "nul_in_common_name" High "CVE-2009-4034",
    /// No name to log in by.
    NoLoginName "no_login_name" High "PostgreSQL documentation, Certificate Authentication",
    /// The strict reader does not read it.
    StrictRefusal "strict_refusal" Medium "RFC 5280, section 4.1",
    /// The strict reader's validator calls it wrong.
    StrictError "strict_error" Medium "RFC 5280, section 4.2",
    /// An extension whose value the strict reader does not read, or not all of it.
    UnreadableExtension "unreadable_extension" Medium "RFC 5280, section 4.2",
    /// Version 1.
    Version1 "version_1" Medium "RFC 5280, section 4.1.2.1",
    /// A serial number below one.
    SerialNotPositive "serial_not_positive" Medium "RFC 5280, section 4.1.2.2",
    /// A serial number of more than 20 octets.
    SerialTooLong "serial_too_long" Medium "RFC 5280, section 4.1.2.2",
    /// For clients, and issued by the rules of public CAs.
    ClientAuthPublicCa "client_auth_public_ca" Medium
        "Chrome Root Program Policy, dedicated TLS server authentication hierarchies",
    /// A common name that no role can have.
    LongCommonName "long_common_name" Low
        "PostgreSQL documentation, Identifiers and Key Words (NAMEDATALEN)",
    /// A name, but no common name.
    NoCommonName "no_common_name" Low "PostgreSQL documentation, Certificate Authentication",
    /// No purposes.
    NoExtendedKeyUsage "no_extended_key_usage" Low
        "RFC 5280, section 4.2.1.12; CA/Browser Forum Baseline Requirements, section 7.1.2.7",
    /// No subject alternative name.
    NoSan "no_san" Low
        "RFC 9525, section 2; CA/Browser Forum Baseline Requirements, section 7.1.2.7",
    /// Valid for more than 398 days.
    LongValidity "long_validity" Low "CA/Browser Forum Baseline Requirements, section 6.3.2",
    /// The strict reader's validator warns.
    StrictWarning "strict_warning" Low "RFC 5280, section 4.1",
    /// The strict reader was not asked.
    NotExamined "not_examined" Info "limit of pgtls_ext",
}

/// The smallest RSA and finite-field keys, and elliptic curves, with 112 bits of security.
const MIN_KEY_BITS: i64 = 2048;
const MIN_CURVE_BITS: i64 = 224;

/// Octets that a conforming user of certificates has to cope with in a serial number.
const MAX_SERIAL_OCTETS: usize = 20;

/// Bytes of the longest name of a role: PostgreSQL's NAMEDATALEN less one.
const MAX_ROLE_BYTES: usize = 63;

/// The longest validity of a certificate for servers. Public CAs have shorter limits since 2026.
const MAX_DAYS: i64 = 398;
const SECONDS_OF_DAY: i64 = 86_400;

/// What `X509_supported_extension` of OpenSSL 3 knows.
const SUPPORTED_EXTENSIONS: [&str; 15] = [
    "nsCertType",
    "keyUsage",
    "subjectAltName",
    "basicConstraints",
    "certificatePolicies",
    "crlDistributionPoints",
    "extendedKeyUsage",
    "sbgp-ipAddrBlock",
    "sbgp-autonomousSysNum",
    "noCheck",
    "policyConstraints",
    "proxyCertInfo",
    "nameConstraints",
    "policyMappings",
    "inhibitAnyPolicy",
];

/// All findings, the gravest first.
pub fn lint(certificate: &Certificate) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    syntax(certificate, &mut findings);
    second_opinion(certificate, &mut findings);
    signature_and_key(certificate, &mut findings);
    names(certificate, &mut findings);
    profile(certificate, &mut findings);
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| (finding.rule.severity(), finding.rule));
    findings
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, detail: impl Into<String>) {
        self.0.push(Finding { rule, detail: detail.into() });
    }
}

fn syntax(certificate: &Certificate, findings: &mut Findings) {
    let problems = certificate.problems();
    for problem in &problems {
        findings.add(Rule::Malformed, problem.to_string());
    }
    let decoded = decoded::extensions(certificate.extensions(), certificate.as_der().len());
    for (part, problem) in decoded.problems {
        // The limit has a finding of its own.
        if part != "extensions" && problems.iter().all(|known| known.part != part) {
            findings.add(Rule::UnreadableExtension, format!("{part}: {problem}"));
        }
    }
    for extension in certificate.extensions().filter(|extension| extension.critical) {
        let name = extension.oid.short();
        if !SUPPORTED_EXTENSIONS.contains(&name.as_ref()) {
            let detail = format!("OpenSSL does not support the critical extension {name}");
            findings.add(Rule::UnsupportedCriticalExtension, detail);
        }
    }
    if certificate.version() == Some(1) {
        findings.add(Rule::Version1, "version 1 has no extensions, so nothing limits its use");
    }
    let serial = certificate.serial().as_bytes();
    match serial {
        [0] => findings.add(Rule::SerialNotPositive, "the serial number is zero"),
        [0x80..=0xff, ..] => findings.add(Rule::SerialNotPositive, "the serial number is negative"),
        _ => {}
    }
    if serial.len() > MAX_SERIAL_OCTETS {
        let detail = format!("the serial number has {} octets", serial.len());
        findings.add(Rule::SerialTooLong, detail);
    }
}

fn second_opinion(certificate: &Certificate, findings: &mut Findings) {
    let size = certificate.as_der().len();
    if size > limits::MAX_STRICT_BYTES {
        let limit = limits::MAX_STRICT_BYTES;
        let detail =
            format!("a strict reader was not asked, because {size} bytes are over {limit}");
        return findings.add(Rule::NotExamined, detail);
    }
    let opinion = strict::certificate(certificate.as_der());
    if let Some(refusal) = opinion.refusal {
        findings.add(Rule::StrictRefusal, format!("a strict reader refuses it: {refusal}"));
    }
    // What has a rule of its own is not said twice.
    let is_new = |message: &String| {
        !message.starts_with("Serial number is negative")
            && !message.starts_with("Duplicate extension")
            && !message.starts_with("Parse error in extension")
    };
    for error in opinion.errors.into_iter().filter(is_new) {
        findings.add(Rule::StrictError, error);
    }
    for warning in opinion.warnings.into_iter().filter(is_new) {
        findings.add(Rule::StrictWarning, warning);
    }
}

fn signature_and_key(certificate: &Certificate, findings: &mut Findings) {
    // Nobody checks the signature of a root, which is trusted for being in the file of roots.
    if !certificate.self_signed() {
        let algorithm = certificate.signature_algorithm();
        match digest(certificate.signed_algorithm()) {
            Some(Nid::MD2 | Nid::MD4 | Nid::MD5) => {
                findings.add(Rule::Md5Signature, format!("signed with {algorithm}"));
            }
            Some(Nid::SHA1) => {
                findings.add(Rule::Sha1Signature, format!("signed with {algorithm} and SHA-1"));
            }
            _ => {}
        }
    }
    let algorithm = certificate.key_algorithm();
    let Some(bits) = certificate.key_bits() else {
        let detail = format!("OpenSSL does not read its key ({algorithm})");
        return findings.add(Rule::UnreadableKey, detail);
    };
    let least = match certificate.key_nid() {
        Nid::RSAENCRYPTION | Nid::RSASSAPSS | Nid::DSA | Nid::DHKEYAGREEMENT => MIN_KEY_BITS,
        Nid::X9_62_ID_ECPUBLICKEY => MIN_CURVE_BITS,
        _ => 0,
    };
    if bits < least {
        let detail = format!("the key ({algorithm}) has {bits} bits, fewer than {least}");
        findings.add(Rule::SmallKey, detail);
    }
}

/// The digest of a signature, from the type and the parameters of its algorithm.
fn digest(algorithm: &[u8]) -> Option<Nid> {
    let mut reader = Reader::new(algorithm, 0);
    let nid = Oid::from_element(&reader.expect(der::OBJECT, "an algorithm").ok()?).ok()?.nid();
    if nid != Nid::RSASSAPSS {
        return Some(nid.signature_algorithms()?.digest);
    }
    // Without parameters, or without a digest in them, it is SHA-1 (RFC 4055, section 3.1).
    let Some(parameters) = reader.optional(der::SEQUENCE).ok()? else { return Some(Nid::SHA1) };
    let Some(tagged) = parameters.inside().optional(0xa0).ok()? else { return Some(Nid::SHA1) };
    let mut algorithm = tagged.inside().expect(der::SEQUENCE, "a digest").ok()?.inside();
    let oid = algorithm.expect(der::OBJECT, "a digest").ok()?;
    Some(Oid::from_element(&oid).ok()?.nid())
}

/// Names by which nobody can log in.
fn names(certificate: &Certificate, findings: &mut Findings) {
    for (part, name) in [("subject", certificate.subject()), ("issuer", certificate.issuer())] {
        if let Some(oid) = name.unnamed_attribute_type() {
            let detail = format!(
                "the {part} has the attribute type {}, which OpenSSL has no name for; \
                 PostgreSQL ends a connection with it",
                oid.dotted(),
            );
            findings.add(Rule::UnnamedAttribute, detail);
        }
    }
    if is_ca(certificate) || !is_for(certificate, "clientAuth") {
        return;
    }
    let subject = certificate.subject();
    match subject.common_name_bytes() {
        Some(name) if name.contains(&0) => {
            let detail = "the common name has a NUL; PostgreSQL ends a connection with it";
            findings.add(Rule::NulInCommonName, detail);
        }
        Some(name) if name.len() > MAX_ROLE_BYTES => {
            let detail = format!(
                "the common name has {} bytes, and the name of a role at most {MAX_ROLE_BYTES}; \
                 only with a map can it log in",
                name.len(),
            );
            findings.add(Rule::LongCommonName, detail);
        }
        Some(name) if !name.is_empty() => {}
        _ if subject.is_empty() => {
            let detail = "the subject is empty; the method cert knows no other name of a client";
            findings.add(Rule::NoLoginName, detail);
        }
        _ => {
            let detail = "no common name; with the method cert only clientname=DN can let it in";
            findings.add(Rule::NoCommonName, detail);
        }
    }
}

/// What the profiles for certificates of servers and clients ask for.
fn profile(certificate: &Certificate, findings: &mut Findings) {
    if is_ca(certificate) {
        return;
    }
    let purposes = certificate.extended_key_usage();
    let has = |oid: &Oid<'_>| certificate.extensions().any(|extension| extension.oid == *oid);
    if !has(&oid::ids::EXTENDED_KEY_USAGE) {
        let detail = "no extended key usage, so it can be used for everything";
        findings.add(Rule::NoExtendedKeyUsage, detail);
    }
    let is_for_servers =
        is_for(certificate, "serverAuth") || is_for(certificate, "anyExtendedKeyUsage");
    if !has(&oid::ids::SUBJECT_ALT_NAME) && is_for_servers {
        let detail = "no subject alternative name; many clients do not look at the common name";
        findings.add(Rule::NoSan, detail);
    }
    if let (Some(from), Some(to)) = (certificate.not_before(), certificate.not_after()) {
        // Both ends belong to it.
        let seconds = to.0 - from.0 + 1;
        if seconds > MAX_DAYS * SECONDS_OF_DAY {
            let days = seconds / SECONDS_OF_DAY;
            let detail = format!("valid for {days} days, more than {MAX_DAYS}");
            findings.add(Rule::LongValidity, detail);
        }
    }
    let names_clients = purposes.is_some_and(|all| all.iter().any(|one| one == "clientAuth"));
    let sign = if has(&oid::ids::SCT_LIST) {
        Some("timestamps of certificate transparency logs")
    } else {
        has_public_policy(certificate).then_some("a policy of the CA/Browser Forum")
    };
    if let Some(sign) = sign.filter(|_| names_clients) {
        let detail = format!(
            "for clients, and by its {sign} from a public CA: anybody can get one there, \
             and public CAs cease to issue them"
        );
        findings.add(Rule::ClientAuthPublicCa, detail);
    }
}

fn is_ca(certificate: &Certificate) -> bool {
    certificate.is_ca() == Some(true)
}

/// Whether the extended key usage lets it be used for this; without it, everything does.
fn is_for(certificate: &Certificate, purpose: &str) -> bool {
    certificate.extended_key_usage().is_none_or(|all| all.iter().any(|one| one == purpose))
}

/// Whether one of the policies is one of 2.23.140.1, which only CAs under the forum's rules may
/// assert.
fn has_public_policy(certificate: &Certificate) -> bool {
    let below = oid::ids::CAB_FORUM_POLICIES;
    certificate
        .extensions()
        .filter(|extension| extension.oid == oid::ids::CERTIFICATE_POLICIES)
        .any(|extension| policies(extension.value).iter().any(|p| p.starts_with(below.as_bytes())))
}

/// The contents of the policies' identifiers, up to where the value breaks.
fn policies(value: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let Ok(list) = Reader::new(value, 0).expect_list(der::SEQUENCE, "policies") else {
        return found;
    };
    let mut reader = list.inside();
    while let Ok(policy) = reader.expect(der::SEQUENCE, "a policy") {
        match policy.inside().expect(der::OBJECT, "a policy identifier") {
            Ok(oid) => found.push(oid.content),
            Err(_) => break,
        }
    }
    found
}
