//! The what-if login: would this client get in, and if not, where is it stopped and what is it
//! told?
//!
//! Owns the order in which the server decides and the words it uses. All facts are given: the rules
//! and mappings, what OpenSSL says of the chain, what the catalogues say of role and database. What
//! only another system knows stays unknown.
//!
//! Invariants: the steps are in the server's order, and the verdict is that of the first step that
//! fails. Steps after it are still looked at, because whoever asks wants to repair everything at
//! once; but what can only be told when an earlier step is repaired is skipped, never said to fail.
//! Words of our own are ASCII, so that every database can show them.

use crate::asn1::oid::Oid;
use crate::login::access::Surroundings;
use crate::login::facts::{Crls, Facts, HandshakeRefusal, KeyUse, Password, Question, Replication};
use crate::login::hba::{self, Client, ClientCertificate, ClientName, Method, Rule};
use crate::login::hint;
use crate::login::ident::{self, Decision};
use crate::login::step::{Check, Explanation, Outcome, Step, Words};
use crate::text::{lossless, on_one_line};
use crate::time::UnixTime;
use crate::verify::host_name;
use crate::verify::judgement::Judgement;
use crate::verify::verdict::{Refusal, Unreadable, Verdict};
use crate::verify::verify_error::Topic;
use crate::x509::certificate::Certificate;

/// What the server says when it has to write down a name of which OpenSSL cannot name an attribute
/// type.
const NO_NAME_FOR_ATTRIBUTE: &str = "could not get NID for ASN1_OBJECT object";

/// What a client is told that `pgtls_ext.require_tls` refuses.
pub const PLAINTEXT_REFUSED: &str = "connections over TCP without TLS are not allowed";

/// Why a client that has a certificate sends none.
const KEY_NOT_SENT: &str = "the client does not send its certificate: its key goes with no \
    signature algorithm that it and the server have in common";

/// The kind of a certificate's key.
fn key_of(leaf: &Certificate) -> String {
    let curve = leaf.key_curve().map(|curve| format!(" on {curve}")).unwrap_or_default();
    format!("{}{curve}", leaf.key_algorithm())
}

/// The attribute type because of which the server cannot write down a name of this certificate, if
/// it cannot.
fn unnamed_attribute_type(certificate: &Certificate) -> Option<Oid<'_>> {
    [certificate.subject(), certificate.issuer()]
        .into_iter()
        .find_map(crate::x509::name::Name::unnamed_attribute_type)
}

/// What client and log are told of a refused chain; in the log with or without the certificate.
fn refusal_words(refusal: &Refusal, with_detail: bool) -> Words {
    let (alert, number) = refusal.alert();
    let mut log = format!("LOG: could not accept SSL connection: {}", refusal.logged);
    if with_detail {
        log.push_str("\nDETAIL: ");
        log.push_str(&refusal.logged_detail());
    }
    Words { client: format!("TLS alert \"{alert}\" ({number})"), log: Some(log) }
}

/// What OpenSSL says where client and server have no protocol version in common.
const NO_SHARED_VERSION: &str = "unsupported protocol";

/// What client and log are told of a handshake that the server ends.
fn refused_handshake(refusal: &HandshakeRefusal) -> Words {
    let (alert, number) = &refusal.alert;
    Words {
        client: format!("TLS alert \"{alert}\" ({number})"),
        log: Some(format!("LOG: could not accept SSL connection: {}", refusal.logged)),
    }
}

/// The protocol versions between these limits, as the server names them where one is not set.
fn protocol_range([min, max]: &[String; 2]) -> (&str, &str) {
    (if min.is_empty() { "TLSv1" } else { min }, if max.is_empty() { "TLSv1.3" } else { max })
}

/// What libpq has against the server's certificate.
struct Objection {
    /// The values of `sslmode` with which it does.
    modes: &'static str,
    /// In its words.
    says: String,
    /// What to do.
    hint: String,
}

/// What it is, of a client that trusts the server's CA.
fn objection_to(certificate: &Certificate, host: &str, at: UnixTime) -> Option<Objection> {
    let verifying = "sslmode=verify-ca and verify-full";
    let refused = |why: &str| format!("SSL error: certificate verify failed ({why})");
    if certificate.not_after().is_some_and(|end| end < at) {
        return Some(Objection {
            modes: verifying,
            says: refused("certificate has expired"),
            hint: hint::SERVER_EXPIRED.to_owned(),
        });
    }
    if certificate.not_before().is_some_and(|start| start > at) {
        return Some(Objection {
            modes: verifying,
            says: refused("certificate is not yet valid"),
            hint: hint::SERVER_NOT_YET_VALID.to_owned(),
        });
    }
    let says = host_name::objection(certificate, host)?;
    Some(Objection { modes: "sslmode=verify-full", says, hint: hint::host_name(certificate, host) })
}

/// The steps about which OpenSSL is asked.
const TRUST: [Check; 4] = [Check::Chain, Check::Purpose, Check::Revocation, Check::Validity];

/// What its answers can be about.
const TOPICS: [Topic; 4] = [Topic::Chain, Topic::Purpose, Topic::Revocation, Topic::Validity];

fn step_about(topic: Topic) -> Check {
    match topic {
        Topic::Chain => Check::Chain,
        Topic::Purpose => Check::Purpose,
        Topic::Revocation => Check::Revocation,
        Topic::Validity => Check::Validity,
    }
}

/// Goes through a login as the server would.
pub fn explain(
    question: &Question<'_>,
    facts: &Facts<'_>,
    around: &Surroundings<'_>,
) -> Explanation {
    let mut login = Login { question, facts, around, steps: Vec::new(), asks_password: false };
    login.configuration();
    login.tls();
    login.server_certificate();
    login.certificate();
    // Every connection takes a slot before anything is known of its role.
    let full = !facts.slots.for_superusers && !question.replication.is_walsender();
    if full {
        login.connection_slots();
    }
    login.authentication();
    login.require_tls();
    login.role();
    if around.version.reports_tls_before_database() {
        login.reporting();
    }
    if !full {
        login.connection_slots();
    }
    login.replication();
    login.database();
    if !around.version.reports_tls_before_database() {
        login.reporting();
    }
    login.verdict();
    Explanation { asks_password: login.asks_password, steps: login.steps }
}

/// A login on its way.
struct Login<'a> {
    question: &'a Question<'a>,
    facts: &'a Facts<'a>,
    around: &'a Surroundings<'a>,
    steps: Vec<Step>,
    /// Whether the rule asks for a password, which is taken to be right.
    asks_password: bool,
}

impl<'a> Login<'a> {
    // --- What is asked
    // -----------------------------------------------------------------------------------------

    fn role_name(&self) -> String {
        lossless(self.question.role).into_owned()
    }

    fn database_name(&self) -> String {
        lossless(self.question.database).into_owned()
    }

    /// Whether the connection is encrypted: never over the Unix socket.
    fn uses_tls(&self) -> bool {
        self.question.tls && self.question.address.is_some()
    }

    /// The client's own certificate, if the server gets to see it.
    fn presented(&self) -> Option<&'a Certificate> {
        let asked = self.uses_tls() && self.facts.tls.ca_file.is_some();
        let sent = self.facts.key_use != Some(KeyUse::NotSent);
        self.question.certificates.first().filter(|_| asked && sent)
    }

    // --- Steps
    // -------------------------------------------------------------------------------------------------

    fn step(
        &mut self,
        check: Check,
        outcome: Outcome,
        detail: impl Into<String>,
        source: Option<String>,
    ) {
        self.steps.push(Step {
            check,
            outcome,
            detail: detail.into(),
            source,
            hint: None,
            words: None,
        });
    }

    fn fail(
        &mut self,
        check: Check,
        detail: impl Into<String>,
        source: Option<String>,
        words: Words,
    ) {
        self.steps.push(Step {
            check,
            outcome: Outcome::Failed,
            detail: detail.into(),
            source,
            hint: None,
            words: Some(words),
        });
    }

    /// What to do about the last step.
    fn hint(&mut self, hint: impl Into<String>) {
        if let Some(step) = self.steps.last_mut() {
            step.hint = Some(hint.into());
        }
    }

    fn has_failed(&self, check: Check) -> bool {
        self.steps.iter().any(|step| step.check == check && step.outcome == Outcome::Failed)
    }

    fn skip(&mut self, checks: &[Check], why: &str) {
        for check in checks {
            self.step(*check, Outcome::Skipped, why, None);
        }
    }

    fn configuration(&mut self) {
        for remark in &self.facts.remarks {
            let source = Some(remark.source.clone());
            self.step(Check::Configuration, Outcome::Warning, remark.detail.clone(), source);
            self.hint(hint::NOT_IN_FORCE);
        }
        if self.facts.remarks.is_empty() {
            let detail = "the files have not changed since the server loaded its configuration";
            self.step(Check::Configuration, Outcome::Ok, detail, None);
        }
    }

    fn tls(&mut self) {
        if self.question.address.is_none() {
            let detail = "Unix socket: no TLS, rules of the kind local can match";
            self.step(Check::Tls, Outcome::Ok, detail, None);
        } else if !self.question.tls {
            let detail = "no TLS: rules of the kinds host, hostnossl and hostnogssenc can match";
            self.step(Check::Tls, Outcome::Ok, detail, None);
        } else if let Some(refusal) =
            self.facts.version_refusal.as_ref().filter(|_| self.facts.tls.enabled)
        {
            self.refused_version(refusal);
        } else if self.facts.tls.enabled {
            let detail = "TLS: rules of the kinds host, hostssl and hostnogssenc can match";
            self.step(Check::Tls, Outcome::Ok, detail, Some("ssl".to_owned()));
        } else {
            let client = "server does not support SSL, but SSL was required".to_owned();
            let words = Words { client, log: None };
            self.fail(Check::Tls, "the server has ssl = off", Some("ssl".to_owned()), words);
            self.hint(hint::TLS_OFF);
        }
    }

    /// The client speaks a protocol version that the server does not take.
    fn refused_version(&mut self, refusal: &HandshakeRefusal) {
        let version = self.question.protocol_version.unwrap_or_default();
        let limits = &self.facts.tls.protocol_limits;
        let (min, max) = protocol_range(limits);
        let mut words = refused_handshake(refusal);
        if let Some(log) = words.log.as_mut().filter(|_| refusal.logged == NO_SHARED_VERSION) {
            // As be_tls_open_server() adds it.
            log.push_str(&format!(
                "\nHINT: This may indicate that the client does not support any SSL protocol \
                 version between {min} and {max}."
            ));
        }
        let detail = format!("the server does not take {version} (\"{}\")", refusal.logged);
        let source = "ssl_min_protocol_version, ssl_max_protocol_version".to_owned();
        self.fail(Check::Tls, detail, Some(source), words);
        self.hint(hint::protocol_version(version, (min, max)));
    }

    /// Whether a client that verifies the server takes its certificate under the name that it
    /// connects to. Most do not verify (`sslmode`), so nothing fails here.
    fn server_certificate(&mut self) {
        let Some(host) = self.question.host.filter(|_| self.uses_tls()) else { return };
        let check = Check::ServerCertificate;
        match &self.facts.server_certificate {
            None => {}
            Some(Err(why)) => self.step(check, Outcome::Unknown, why, None),
            Some(Ok(certificate)) => {
                let subject = certificate.subject().oneline();
                match objection_to(certificate, host, self.question.at) {
                    None => {
                        let detail =
                            format!("{subject}: libpq takes it for \"{}\"", on_one_line(host));
                        self.step(check, Outcome::Ok, detail, None);
                    }
                    Some(Objection { modes, says, hint }) => {
                        let detail = format!("{subject}: with {modes} libpq says: {says}");
                        self.step(check, Outcome::Warning, detail, None);
                        self.hint(hint);
                    }
                }
            }
        }
    }

    /// What TLS has to say about the certificate: OpenSSL's verdict, then the server's own reading
    /// of the subject.
    fn certificate(&mut self) {
        const JUDGED: &[Check] = &[
            Check::Chain,
            Check::Purpose,
            Check::Revocation,
            Check::Validity,
            Check::Key,
            Check::Subject,
        ];
        let Some(leaf) = self.presented() else {
            let why = if !self.uses_tls() {
                "without TLS the client sends no certificate"
            } else if self.question.certificates.is_empty() {
                "the client has no certificate"
            } else if self.facts.tls.ca_file.is_some() {
                KEY_NOT_SENT
            } else {
                "ssl_ca_file is not set, so the server does not ask for a certificate"
            };
            return self.skip(JUDGED, why);
        };
        self.chain();
        let is_unreadable = matches!(&self.facts.trust,
            Some(Ok(judgement)) if matches!(judgement.verdict, Verdict::Unreadable(_)));
        if !is_unreadable {
            self.key(leaf);
            self.subject(leaf);
        }
    }

    /// Whether the client's key goes with protocol version, groups and signature algorithms.
    fn key(&mut self, leaf: &Certificate) {
        let key = key_of(leaf);
        match &self.facts.key_use {
            None => self.skip(&[Check::Key], "nothing is known against keys of this kind"),
            Some(KeyUse::Usable | KeyUse::NotSent) => {
                let detail = format!("{key}: can be used with what the server offers");
                self.step(Check::Key, Outcome::Ok, detail, None);
            }
            Some(KeyUse::Refused(refusal)) => {
                let detail = format!(
                    "{key}: cannot be used with what the server offers ({})",
                    refusal.logged
                );
                self.fail(Check::Key, detail, None, refused_handshake(refusal));
                self.hint(hint::KEY);
            }
        }
    }

    fn chain(&mut self) {
        let ca_file = self.facts.tls.ca_file.clone();
        match &self.facts.trust {
            None => self.step(Check::Chain, Outcome::Unknown, "the chain was not judged", ca_file),
            Some(Err(problem)) => self.step(Check::Chain, Outcome::Unknown, problem, ca_file),
            Some(Ok(judgement)) => match &judgement.verdict {
                Verdict::Trusted(_) => {
                    for check in TRUST {
                        self.nothing_against(check, judgement);
                    }
                }
                Verdict::Refused(refusal) => self.refused_chain(refusal, judgement),
                Verdict::Unreadable(unreadable) => self.unreadable_chain(unreadable),
            },
        }
    }

    /// A certificate that the server cannot even read.
    fn unreadable_chain(&mut self, unreadable: &Unreadable) {
        let (alert, number) = Unreadable::ALERT;
        let words = Words {
            client: format!("TLS alert \"{alert}\" ({number})"),
            log: Some(format!("LOG: could not accept SSL connection: {}", unreadable.logged)),
        };
        let detail = match self.question.certificates.len() {
            1 => format!("the server cannot read the certificate: {}", unreadable.problem),
            _ => format!(
                "the server cannot read certificate number {}: {}",
                unreadable.position, unreadable.problem
            ),
        };
        self.fail(Check::Chain, detail, None, words);
        self.hint(hint::UNREADABLE);
        let judged =
            [Check::Purpose, Check::Revocation, Check::Validity, Check::Key, Check::Subject];
        self.skip(&judged, "the server cannot read the certificate");
    }

    /// The step of a question to OpenSSL that it has no objection to.
    fn nothing_against(&mut self, check: Check, judgement: &Judgement) {
        let (detail, source) = match check {
            Check::Chain => (judgement.subjects(), self.facts.tls.ca_file.clone()),
            Check::Purpose => ("good for TLS clients".to_owned(), None),
            Check::Revocation if self.facts.tls.crls.is_empty() => {
                return self.skip(
                    &[Check::Revocation],
                    "neither ssl_crl_file nor ssl_crl_dir is set: revocation is not checked",
                );
            }
            Check::Revocation => {
                let detail = match self.question.crls {
                    Crls::AsTheyAre => "no certificate of the chain is revoked",
                    Crls::AsIfRenewed => {
                        "no certificate of the chain is revoked; CRLs that have ended by then \
                         are taken to be renewed"
                    }
                };
                (detail.to_owned(), Some(self.facts.tls.crls.join(", ")))
            }
            _ => {
                let at = self.question.at;
                (format!("every certificate of the chain is valid at {at}"), None)
            }
        };
        self.step(check, Outcome::Ok, detail, source);
    }

    /// OpenSSL stops at the first error, and so does the server. What else it would find is looked
    /// at all the same, as far as it does not only follow from a chain that leads nowhere.
    fn refused_chain(&mut self, refusal: &Refusal, judgement: &Judgement) {
        let decisive = step_about(refusal.topic());
        let also = |check: Check| {
            TOPICS
                .into_iter()
                .find(|topic| step_about(*topic) == check)
                .and_then(|topic| judgement.also_about(topic))
        };
        let mut order = TRUST.to_vec();
        let earlier = order.iter().take_while(|check| **check != decisive);
        if earlier.copied().any(|check| also(check).is_some()) {
            // The verdict is that of the first step that fails.
            order.retain(|check| *check != decisive);
            order.insert(0, decisive);
        }
        let leads_nowhere = decisive == Check::Chain || also(Check::Chain).is_some();
        for check in order {
            match also(check) {
                _ if check == decisive => self.refused_step(check, refusal, judgement),
                Some(_) if leads_nowhere && matches!(check, Check::Purpose | Check::Revocation) => {
                    self.skip(&[check], "it depends on the chain");
                }
                Some(refusal) => self.refused_step(check, refusal, judgement),
                None if leads_nowhere => self.skip(&[check], "it depends on the chain"),
                None => self.nothing_against(check, judgement),
            }
        }
    }

    fn refused_step(&mut self, check: Check, refusal: &Refusal, judgement: &Judgement) {
        let source = match check {
            Check::Chain => self.facts.tls.ca_file.clone(),
            Check::Revocation => Some(self.facts.tls.crls.join(", ")),
            _ => None,
        };
        let described = |certificate: &Certificate| {
            let (subject, serial) = (certificate.subject(), certificate.serial());
            format!("{} (serial {})", subject.oneline(), serial.decimal())
        };
        let certificate = refusal.certificate.as_deref();
        let described = certificate.map_or("no certificate".to_owned(), described);
        let detail = format!(
            "{} (OpenSSL error {}) at depth {}: {described}",
            refusal.text, refusal.code, refusal.depth
        );
        let tells = self.around.version.logs_certificate_errors();
        let words = match certificate.filter(|_| tells).and_then(unnamed_attribute_type) {
            // It fails to describe the certificate, and with that the connection ends, before any
            // alert.
            Some(_) => Words {
                client: "the connection is closed without a message".to_owned(),
                log: Some(format!("FATAL: {NO_NAME_FOR_ATTRIBUTE}")),
            },
            None => refusal_words(refusal, tells),
        };
        self.fail(check, detail, source, words);
        let sent = self.question.certificates;
        if let Some(hint) = hint::chain(refusal, judgement, sent, &self.facts.tls.crls) {
            self.hint(hint);
        }
    }

    fn subject(&mut self, leaf: &Certificate) {
        let name = leaf.subject().common_name_bytes().unwrap_or_default();
        if !name.contains(&0) {
            let subject = leaf.subject().rfc2253().to_owned();
            return self.step(Check::Subject, Outcome::Ok, subject, None);
        }
        let words = Words {
            client: "the connection is closed without a message".to_owned(),
            log: Some("LOG: SSL certificate's common name contains embedded null".to_owned()),
        };
        self.fail(Check::Subject, "the common name holds a null byte", None, words);
        self.hint(hint::NULL_BYTE);
    }

    /// From the choice of the rule to the comparison of the certificate's name.
    fn authentication(&mut self) {
        const AFTER_RULE: &[Check] =
            &[Check::ClientCertificate, Check::Authentication, Check::Identity, Check::Mapping];
        if let Some(problem) = hba::problem(self.facts.rules) {
            let detail = format!(
                "the server does not load pg_hba.conf as it is ({problem}), and keeps the rules it had"
            );
            self.step(Check::HbaRule, Outcome::Unknown, detail, None);
            return self.skip(AFTER_RULE, "the rule is not known");
        }
        let client = Client {
            address: self.question.address,
            tls: self.uses_tls(),
            role: self.question.role,
            database: Some(self.question.database).filter(|_| !self.is_physical()),
        };
        let Some((line, rule)) = hba::first_match(self.facts.rules, &client, self.around) else {
            let kind = if self.is_physical() { "replication connection from " } else { "" };
            let message = format!("no pg_hba.conf entry for {kind}{}", self.connection());
            let words = Words::fatal(message, None, None);
            self.fail(Check::HbaRule, "no rule matches", None, words);
            self.hint(hint::rule(self.facts.rules, &client, self.around, None));
            return self.skip(AFTER_RULE, "there is no rule");
        };
        let place = line.place();
        // A rule that refuses can still ask for a certificate first.
        if rule.method == Method::Reject && self.certificate_demand(rule).is_ok() {
            let kind = if self.is_physical() { "replication " } else { "" };
            let message = format!("pg_hba.conf rejects {kind}connection for {}", self.connection());
            let words = Words::fatal(message, None, None);
            self.fail(Check::HbaRule, "the rule says reject", Some(place.clone()), words);
            self.hint(hint::rule(self.facts.rules, &client, self.around, Some(&place)));
            return self.skip(AFTER_RULE, "the rule says reject");
        }
        self.step(Check::HbaRule, Outcome::Ok, rule.to_string(), Some(place.clone()));
        self.client_certificate(rule, &place);
        self.method(rule, &place);
        self.name(rule, &place);
    }

    /// Whether it is a connection for physical replication, which has no database.
    fn is_physical(&self) -> bool {
        self.question.replication == Replication::Physical
    }

    /// `host "…", user "…", database "…", SSL encryption`, as in the server's messages.
    fn connection(&self) -> String {
        let host = self.question.address.map_or("[local]".to_owned(), |a| a.to_string());
        let encryption = if self.uses_tls() { "SSL encryption" } else { "no encryption" };
        let role = self.role_name();
        if self.is_physical() {
            return format!("host \"{host}\", user \"{role}\", {encryption}");
        }
        let database = self.database_name();
        format!("host \"{host}\", user \"{role}\", database \"{database}\", {encryption}")
    }

    /// Whether the rule's demand for a certificate is met; else what is missing, and the server's
    /// words.
    fn certificate_demand(&self, rule: &Rule) -> Result<(), (&'static str, &'static str)> {
        if rule.client_certificate == ClientCertificate::Optional {
            Ok(())
        } else if self.facts.tls.ca_file.is_none() {
            let message =
                "client certificates can only be checked if a root certificate store is available";
            Err(("ssl_ca_file is not set", message))
        } else if self.presented().is_none() {
            let missing = match self.question.certificates.is_empty() {
                true => "the client has no certificate",
                false => KEY_NOT_SENT,
            };
            Err((missing, "connection requires a valid client certificate"))
        } else {
            Ok(())
        }
    }

    fn client_certificate(&mut self, rule: &Rule, place: &str) {
        let place = Some(place.to_owned());
        match self.certificate_demand(rule) {
            Err((missing, message)) => {
                let words = Words::fatal(message.to_owned(), None, None);
                self.fail(Check::ClientCertificate, missing, place, words);
                self.hint(match missing {
                    KEY_NOT_SENT => hint::KEY,
                    _ => hint::certificate_missing(self.facts.tls.ca_file.is_some()),
                });
            }
            Ok(()) if rule.client_certificate == ClientCertificate::Optional => {
                self.skip(&[Check::ClientCertificate], "the rule asks for none");
            }
            Ok(()) => {
                let detail = "the rule asks for a certificate, and the client sends one";
                self.step(Check::ClientCertificate, Outcome::Ok, detail, place);
            }
        }
    }

    fn method(&mut self, rule: &Rule, place: &str) {
        let place = Some(place.to_owned());
        match rule.method {
            Method::Cert if self.certificate_demand(rule).is_err() => {
                self.skip(&[Check::Authentication], "there is no certificate");
            }
            Method::Reject => {
                self.skip(&[Check::Authentication], "the rule says reject");
            }
            Method::Trust => {
                let detail = "trust: nothing is asked of the client";
                self.step(Check::Authentication, Outcome::Ok, detail, place);
            }
            Method::Cert => {
                let detail = "cert: the name in the certificate decides";
                self.step(Check::Authentication, Outcome::Ok, detail, place);
            }
            Method::External(name) => {
                let detail = format!("{name}: only another system can tell");
                self.step(Check::Authentication, Outcome::Unknown, detail, place);
            }
            Method::Password | Method::Md5 | Method::Scram => self.password(rule, place),
        }
    }

    fn password(&mut self, rule: &Rule, place: Option<String>) {
        self.asks_password = true;
        let role = self.role_name();
        let problem = match &self.facts.role {
            None => Some(format!("Role \"{role}\" does not exist.")),
            Some(facts) if facts.password == Password::None => {
                Some(format!("User \"{role}\" has no password assigned."))
            }
            Some(facts) if facts.valid_until.is_some_and(|until| until < self.question.at) => {
                Some(format!("User \"{role}\" has an expired password."))
            }
            Some(facts) if rule.method == Method::Scram && facts.password == Password::Md5 => {
                Some(format!("User \"{role}\" does not have a valid SCRAM secret."))
            }
            Some(_) => None,
        };
        match problem {
            None => {
                let detail = format!("{}: admitted if the password is right", rule.method.name());
                self.step(Check::Authentication, Outcome::Ok, detail, place);
            }
            Some(problem) => {
                let words = self.auth_failed(rule, None, Some(problem.clone()));
                self.fail(Check::Authentication, problem, place, words);
                self.hint(match &self.facts.role {
                    None => hint::create_role(self.question.role),
                    Some(_) => hint::password(self.question.role),
                });
            }
        }
    }

    /// The words of the server's `auth_failed`.
    fn auth_failed(&self, rule: &Rule, logged: Option<String>, detail: Option<String>) -> Words {
        let what = match rule.method {
            Method::Reject => "authentication failed for user",
            Method::Trust => "\"trust\" authentication failed for user",
            Method::Password | Method::Md5 | Method::Scram => {
                "password authentication failed for user"
            }
            Method::Cert => "certificate authentication failed for user",
            Method::External("ident") => "Ident authentication failed for user",
            Method::External("peer") => "Peer authentication failed for user",
            Method::External("gss") => "GSSAPI authentication failed for user",
            Method::External("oauth") => "OAuth bearer authentication failed for user",
            Method::External(name) => {
                let name = name.to_uppercase();
                let message =
                    format!("{name} authentication failed for user \"{}\"", self.role_name());
                return Words::fatal(message, logged, detail);
            }
        };
        Words::fatal(format!("{what} \"{}\"", self.role_name()), logged, detail)
    }

    /// The name that is taken from the certificate, and whether it may be the role.
    fn name(&mut self, rule: &Rule, place: &str) {
        const NAMES: &[Check] = &[Check::Identity, Check::Mapping];
        if !rule.compares_name() {
            return self.skip(NAMES, "the rule does not compare the certificate with the role");
        }
        let Some(leaf) = self.presented() else {
            return self.skip(NAMES, "there is no certificate");
        };
        if self.has_failed(Check::Subject) {
            return self.skip(NAMES, "the server does not take the subject");
        }
        let identity = identity(leaf, rule.client_name);
        if identity.is_empty() {
            let role = self.role_name();
            let logged = format!(
                "certificate authentication failed for user \"{role}\": client certificate contains no user name"
            );
            let words = self.auth_failed(rule, Some(logged), None);
            let mut detail = format!("the certificate has no {}", rule.client_name);
            if leaf.san().is_some_and(|names| !names.is_empty()) {
                detail.push_str("; alternative names are not looked at");
            }
            self.fail(Check::Identity, detail, Some(place.to_owned()), words);
            self.hint(hint::no_name(rule.client_name));
            return self.skip(&[Check::Mapping], "there is no name to map");
        }
        let name = lossless(&identity).into_owned();
        let detail = match common_names(leaf) {
            count @ 2.. if rule.client_name == ClientName::CommonName => {
                format!("CN: {name} (the first of {count} in the subject)")
            }
            _ => format!("{}: {name}", rule.client_name),
        };
        self.step(Check::Identity, Outcome::Ok, detail, Some(place.to_owned()));
        self.mapping(rule, place, &identity);
    }

    fn mapping(&mut self, rule: &Rule, place: &str, identity: &[u8]) {
        let (role, name) = (self.role_name(), lossless(identity).into_owned());
        let place = Some(place.to_owned());
        let Some(map) = rule.map.as_deref().filter(|map| !map.is_empty()) else {
            if identity == self.question.role {
                let detail = "the name in the certificate is the name of the role";
                return self.step(Check::Mapping, Outcome::Ok, detail, place);
            }
            let logged = format!(
                "provided user name ({role}) and authenticated user name ({name}) do not match"
            );
            let detail = format!("the name in the certificate, {name}, is not the role's, {role}");
            self.unmapped(rule, &detail, place, logged);
            return self.hint(hint::names_differ(self.question.role, identity));
        };
        if let Some(problem) = ident::problem(self.facts.mappings) {
            let detail = format!(
                "the server does not load pg_ident.conf as it is ({problem}), and keeps the mappings it had"
            );
            return self.step(Check::Mapping, Outcome::Unknown, detail, place);
        }
        let map_name = lossless(map).into_owned();
        let candidates = ident::candidates(self.facts.mappings, map, identity, self.around);
        match ident::decide(&candidates, self.question.role, self.around) {
            Decision::Admitted(line) => {
                let detail = format!("map {map_name} lets {name} be {role}");
                self.step(Check::Mapping, Outcome::Ok, detail, Some(line.place()));
            }
            Decision::Failed(line, reason) => {
                let place = line.place();
                self.unmapped(rule, &reason, Some(place.clone()), reason.clone());
                self.hint(hint::broken_mapping(&place));
            }
            Decision::NoMatch => {
                let detail = format!("no line of map {map_name} lets {name} be {role}");
                let logged = format!(
                    "no match in usermap \"{map_name}\" for user \"{role}\" authenticated as \"{name}\""
                );
                self.unmapped(rule, &detail, place, logged);
                let lines = self.facts.mappings;
                self.hint(hint::no_line(lines, map, &candidates, identity, self.question.role));
            }
        }
    }

    fn unmapped(&mut self, rule: &Rule, detail: &str, source: Option<String>, logged: String) {
        let mut logged = logged;
        if rule.method != Method::Cert {
            logged.push_str(&format!(
                "\nLOG: certificate validation (clientcert=verify-full) failed for user \"{}\": {} mismatch",
                self.role_name(),
                rule.client_name
            ));
        }
        let words = self.auth_failed(rule, Some(logged), None);
        self.fail(Check::Mapping, detail, source, words);
    }

    /// What the extension itself does when the client is who it says it is
    /// (`pgtls_ext.require_tls`).
    fn require_tls(&mut self) {
        let source = || Some("pgtls_ext.require_tls".to_owned());
        if !self.facts.require_tls {
            self.skip(&[Check::RequireTls], "pgtls_ext.require_tls is off");
        } else if self.question.address.is_none() {
            let detail = "connections over the Unix socket are exempt";
            self.step(Check::RequireTls, Outcome::Ok, detail, source());
        } else if self.uses_tls() {
            let detail = "the connection is encrypted with TLS";
            self.step(Check::RequireTls, Outcome::Ok, detail, source());
        } else {
            let detail = "pgtls_ext.require_tls is on, and the client uses no TLS";
            let words = Words::fatal(PLAINTEXT_REFUSED.to_owned(), None, None);
            self.fail(Check::RequireTls, detail, source(), words);
            self.hint(hint::REQUIRE_TLS);
        }
    }

    /// Whether a limit on connections that is used up keeps this one out.
    fn is_limited(&self) -> bool {
        self.facts.limits_walsenders || !self.question.replication.is_walsender()
    }

    fn role(&mut self) {
        if self.facts.role.is_none() && self.has_failed(Check::Authentication) {
            let why = "the role does not exist, which is why it cannot be authenticated";
            return self.skip(&[Check::Role], why);
        }
        let role = self.role_name();
        let source = Some("pg_roles".to_owned());
        let (detail, message) = match &self.facts.role {
            None => ("the role does not exist", format!("role \"{role}\" does not exist")),
            Some(facts) if !facts.may_log_in => {
                ("the role has no LOGIN", format!("role \"{role}\" is not permitted to log in"))
            }
            Some(facts) if facts.limit_reached && self.is_limited() && !facts.superuser => (
                "the limit on the role's connections is used up",
                format!("too many connections for role \"{role}\""),
            ),
            Some(_) => {
                return self.step(Check::Role, Outcome::Ok, "the role may log in", source);
            }
        };
        self.fail(Check::Role, detail, source, Words::fatal(message, None, None));
        let role = self.question.role;
        self.hint(match &self.facts.role {
            None => hint::create_role(role),
            Some(facts) if !facts.may_log_in => hint::allow_login(role),
            Some(_) => hint::raise_limit("ROLE", role),
        });
    }

    fn connection_slots(&mut self) {
        if self.question.replication.is_walsender() {
            let why = "connections for replication have a limit of their own, max_wal_senders, \
                       which is not looked at";
            return self.skip(&[Check::ConnectionSlots], why);
        }
        let source = Some("max_connections".to_owned());
        let slots = self.facts.slots;
        let superuser = self.facts.role.as_ref().is_some_and(|role| role.superuser);
        let reserved = self.facts.role.as_ref().is_some_and(|role| role.may_use_reserved);
        let depends_on_role = slots.for_superusers && !slots.for_everybody;
        if depends_on_role && self.facts.role.is_none() {
            let why = "the role does not exist, so it is not known whether it may use the \
                       reserved connections";
            return self.skip(&[Check::ConnectionSlots], why);
        }
        let message = if !slots.for_superusers {
            "sorry, too many clients already".to_owned()
        } else if superuser || slots.for_everybody {
            let detail = "there is a free connection";
            return self.step(Check::ConnectionSlots, Outcome::Ok, detail, source);
        } else if slots.for_reserved {
            if reserved {
                let detail = "there is a free connection among the reserved ones";
                return self.step(Check::ConnectionSlots, Outcome::Ok, detail, source);
            }
            "remaining connection slots are reserved for roles with privileges of the \"pg_use_reserved_connections\" role".to_owned()
        } else {
            self.around.version.reserved_for_superusers().to_owned()
        };
        let detail = "no connection is free for this role";
        self.fail(Check::ConnectionSlots, detail, source, Words::fatal(message, None, None));
        self.hint(hint::NO_SLOT);
    }

    /// Whether the role may start a walsender.
    fn replication(&mut self) {
        let source = || Some("pg_roles".to_owned());
        let Some(facts) = &self.facts.role else {
            let why = match self.question.replication.is_walsender() {
                true => "the role does not exist, so nothing is known of its attributes",
                false => "the connection is not one for replication",
            };
            return self.skip(&[Check::Replication], why);
        };
        let (database, role) = (self.question.database, self.role_name());
        match self.question.replication {
            Replication::Physical | Replication::Logical
                if facts.replication || facts.superuser =>
            {
                let detail = match facts.replication {
                    true => "the role has the attribute REPLICATION",
                    false => "the role is a superuser, who may replicate",
                };
                self.step(Check::Replication, Outcome::Ok, detail, source());
            }
            Replication::Physical | Replication::Logical => {
                let (message, detail) = self.around.version.may_not_replicate();
                let words = Words::fatal(message.to_owned(), None, detail.map(str::to_owned));
                let detail = "the role lacks the attribute REPLICATION";
                self.fail(Check::Replication, detail, source(), words);
                self.hint(hint::allow_replication(self.question.role));
            }
            Replication::NotSaid if self.facts.database.is_none() && database == b"replication" => {
                let detail = "this is the answer for a database named replication, which does \
                              not exist; for physical replication, pass replication => true and \
                              NULL for the database";
                self.step(Check::Replication, Outcome::Warning, detail, None);
            }
            Replication::NotSaid if facts.replication => {
                let detail = format!(
                    "role {role} has the attribute REPLICATION, and this is the answer for an \
                     ordinary connection; other rules decide on physical replication: pass \
                     replication => true and NULL for the database"
                );
                self.step(Check::Replication, Outcome::Warning, detail, source());
            }
            Replication::NotSaid | Replication::No => {
                self.skip(&[Check::Replication], "the connection is not one for replication");
            }
        }
    }

    fn database(&mut self) {
        if self.is_physical() {
            return self.skip(&[Check::Database], "physical replication goes to no database");
        }
        let database = self.database_name();
        let source = Some("pg_database".to_owned());
        let superuser = self.facts.role.as_ref().is_some_and(|role| role.superuser);
        let (detail, message, more) = match &self.facts.database {
            None => (
                "the database does not exist",
                format!("database \"{database}\" does not exist"),
                None,
            ),
            Some(facts) if facts.invalid => (
                "the database is left from an interrupted DROP DATABASE",
                format!("cannot connect to invalid database \"{database}\""),
                None,
            ),
            Some(facts) if !facts.allows_connections => (
                "the database allows no connections",
                format!("database \"{database}\" is not currently accepting connections"),
                None,
            ),
            // What follows depends on the role's privileges.
            Some(_) if self.facts.role.is_none() => {
                let why = "the role does not exist, so nothing is known of its privileges";
                return self.skip(&[Check::Database], why);
            }
            Some(facts) if !facts.role_may_connect && !superuser => (
                "the role lacks the privilege CONNECT",
                format!("permission denied for database \"{database}\""),
                Some("User does not have CONNECT privilege.".to_owned()),
            ),
            Some(facts) if facts.limit_reached && self.is_limited() && !superuser => (
                "the limit on the database's connections is used up",
                format!("too many connections for database \"{database}\""),
                None,
            ),
            Some(_) => {
                let detail = "the role may connect to the database";
                return self.step(Check::Database, Outcome::Ok, detail, source);
            }
        };
        self.fail(Check::Database, detail, source, Words::fatal(message, None, more));
        let (database, role) = (self.question.database, self.question.role);
        self.hint(match &self.facts.database {
            None => hint::create_database(database),
            Some(facts) if facts.invalid => hint::drop_database(database),
            Some(facts) if !facts.allows_connections => hint::allow_connections(database),
            Some(facts) if !facts.role_may_connect => hint::grant_connect(database, role),
            Some(_) => hint::raise_limit("DATABASE", database),
        });
    }

    /// `pg_stat_ssl` is filled with subject and issuer: every attribute type needs a name, and
    /// every character an equivalent in the encoding of the database. Where there is none, the
    /// server ends the session.
    fn reporting(&mut self) {
        let Some(leaf) = self.presented() else { return };
        // Before it knows the database, it takes the names as they are.
        let knows_encoding =
            !self.around.version.reports_tls_before_database() && !self.is_physical();
        let facts = &self.facts.untranslatable;
        let names = [
            ("subject", leaf.subject(), facts.in_subject),
            ("issuer", leaf.issuer(), facts.in_issuer),
        ];
        for (what, name, missing) in names {
            let (detail, message) = match (name.unnamed_attribute_type(), missing) {
                (Some(oid), _) => (
                    format!(
                        "OpenSSL has no name for the attribute type {}, and pg_stat_ssl needs one",
                        oid.dotted()
                    ),
                    NO_NAME_FOR_ATTRIBUTE.to_owned(),
                ),
                (None, Some(character)) if knows_encoding => {
                    let encoding = &facts.encoding;
                    let sequence = byte_sequence(character);
                    (
                        format!(
                            "the {what} of the certificate has the character U+{:04X}, which the \
                             encoding {encoding} of the database lacks",
                            u32::from(character)
                        ),
                        format!(
                            "character with byte sequence {sequence} in encoding \"UTF8\" has no \
                             equivalent in encoding \"{encoding}\""
                        ),
                    )
                }
                (None, _) => continue,
            };
            let words = Words::fatal(message, None, None);
            self.fail(Check::Reporting, detail, None, words);
            let missing = missing.filter(|_| name.unnamed_attribute_type().is_none());
            return self.hint(hint::not_reportable(missing.map(|it| (it, &*facts.encoding))));
        }
        if self.facts.database.is_none() && knows_encoding {
            let why = "the database does not exist, so its encoding is not known";
            return self.skip(&[Check::Reporting], why);
        }
        let detail = "the names in the certificate can be shown in pg_stat_ssl";
        self.step(Check::Reporting, Outcome::Ok, detail, None);
    }

    fn verdict(&mut self) {
        // What the client makes of the server is not the server's decision.
        let steps = self.steps.iter().filter(|step| step.check != Check::ServerCertificate);
        let first = |outcome| steps.clone().find(|step| step.outcome == outcome);
        let unknown = first(Outcome::Unknown).map(|step| step.check);
        let hint = first(Outcome::Failed).and_then(|step| step.hint.clone());
        let (outcome, detail, source, words) = match (first(Outcome::Failed), unknown) {
            (Some(step), _) => {
                let detail = format!("refused at {}: {}", step.check, step.detail);
                (Outcome::Refused, detail, step.source.clone(), step.words.clone())
            }
            (None, Some(check)) => (Outcome::Unknown, format!("it depends on {check}"), None, None),
            (None, None) => {
                let detail = match self.asks_password {
                    true => "admitted if the password is right",
                    false => "admitted",
                };
                (Outcome::Admitted, detail.to_owned(), None, None)
            }
        };
        self.steps.push(Step { check: Check::Verdict, outcome, detail, source, hint, words });
    }
}

/// The name that a rule compares, as the bytes that the server compares; empty if there is none.
pub fn identity(leaf: &Certificate, name: ClientName) -> Vec<u8> {
    match name {
        ClientName::CommonName => leaf.subject().common_name_bytes().unwrap_or_default(),
        ClientName::Subject => leaf.subject().rfc2253().as_bytes().to_vec(),
    }
}

/// The bytes of a character in UTF-8, as the server writes them (`report_untranslatable_char`).
fn byte_sequence(character: char) -> String {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    bytes.map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn common_names(leaf: &Certificate) -> usize {
    let is_common_name =
        |attribute: &crate::x509::name::Attribute<'_>| attribute.oid.short_name() == Some("CN");
    leaf.subject().attributes().filter(is_common_name).count()
}
