//! Logins explained, without a server: facts on the left, the steps that come of them on the right.
//!
//! Each row of the table changes something about a login to which nothing is opposed, and lists the
//! steps that are different for it, the verdict last. The suite tests/e2e/login_grid.rs makes such
//! logins and finds that the server does the same.

use std::net::IpAddr;

use pgtls_core::login::access::{Found, Network, Patterns, Roles, Surroundings, Token};
use pgtls_core::login::facts::{
    Crls, DatabaseFacts, Facts, HandshakeRefusal, KeyUse, Password, Question, Remark, Replication,
    RoleFacts, SlotFacts, TlsFacts, Untranslatable,
};
use pgtls_core::login::hba::{
    self, Address, ClientCertificate, ClientName, Connection, Method, Rule,
};
use pgtls_core::login::ident::{self, Mapping};
use pgtls_core::login::server_version::ServerVersion;
use pgtls_core::login::step::{Check, Explanation, Outcome, Step};
use pgtls_core::login::{ending, explain};
use pgtls_core::verify::judgement::Judgement;
use pgtls_core::verify::verdict::{Link, Refusal, Verdict};

use crate::prelude::*;

/// A server without regular expressions, groups and names of hosts.
struct Plain;

/// A server of version 15 of that kind.
pub(crate) fn plain() -> Surroundings<'static> {
    Surroundings { version: ServerVersion(15), patterns: &Plain, roles: &Plain, network: &Plain }
}

impl Patterns for Plain {
    fn search(&self, _pattern: &[u8], _subject: &[u8]) -> Result<Option<Found>, String> {
        Err("gives up".to_owned())
    }

    fn check(&self, _pattern: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

impl Roles for Plain {
    fn is_member(&self, role: &[u8], group: &[u8]) -> bool {
        role == group
    }
}

impl Network for Plain {
    fn name_of(&self, _address: IpAddr) -> Option<Vec<u8>> {
        None
    }

    fn addresses_of(&self, _name: &[u8]) -> Vec<IpAddr> {
        Vec::new()
    }

    fn interfaces(&self) -> Vec<(IpAddr, IpAddr)> {
        Vec::new()
    }
}

/// All that a login depends on.
struct Login {
    version: u32,
    certificates: Vec<Certificate>,
    address: Option<IpAddr>,
    tls: bool,
    /// Lines such as `hostssl all alice all cert map=m`; one that cannot be read is a broken one.
    hba: &'static str,
    /// Lines such as `m alice bob`.
    ident: &'static str,
    server: TlsFacts,
    require_tls: bool,
    trust: Option<Result<Verdict, String>>,
    key_use: Option<KeyUse>,
    protocol_version: Option<&'static str>,
    version_refusal: Option<HandshakeRefusal>,
    host: Option<&'static str>,
    server_certificate: Option<Result<Certificate, String>>,
    role: Option<RoleFacts>,
    database: Option<DatabaseFacts>,
    untranslatable: Untranslatable,
    slots: SlotFacts,
    limits_walsenders: bool,
    remarks: Vec<Remark>,
    crls: Crls,
    replication: Replication,
    /// What OpenSSL finds besides its verdict: codes and texts.
    also: Vec<(i32, &'static str)>,
}

fn link(subject: &str) -> Link {
    Link { subject: subject.to_owned(), ..Link::default() }
}

/// `alice` with her certificate, in a server that has every reason to let her in.
fn good() -> Login {
    Login {
        version: 17,
        certificates: vec![certificate("/O=Acme/CN=alice")],
        address: Some([192, 0, 2, 1].into()),
        tls: true,
        hba: "hostssl all alice all cert",
        ident: "",
        server: TlsFacts {
            enabled: true,
            ca_file: Some("ca.crt".to_owned()),
            crls: vec!["ca.crl".to_owned()],
            protocol_limits: ["TLSv1.2", ""].map(str::to_owned),
        },
        require_tls: false,
        trust: Some(Ok(Verdict::Trusted(["/CN=alice", "/CN=root"].map(link).into()))),
        key_use: None,
        protocol_version: None,
        version_refusal: None,
        host: None,
        server_certificate: None,
        role: Some(RoleFacts { may_log_in: true, ..RoleFacts::default() }),
        database: Some(DatabaseFacts {
            allows_connections: true,
            role_may_connect: true,
            ..DatabaseFacts::default()
        }),
        untranslatable: Untranslatable::default(),
        slots: SlotFacts::PLENTY,
        limits_walsenders: false,
        remarks: Vec::new(),
        crls: Crls::AsTheyAre,
        replication: Replication::NotSaid,
        also: Vec::new(),
    }
}

fn certificate(subject: &str) -> Certificate {
    let parts = CertificateParts { subject: name(subject), ..Default::default() };
    Certificate::from_der(&parts.to_der()).unwrap()
}

impl Login {
    fn role(&mut self) -> &mut RoleFacts {
        self.role.as_mut().unwrap()
    }

    fn database(&mut self) -> &mut DatabaseFacts {
        self.database.as_mut().unwrap()
    }

    /// OpenSSL refuses the leaf with this code and text.
    fn refuse(&mut self, code: i32, text: &str) {
        self.trust = Some(Ok(Verdict::Refused(self.refusal(code, text))));
    }

    fn refusal(&self, code: i32, text: &str) -> Refusal {
        Refusal {
            code,
            text: text.to_owned(),
            depth: 0,
            certificate: self.certificates.first().cloned().map(Box::new),
            logged: "certificate verify failed".to_owned(),
        }
    }

    fn judgement(&self, verdict: Verdict) -> Judgement {
        let also = self.also.iter().map(|(code, text)| self.refusal(*code, text)).collect();
        Judgement {
            verdict,
            also,
            path: vec![certificate("/CN=alice"), certificate("/CN=root")],
            namesake: false,
        }
    }

    fn explanation(&self) -> Explanation {
        let around = Surroundings { version: ServerVersion(self.version), ..plain() };
        let question = Question {
            certificates: &self.certificates,
            role: b"alice",
            database: b"app",
            address: self.address,
            tls: self.tls,
            protocol_version: self.protocol_version,
            host: self.host,
            at: UnixTime(1_767_225_600),
            crls: self.crls,
            replication: self.replication,
        };
        let facts = Facts {
            rules: &rules(self.hba),
            mappings: &mappings(self.ident),
            tls: self.server.clone(),
            require_tls: self.require_tls,
            trust: self.trust.clone().map(|trust| trust.map(|verdict| self.judgement(verdict))),
            version_refusal: self.version_refusal.clone(),
            server_certificate: self.server_certificate.clone(),
            key_use: self.key_use.clone(),
            role: self.role.clone(),
            database: self.database.clone(),
            untranslatable: self.untranslatable.clone(),
            slots: self.slots,
            limits_walsenders: self.limits_walsenders,
            remarks: self.remarks.clone(),
        };
        explain::explain(&question, &facts, &around)
    }

    /// A line for each step, the verdict, and what client and log are told.
    fn explain(&self) -> Vec<String> {
        let explanation = self.explanation();
        // What the files and the certificate say is ASCII here, so what is not would be our own.
        for step in explanation.steps() {
            assert!(format!("{step:?}").is_ascii(), "{step:?}");
        }
        let (verdict, steps) = explanation.steps().split_last().unwrap();
        let line = |step: &Step| {
            let source = step.source.as_ref().map(|source| format!(" [{source}]"));
            let source = source.unwrap_or_default();
            format!("{} {}: {}{source}", step.check, step.outcome, step.detail)
        };
        let mut lines: Vec<_> = steps.iter().map(line).collect();
        assert_eq!(verdict.check, Check::Verdict);
        match steps.iter().find(|step| step.outcome == Outcome::Failed) {
            Some(failed) => {
                assert_eq!(verdict.outcome, Outcome::Refused);
                assert_eq!(
                    verdict.detail,
                    format!("refused at {}: {}", failed.check, failed.detail)
                );
                assert_eq!((&verdict.source, &verdict.words), (&failed.source, &failed.words));
                lines.push(format!("refused at {}", failed.check));
            }
            None => lines.push(format!("{}: {}", verdict.outcome, verdict.detail)),
        }
        let words = verdict.words.as_ref();
        match words.map(|words| (&words.client, words.log.as_deref().unwrap_or("nothing"))) {
            Some((client, log)) if client == log => lines.push(format!("client and log: {log}")),
            Some((client, log)) => {
                lines.push(format!("client: {client}"));
                lines.extend(log.lines().map(|line| format!("log: {line}")));
            }
            None => {}
        }
        lines
    }
}

fn words(word: &str) -> Vec<Token> {
    word.split(',').map(|word| Token::new(word, false)).collect()
}

fn rules(text: &str) -> Vec<hba::Line> {
    let line = |(line, number): (&str, u32)| {
        let rule = rule(line);
        let problem = rule.is_none().then(|| "invalid line".to_owned());
        hba::Line { file: "pg_hba.conf".to_owned(), number: Some(number), rule, problem }
    };
    text.lines().zip(1..).map(line).collect()
}

fn rule(line: &str) -> Option<Rule> {
    let mut fields = line.split(' ');
    let kinds = [Connection::Local, Connection::Host, Connection::HostSsl, Connection::HostNoSsl];
    let kind = fields.next()?;
    let connection = kinds.into_iter().find(|known| known.to_string() == kind)?;
    let (databases, roles) = (words(fields.next()?), words(fields.next()?));
    let address = match (connection, fields.next()?) {
        (Connection::Local, _) | (_, "all") => Address::All,
        (_, address) => {
            Address::Network { address: address.parse().ok()?, mask: [255, 255, 255, 255].into() }
        }
    };
    let method = Method::from_name(fields.next()?)?;
    let options: Vec<_> = fields.collect();
    let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    Some(Rule {
        connection,
        databases,
        roles,
        address,
        client_certificate: match option("clientcert") {
            _ if method == Method::Cert => ClientCertificate::RequiredAndNamed,
            Some("verify-full") => ClientCertificate::RequiredAndNamed,
            Some("verify-ca") => ClientCertificate::Required,
            _ => ClientCertificate::Optional,
        },
        client_name: match option("clientname") {
            Some("DN") => ClientName::Subject,
            _ => ClientName::CommonName,
        },
        method,
        map: option("map").map(|map| map.as_bytes().to_vec()),
    })
}

fn mappings(text: &str) -> Vec<ident::Line> {
    let line = |(line, number): (&str, u32)| {
        let fields: Vec<_> = line.split(' ').collect();
        let mapping = match fields[..] {
            [map, identity, role] => Some(Mapping {
                map: map.as_bytes().to_vec(),
                identity: Token::new(identity, false),
                role: Token::new(role, false),
            }),
            _ => None,
        };
        let problem = mapping.is_none().then(|| "missing entry".to_owned());
        ident::Line { file: "pg_ident.conf".to_owned(), number: Some(number), mapping, problem }
    };
    text.lines().zip(1..).map(line).collect()
}

#[test]
fn nothing_is_opposed() {
    assert_eq!(
        good().explain(),
        [
            "configuration ok: the files have not changed since the server loaded its \
             configuration",
            "tls ok: TLS: rules of the kinds host, hostssl and hostnogssenc can match [ssl]",
            "chain ok: /CN=alice <- /CN=root [ca.crt]",
            "purpose ok: good for TLS clients",
            "revocation ok: no certificate of the chain is revoked [ca.crl]",
            "validity ok: every certificate of the chain is valid at 2026-01-01T00:00:00Z",
            "key skipped: nothing is known against keys of this kind",
            "subject ok: CN=alice,O=Acme",
            "hba_rule ok: hostssl all alice all cert [pg_hba.conf:1]",
            "client_certificate ok: the rule asks for a certificate, and the client sends one \
             [pg_hba.conf:1]",
            "authentication ok: cert: the name in the certificate decides [pg_hba.conf:1]",
            "identity ok: CN: alice [pg_hba.conf:1]",
            "mapping ok: the name in the certificate is the name of the role [pg_hba.conf:1]",
            "require_tls skipped: pgtls_ext.require_tls is off",
            "role ok: the role may log in [pg_roles]",
            "connection_slots ok: there is a free connection [max_connections]",
            "replication skipped: the connection is not one for replication",
            "database ok: the role may connect to the database [pg_database]",
            "reporting ok: the names in the certificate can be shown in pg_stat_ssl",
            "admitted: admitted",
        ]
    );
}

/// What is different about a login, and the steps that are not those of [`good`].
type Row = (fn(&mut Login), &'static [&'static str]);

fn check(rows: &[Row]) {
    let usual = good().explain();
    let mut wrong = Vec::new();
    for (number, (change, expected)) in rows.iter().enumerate() {
        let mut login = good();
        change(&mut login);
        let mut found = login.explain();
        found.retain(|line| !usual.contains(line));
        let found = together(found);
        if found != *expected {
            wrong.push(format!("row {number}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Steps that are skipped one after the other for the same reason, in one line.
fn together(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let (check, why) = line.split_once(" skipped: ").unwrap_or((&line, ""));
        match out.last_mut() {
            Some(last) if !why.is_empty() && last.ends_with(&format!(" skipped: {why}")) => {
                let checks = last.len() - why.len() - " skipped: ".len();
                last.insert_str(checks, &format!(", {check}"));
            }
            _ => out.push(line),
        }
    }
    out
}

#[test]
fn configuration_and_encryption() {
    check(&[
        (
            |login| {
                login.remarks =
                    vec![Remark { detail: "ca.crt has changed".into(), source: "ca.crt".into() }]
            },
            &["configuration warning: ca.crt has changed [ca.crt]"],
        ),
        (
            |login| login.server.enabled = false,
            &[
                "tls failed: the server has ssl = off [ssl]",
                "refused at tls",
                "client: server does not support SSL, but SSL was required",
                "log: nothing",
            ],
        ),
        (
            |login| {
                login.tls = false;
                login.hba = "host all all all trust"
            },
            &[
                "tls ok: no TLS: rules of the kinds host, hostnossl and hostnogssenc can match",
                "chain, purpose, revocation, validity, key, subject skipped: without TLS the client \
                 sends no certificate",
                "hba_rule ok: host all all all trust [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
            ],
        ),
        (
            |login| (login.address, login.hba) = (None, "local all all - peer"),
            &[
                "tls ok: Unix socket: no TLS, rules of the kind local can match",
                "chain, purpose, revocation, validity, key, subject skipped: without TLS the client \
                 sends no certificate",
                "hba_rule ok: local all all peer [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication unknown: peer: only another system can tell [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "unknown: it depends on authentication",
            ],
        ),
    ]);
}

#[test]
fn chains() {
    check(&[
        (
            |login| login.trust = None,
            &["chain unknown: the chain was not judged [ca.crt]", "unknown: it depends on chain"],
        ),
        (
            |login| login.trust = Some(Err("ca.crt cannot be read".to_owned())),
            &["chain unknown: ca.crt cannot be read [ca.crt]", "unknown: it depends on chain"],
        ),
        (
            |login| login.refuse(20, "unable to get local issuer certificate"),
            &[
                "chain failed: unable to get local issuer certificate (OpenSSL error 20) at depth \
                 0: /O=Acme/CN=alice (serial 1) [ca.crt]",
                "purpose, revocation, validity skipped: it depends on the chain",
                "refused at chain",
                "client: TLS alert \"unknown CA\" (48)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: unable to get \
                 local issuer certificate.",
            ],
        ),
        (
            |login| {
                login.version = 15;
                login.refuse(20, "unable to get local issuer certificate")
            },
            &[
                "chain failed: unable to get local issuer certificate (OpenSSL error 20) at depth \
                 0: /O=Acme/CN=alice (serial 1) [ca.crt]",
                "purpose, revocation, validity skipped: it depends on the chain",
                "refused at chain",
                "client: TLS alert \"unknown CA\" (48)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
            ],
        ),
        (
            |login| login.refuse(26, "unsupported certificate purpose"),
            &[
                "purpose failed: unsupported certificate purpose (OpenSSL error 26) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at purpose",
                "client: TLS alert \"unsupported certificate\" (43)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: unsupported \
                 certificate purpose.",
            ],
        ),
        (
            |login| login.refuse(23, "certificate revoked"),
            &[
                "revocation failed: certificate revoked (OpenSSL error 23) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crl]",
                "refused at revocation",
                "client: TLS alert \"certificate revoked\" (44)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate \
                 revoked.",
            ],
        ),
        (
            |login| login.refuse(12, "CRL has expired"),
            &[
                "revocation failed: CRL has expired (OpenSSL error 12) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crl]",
                "refused at revocation",
                "client: TLS alert \"certificate expired\" (45)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: CRL has expired.",
            ],
        ),
        (
            |login| login.refuse(10, "certificate has expired"),
            &[
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at validity",
                "client: TLS alert \"certificate expired\" (45)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate has \
                 expired.",
            ],
        ),
        (
            |login| login.refuse(9, "certificate is not yet valid"),
            &[
                "validity failed: certificate is not yet valid (OpenSSL error 9) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at validity",
                "client: TLS alert \"bad certificate\" (42)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate is \
                 not yet valid.",
            ],
        ),
        (
            |login| login.server.crls.clear(),
            &["revocation skipped: neither ssl_crl_file nor ssl_crl_dir is set: revocation is \
                 not checked"],
        ),
    ]);
}

#[test]
fn dates_and_revocation_are_both_looked_at() {
    check(&[
        (
            |login| {
                login.refuse(23, "certificate revoked");
                login.also = vec![(10, "certificate has expired")]
            },
            &[
                "revocation failed: certificate revoked (OpenSSL error 23) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crl]",
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at revocation",
                "client: TLS alert \"certificate revoked\" (44)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate \
                 revoked.",
            ],
        ),
        (
            |login| {
                login.refuse(12, "CRL has expired");
                login.also = vec![(23, "certificate revoked"), (10, "certificate has expired")]
            },
            &[
                "revocation failed: CRL has expired (OpenSSL error 12) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crl]",
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at revocation",
                "client: TLS alert \"certificate expired\" (45)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: CRL has expired.",
            ],
        ),
        // No list can be found for an issuer that cannot be found; an end is an end.
        (
            |login| {
                login.refuse(20, "unable to get local issuer certificate");
                login.also =
                    vec![(3, "unable to get certificate CRL"), (10, "certificate has expired")]
            },
            &[
                "chain failed: unable to get local issuer certificate (OpenSSL error 20) at depth \
                 0: /O=Acme/CN=alice (serial 1) [ca.crt]",
                "purpose, revocation skipped: it depends on the chain",
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "refused at chain",
                "client: TLS alert \"unknown CA\" (48)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: unable to get \
                 local issuer certificate.",
            ],
        ),
        // OpenSSL looks at the signature last.
        (
            |login| {
                login.refuse(23, "certificate revoked");
                login.also = vec![(7, "certificate signature failure")]
            },
            &[
                "revocation failed: certificate revoked (OpenSSL error 23) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crl]",
                "chain failed: certificate signature failure (OpenSSL error 7) at depth 0: \
                 /O=Acme/CN=alice (serial 1) [ca.crt]",
                "purpose, validity skipped: it depends on the chain",
                "refused at revocation",
                "client: TLS alert \"certificate revoked\" (44)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate \
                 revoked.",
            ],
        ),
        (
            |login| login.crls = Crls::AsIfRenewed,
            &["revocation ok: no certificate of the chain is revoked; CRLs that have ended by \
                 then are taken to be renewed [ca.crl]"],
        ),
    ]);
}

#[test]
fn the_first_end_is_named() {
    let certificate = |end: i64| {
        let parts = CertificateParts { not_after: der::time(end), ..Default::default() };
        Certificate::from_der(&parts.to_der()).unwrap()
    };
    let now = 1_767_225_600;
    let scram = |login: &mut Login| {
        login.hba = "hostssl all all all scram-sha-256";
        login.role().password = Password::Scram;
        login.role().valid_until = Some(UnixTime(now + 15))
    };
    for (change, ends, expected) in [
        (None, &[10, 20, 30][..], (Some(10), "certificate")),
        (None, &[20, 10, 30], (Some(10), "intermediate")),
        (None, &[20, 30, 10], (Some(10), "root")),
        (None, &[20, 10], (Some(10), "root")),
        (None, &[20], (Some(20), "certificate")),
        (None, &[], (None, "nothing")),
        (Some(&scram as &dyn Fn(&mut Login)), &[20], (Some(15), "password")),
        (Some(&scram), &[10], (Some(10), "certificate")),
        (Some(&scram), &[], (Some(15), "password")),
        // Whoever shows a certificate may stay longer than the password would do.
        (
            Some(&|login| login.role().valid_until = Some(UnixTime(now + 5))),
            &[10],
            (Some(10), "certificate"),
        ),
        (Some(&|login| login.role = None), &[10], (None, "refused")),
    ] {
        let mut login = good();
        if let Some(change) = change {
            change(&mut login);
        }
        let path: Vec<_> = ends.iter().map(|end| certificate(now + end)).collect();
        let ending = ending::ending(&login.explanation(), &path, login.role.as_ref());
        let found = (ending.at.map(|at| at.0 - now), ending.cause.to_string());
        assert_eq!(found, (expected.0, expected.1.to_owned()), "{ends:?}: {ending:?}");
    }
}

#[test]
fn certificates_that_do_not_count() {
    check(&[
        (
            |login| login.certificates.clear(),
            &[
                "chain, purpose, revocation, validity, key, subject skipped: the client has no \
                 certificate",
                "client_certificate failed: the client has no certificate [pg_hba.conf:1]",
                "authentication, identity, mapping skipped: there is no certificate",
                "refused at client_certificate",
                "client and log: FATAL: connection requires a valid client certificate",
            ],
        ),
        (
            |login| login.server.ca_file = None,
            &[
                "chain, purpose, revocation, validity, key, subject skipped: ssl_ca_file is not set, \
                 so the server does not ask for a certificate",
                "client_certificate failed: ssl_ca_file is not set [pg_hba.conf:1]",
                "authentication, identity, mapping skipped: there is no certificate",
                "refused at client_certificate",
                "client and log: FATAL: client certificates can only be checked if a root \
                 certificate store is available",
            ],
        ),
        (
            |login| login.key_use = Some(KeyUse::NotSent),
            &[
                "chain, purpose, revocation, validity, key, subject skipped: the client does not \
                 send its certificate: its key goes with no signature algorithm that it and the \
                 server have in common",
                "client_certificate failed: the client does not send its certificate: its key \
                 goes with no signature algorithm that it and the server have in common \
                 [pg_hba.conf:1]",
                "authentication, identity, mapping skipped: there is no certificate",
                "refused at client_certificate",
                "client and log: FATAL: connection requires a valid client certificate",
            ],
        ),
        (
            |login| {
                login.key_use = Some(KeyUse::Refused(HandshakeRefusal {
                    alert: ("illegal parameter".to_owned(), 47),
                    logged: "wrong curve".to_owned(),
                }));
            },
            &[
                "key failed: id-ecPublicKey on prime256v1: cannot be used with what the server \
                 offers (wrong curve)",
                "refused at key",
                "client: TLS alert \"illegal parameter\" (47)",
                "log: LOG: could not accept SSL connection: wrong curve",
            ],
        ),
        (
            |login| refuse_version(login, "TLSv1.1"),
            &[
                "tls failed: the server does not take TLSv1.1 (\"unsupported protocol\") \
                 [ssl_min_protocol_version, ssl_max_protocol_version]",
                "refused at tls",
                "client: TLS alert \"protocol version\" (70)",
                "log: LOG: could not accept SSL connection: unsupported protocol",
                "log: HINT: This may indicate that the client does not support any SSL protocol version between \
                 TLSv1.2 and TLSv1.3.",
            ],
        ),
        (
            |login| {
                login.host = Some("db.example.com");
                login.server_certificate = Some(Ok(certificate("/CN=localhost")));
            },
            &["server_certificate warning: /CN=localhost: with sslmode=verify-full libpq says: \
               server certificate for \"localhost\" does not match host name \"db.example.com\""],
        ),
        (
            |login| {
                login.host = Some("localhost");
                login.server_certificate = Some(Ok(certificate("/CN=localhost")));
            },
            &["server_certificate ok: /CN=localhost: libpq takes it for \"localhost\""],
        ),
        (
            |login| {
                login.host = Some("localhost");
                login.server_certificate = Some(Err("it is not known".to_owned()));
            },
            &["server_certificate unknown: it is not known"],
        ),
        (
            |login| login.certificates = vec![certificate("/CN=alice\0.example")],
            &[
                "subject failed: the common name holds a null byte",
                "identity, mapping skipped: the server does not take the subject",
                "refused at subject",
                "client: the connection is closed without a message",
                "log: LOG: SSL certificate's common name contains embedded null",
            ],
        ),
    ]);
}

fn refuse_version(login: &mut Login, version: &'static str) {
    login.protocol_version = Some(version);
    login.version_refusal = Some(HandshakeRefusal {
        alert: ("protocol version".to_owned(), 70),
        logged: "unsupported protocol".to_owned(),
    });
}

#[test]
fn rules_of_pg_hba() {
    check(&[
        (
            |login| login.hba = "hostssl all bob all cert",
            &[
                "hba_rule failed: no rule matches",
                "client_certificate, authentication, identity, mapping skipped: there is no rule",
                "refused at hba_rule",
                "client and log: FATAL: no pg_hba.conf entry for host \"192.0.2.1\", user \
                 \"alice\", database \"app\", SSL encryption",
            ],
        ),
        (
            |login| login.hba = "hostnossl all all all cert\nhostssl all all 192.0.2.2 cert",
            &[
                "hba_rule failed: no rule matches",
                "client_certificate, authentication, identity, mapping skipped: there is no rule",
                "refused at hba_rule",
                "client and log: FATAL: no pg_hba.conf entry for host \"192.0.2.1\", user \
                 \"alice\", database \"app\", SSL encryption",
            ],
        ),
        (
            |login| login.hba = "hostssl all all all reject\nhostssl all all all cert",
            &[
                "hba_rule failed: the rule says reject [pg_hba.conf:1]",
                "client_certificate, authentication, identity, mapping skipped: the rule says \
                 reject",
                "refused at hba_rule",
                "client and log: FATAL: pg_hba.conf rejects connection for host \"192.0.2.1\", \
                 user \"alice\", database \"app\", SSL encryption",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all reject clientcert=verify-ca";
                login.certificates.clear()
            },
            &[
                "chain, purpose, revocation, validity, key, subject skipped: the client has no \
                 certificate",
                "hba_rule ok: hostssl all all all reject clientcert=verify-ca [pg_hba.conf:1]",
                "client_certificate failed: the client has no certificate [pg_hba.conf:1]",
                "authentication skipped: the rule says reject",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "refused at client_certificate",
                "client and log: FATAL: connection requires a valid client certificate",
            ],
        ),
        (
            |login| login.hba = "hostssl all all all nonsense",
            &[
                "hba_rule unknown: the server does not load pg_hba.conf as it is (pg_hba.conf:1: \
                 invalid line), and keeps the rules it had",
                "client_certificate, authentication, identity, mapping skipped: the rule is not \
                 known",
                "unknown: it depends on hba_rule",
            ],
        ),
        (
            |login| login.hba = "",
            &[
                "hba_rule unknown: the server does not load pg_hba.conf as it is (it holds no \
                 rule), and keeps the rules it had",
                "client_certificate, authentication, identity, mapping skipped: the rule is not \
                 known",
                "unknown: it depends on hba_rule",
            ],
        ),
        (
            |login| login.hba = "hostssl all all all trust clientcert=verify-ca",
            &[
                "hba_rule ok: hostssl all all all trust clientcert=verify-ca [pg_hba.conf:1]",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all trust clientcert=verify-ca";
                login.certificates.clear()
            },
            &[
                "chain, purpose, revocation, validity, key, subject skipped: the client has no \
                 certificate",
                "hba_rule ok: hostssl all all all trust clientcert=verify-ca [pg_hba.conf:1]",
                "client_certificate failed: the client has no certificate [pg_hba.conf:1]",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "refused at client_certificate",
                "client and log: FATAL: connection requires a valid client certificate",
            ],
        ),
    ]);
}

#[test]
fn methods() {
    check(&[
        (
            |login| login.hba = "hostssl all all all trust",
            &[
                "hba_rule ok: hostssl all all all trust [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
            ],
        ),
        (
            |login| login.hba = "hostssl all all all ldap",
            &[
                "hba_rule ok: hostssl all all all ldap [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication unknown: ldap: only another system can tell [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "unknown: it depends on authentication",
            ],
        ),
        (
            |login| login.hba = "hostssl all all all scram-sha-256",
            &[
                "hba_rule ok: hostssl all all all scram-sha-256 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication failed: User \"alice\" has no password assigned. [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "refused at authentication",
                "client: FATAL: password authentication failed for user \"alice\"",
                "log: FATAL: password authentication failed for user \"alice\"",
                "log: DETAIL: User \"alice\" has no password assigned.",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all scram-sha-256";
                login.role().password = Password::Scram
            },
            &[
                "hba_rule ok: hostssl all all all scram-sha-256 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: scram-sha-256: admitted if the password is right \
                 [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "admitted: admitted if the password is right",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all scram-sha-256";
                login.role().password = Password::Md5
            },
            &[
                "hba_rule ok: hostssl all all all scram-sha-256 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication failed: User \"alice\" does not have a valid SCRAM secret. \
                 [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "refused at authentication",
                "client: FATAL: password authentication failed for user \"alice\"",
                "log: FATAL: password authentication failed for user \"alice\"",
                "log: DETAIL: User \"alice\" does not have a valid SCRAM secret.",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all md5";
                login.role().password = Password::Md5
            },
            &[
                "hba_rule ok: hostssl all all all md5 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: md5: admitted if the password is right [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "admitted: admitted if the password is right",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all md5";
                login.role().password = Password::Md5;
                login.role().valid_until = Some(UnixTime(1_767_225_599))
            },
            &[
                "hba_rule ok: hostssl all all all md5 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication failed: User \"alice\" has an expired password. [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "refused at authentication",
                "client: FATAL: password authentication failed for user \"alice\"",
                "log: FATAL: password authentication failed for user \"alice\"",
                "log: DETAIL: User \"alice\" has an expired password.",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all password";
                login.role = None
            },
            &[
                "hba_rule ok: hostssl all all all password [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication failed: Role \"alice\" does not exist. [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "role skipped: the role does not exist, which is why it cannot be authenticated",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at authentication",
                "client: FATAL: password authentication failed for user \"alice\"",
                "log: FATAL: password authentication failed for user \"alice\"",
                "log: DETAIL: Role \"alice\" does not exist.",
            ],
        ),
    ]);
}

#[test]
fn names_and_mappings() {
    check(&[
        (
            |login| login.certificates = vec![certificate("/O=Acme")],
            &[
                "subject ok: O=Acme",
                "identity failed: the certificate has no CN [pg_hba.conf:1]",
                "mapping skipped: there is no name to map",
                "refused at identity",
                "client: FATAL: certificate authentication failed for user \"alice\"",
                "log: LOG: certificate authentication failed for user \"alice\": client \
                 certificate contains no user name",
                "log: FATAL: certificate authentication failed for user \"alice\"",
            ],
        ),
        (
            |login| login.certificates = vec![certificate("/CN=bob")],
            &[
                "subject ok: CN=bob",
                "identity ok: CN: bob [pg_hba.conf:1]",
                "mapping failed: the name in the certificate, bob, is not the role's, alice \
                 [pg_hba.conf:1]",
                "refused at mapping",
                "client: FATAL: certificate authentication failed for user \"alice\"",
                "log: LOG: provided user name (alice) and authenticated user name (bob) do not \
                 match",
                "log: FATAL: certificate authentication failed for user \"alice\"",
            ],
        ),
        (
            |login| login.certificates = vec![certificate("/CN=alice/CN=bob")],
            &[
                "subject ok: CN=bob,CN=alice",
                "identity ok: CN: alice (the first of 2 in the subject) [pg_hba.conf:1]",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all trust clientcert=verify-full";
                login.certificates = vec![certificate("/CN=bob")]
            },
            &[
                "subject ok: CN=bob",
                "hba_rule ok: hostssl all all all trust clientcert=verify-full [pg_hba.conf:1]",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity ok: CN: bob [pg_hba.conf:1]",
                "mapping failed: the name in the certificate, bob, is not the role's, alice \
                 [pg_hba.conf:1]",
                "refused at mapping",
                "client: FATAL: \"trust\" authentication failed for user \"alice\"",
                "log: LOG: provided user name (alice) and authenticated user name (bob) do not \
                 match",
                "log: LOG: certificate validation (clientcert=verify-full) failed for user \
                 \"alice\": CN mismatch",
                "log: FATAL: \"trust\" authentication failed for user \"alice\"",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all cert clientname=DN map=m";
                login.ident = "m CN=alice,O=Acme alice"
            },
            &[
                "hba_rule ok: hostssl all all all cert clientname=DN map=m [pg_hba.conf:1]",
                "identity ok: DN: CN=alice,O=Acme [pg_hba.conf:1]",
                "mapping ok: map m lets CN=alice,O=Acme be alice [pg_ident.conf:1]",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all cert map=m";
                login.ident = "x alice alice\nm alice alice"
            },
            &[
                "hba_rule ok: hostssl all all all cert map=m [pg_hba.conf:1]",
                "mapping ok: map m lets alice be alice [pg_ident.conf:2]",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all cert map=m";
                login.ident = "m alice bob"
            },
            &[
                "hba_rule ok: hostssl all all all cert map=m [pg_hba.conf:1]",
                "mapping failed: no line of map m lets alice be alice [pg_hba.conf:1]",
                "refused at mapping",
                "client: FATAL: certificate authentication failed for user \"alice\"",
                "log: LOG: no match in usermap \"m\" for user \"alice\" authenticated as \
                 \"alice\"",
                "log: FATAL: certificate authentication failed for user \"alice\"",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all cert map=m";
                login.ident = "m /ali alice"
            },
            &[
                "hba_rule ok: hostssl all all all cert map=m [pg_hba.conf:1]",
                "mapping failed: regular expression match for \"ali\" failed: gives up \
                 [pg_ident.conf:1]",
                "refused at mapping",
                "client: FATAL: certificate authentication failed for user \"alice\"",
                "log: LOG: regular expression match for \"ali\" failed: gives up",
                "log: FATAL: certificate authentication failed for user \"alice\"",
            ],
        ),
        (
            |login| {
                login.hba = "hostssl all all all cert map=m";
                login.ident = "m alice"
            },
            &[
                "hba_rule ok: hostssl all all all cert map=m [pg_hba.conf:1]",
                "mapping unknown: the server does not load pg_ident.conf as it is \
                 (pg_ident.conf:1: missing entry), and keeps the mappings it had [pg_hba.conf:1]",
                "unknown: it depends on mapping",
            ],
        ),
    ]);
}

#[test]
fn role_connections_and_database() {
    check(&[
        (
            |login| login.role = None,
            &[
                "role failed: the role does not exist [pg_roles]",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at role",
                "client and log: FATAL: role \"alice\" does not exist",
            ],
        ),
        (
            |login| login.role().may_log_in = false,
            &[
                "role failed: the role has no LOGIN [pg_roles]",
                "refused at role",
                "client and log: FATAL: role \"alice\" is not permitted to log in",
            ],
        ),
        (
            |login| login.role().limit_reached = true,
            &[
                "role failed: the limit on the role's connections is used up [pg_roles]",
                "refused at role",
                "client and log: FATAL: too many connections for role \"alice\"",
            ],
        ),
        (
            |login| {
                login.role().limit_reached = true;
                login.role().superuser = true
            },
            &[],
        ),
        (
            |login| login.slots.for_superusers = false,
            &[
                "connection_slots failed: no connection is free for this role [max_connections]",
                "refused at connection_slots",
                "client and log: FATAL: sorry, too many clients already",
            ],
        ),
        (
            |login| login.slots.for_everybody = false,
            &[
                "connection_slots failed: no connection is free for this role [max_connections]",
                "refused at connection_slots",
                "client and log: FATAL: remaining connection slots are reserved for roles with \
                 privileges of the \"pg_use_reserved_connections\" role",
            ],
        ),
        (
            |login| {
                login.slots.for_everybody = false;
                login.role().may_use_reserved = true
            },
            &["connection_slots ok: there is a free connection among the reserved ones \
                 [max_connections]"],
        ),
        (
            |login| {
                login.slots.for_everybody = false;
                login.slots.for_reserved = false;
                login.role().may_use_reserved = true
            },
            &[
                "connection_slots failed: no connection is free for this role [max_connections]",
                "refused at connection_slots",
                "client and log: FATAL: remaining connection slots are reserved for roles with \
                 the SUPERUSER attribute",
            ],
        ),
        (
            |login| {
                login.slots.for_everybody = false;
                login.slots.for_reserved = false;
                login.version = 15
            },
            &[
                "connection_slots failed: no connection is free for this role [max_connections]",
                "refused at connection_slots",
                "client and log: FATAL: remaining connection slots are reserved for \
                 non-replication superuser connections",
            ],
        ),
        (
            |login| {
                login.slots.for_everybody = false;
                login.slots.for_reserved = false;
                login.role().superuser = true
            },
            &[],
        ),
        (
            |login| login.database = None,
            &[
                "database failed: the database does not exist [pg_database]",
                "reporting skipped: the database does not exist, so its encoding is not known",
                "refused at database",
                "client and log: FATAL: database \"app\" does not exist",
            ],
        ),
        (
            |login| login.database().invalid = true,
            &[
                "database failed: the database is left from an interrupted DROP DATABASE \
                 [pg_database]",
                "refused at database",
                "client and log: FATAL: cannot connect to invalid database \"app\"",
            ],
        ),
        (
            |login| login.database().allows_connections = false,
            &[
                "database failed: the database allows no connections [pg_database]",
                "refused at database",
                "client and log: FATAL: database \"app\" is not currently accepting connections",
            ],
        ),
        (
            |login| login.database().role_may_connect = false,
            &[
                "database failed: the role lacks the privilege CONNECT [pg_database]",
                "refused at database",
                "client: FATAL: permission denied for database \"app\"",
                "log: FATAL: permission denied for database \"app\"",
                "log: DETAIL: User does not have CONNECT privilege.",
            ],
        ),
        (
            |login| {
                login.database().role_may_connect = false;
                login.role().superuser = true
            },
            &[],
        ),
        (
            |login| login.database().limit_reached = true,
            &[
                "database failed: the limit on the database's connections is used up [pg_database]",
                "refused at database",
                "client and log: FATAL: too many connections for database \"app\"",
            ],
        ),
        (
            |login| {
                login.database().limit_reached = true;
                login.role().superuser = true
            },
            &[],
        ),
    ]);
}

#[test]
fn the_extension_itself_refuses() {
    check(&[
        (
            |login| login.require_tls = true,
            &["require_tls ok: the connection is encrypted with TLS [pgtls_ext.require_tls]"],
        ),
        (
            |login| {
                login.require_tls = true;
                login.tls = false;
                login.hba = "host all all 192.0.2.1 trust"
            },
            &[
                "tls ok: no TLS: rules of the kinds host, hostnossl and hostnogssenc can match",
                "chain, purpose, revocation, validity, key, subject skipped: without TLS the client \
                 sends no certificate",
                "hba_rule ok: host all all 192.0.2.1/32 trust [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "require_tls failed: pgtls_ext.require_tls is on, and the client uses no TLS \
                 [pgtls_ext.require_tls]",
                "refused at require_tls",
                "client and log: FATAL: connections over TCP without TLS are not allowed",
            ],
        ),
        // Not before the client is who it says it is.
        (
            |login| {
                login.require_tls = true;
                login.tls = false;
                login.hba = "host all all all reject"
            },
            &[
                "tls ok: no TLS: rules of the kinds host, hostnossl and hostnogssenc can match",
                "chain, purpose, revocation, validity, key, subject skipped: without TLS the client \
                 sends no certificate",
                "hba_rule failed: the rule says reject [pg_hba.conf:1]",
                "client_certificate, authentication, identity, mapping skipped: the rule says \
                 reject",
                "require_tls failed: pgtls_ext.require_tls is on, and the client uses no TLS \
                 [pgtls_ext.require_tls]",
                "refused at hba_rule",
                "client and log: FATAL: pg_hba.conf rejects connection for host \"192.0.2.1\", \
                 user \"alice\", database \"app\", no encryption",
            ],
        ),
        (
            |login| {
                login.require_tls = true;
                (login.address, login.hba) = (None, "local all all - trust")
            },
            &[
                "tls ok: Unix socket: no TLS, rules of the kind local can match",
                "chain, purpose, revocation, validity, key, subject skipped: without TLS the client \
                 sends no certificate",
                "hba_rule ok: local all all trust [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication ok: trust: nothing is asked of the client [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "require_tls ok: connections over the Unix socket are exempt \
                 [pgtls_ext.require_tls]",
            ],
        ),
    ]);
}

#[test]
fn what_depends_on_a_failed_step_is_no_second_fault() {
    check(&[
        // A password of nobody: the role is the one fault.
        (
            |login| {
                login.hba = "hostssl all all all scram-sha-256";
                login.role = None
            },
            &[
                "hba_rule ok: hostssl all all all scram-sha-256 [pg_hba.conf:1]",
                "client_certificate skipped: the rule asks for none",
                "authentication failed: Role \"alice\" does not exist. [pg_hba.conf:1]",
                "identity, mapping skipped: the rule does not compare the certificate with the \
                 role",
                "role skipped: the role does not exist, which is why it cannot be authenticated",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at authentication",
                "client: FATAL: password authentication failed for user \"alice\"",
                "log: FATAL: password authentication failed for user \"alice\"",
                "log: DETAIL: Role \"alice\" does not exist.",
            ],
        ),
        // That there is no such database does not depend on the role.
        (
            |login| {
                login.role = None;
                login.database = None
            },
            &[
                "role failed: the role does not exist [pg_roles]",
                "database failed: the database does not exist [pg_database]",
                "reporting skipped: the database does not exist, so its encoding is not known",
                "refused at role",
                "client and log: FATAL: role \"alice\" does not exist",
            ],
        ),
        (
            |login| {
                login.role = None;
                login.slots.for_everybody = false
            },
            &[
                "role failed: the role does not exist [pg_roles]",
                "connection_slots skipped: the role does not exist, so it is not known whether it \
                 may use the reserved connections",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at role",
                "client and log: FATAL: role \"alice\" does not exist",
            ],
        ),
        (
            |login| {
                login.certificates.clear();
                login.role = None
            },
            &[
                "chain, purpose, revocation, validity, key, subject skipped: the client has no \
                 certificate",
                "client_certificate failed: the client has no certificate [pg_hba.conf:1]",
                "authentication, identity, mapping skipped: there is no certificate",
                "role failed: the role does not exist [pg_roles]",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at client_certificate",
                "client and log: FATAL: connection requires a valid client certificate",
            ],
        ),
    ]);
}

#[test]
fn names_that_the_database_cannot_show() {
    let zhe = Some('\u{416}');
    let latin =
        |in_subject, in_issuer| Untranslatable { encoding: "LATIN1".into(), in_subject, in_issuer };
    let rows: [(u32, Untranslatable, Replication, &str); 6] = [
        (17, latin(zhe, None), Replication::No, "subject U+0416"),
        (17, latin(None, zhe), Replication::No, "issuer U+0416"),
        (17, latin(Some('\u{8a9e}'), zhe), Replication::Logical, "subject U+8A9E"),
        (17, latin(None, None), Replication::No, ""),
        // Names go in before the database is known, or there is none.
        (18, latin(zhe, None), Replication::No, ""),
        (15, latin(zhe, None), Replication::Physical, ""),
    ];
    for (version, untranslatable, replication, expected) in rows {
        let mut login = good();
        login.hba = "hostssl all,replication all all cert";
        login.role().replication = true;
        (login.version, login.untranslatable) = (version, untranslatable);
        login.replication = replication;
        let lines = login.explain();
        let line = lines.iter().find(|line| line.starts_with("reporting")).unwrap();
        let Some((name, character)) = expected.split_once(' ') else {
            assert!(line.starts_with("reporting ok"), "{lines:#?}");
            continue;
        };
        assert_eq!(
            *line,
            format!(
                "reporting failed: the {name} of the certificate has the character {character}, \
                 which the encoding LATIN1 of the database lacks"
            )
        );
        let bytes = if character == "U+0416" { "0xd0 0x96" } else { "0xe8 0xaa 0x9e" };
        assert_eq!(
            lines.last().unwrap(),
            &format!(
                "client and log: FATAL: character with byte sequence {bytes} in encoding \"UTF8\" \
                 has no equivalent in encoding \"LATIN1\""
            )
        );
    }
}

#[test]
fn connections_for_replication() {
    check(&[
        (
            |login| {
                login.replication = Replication::Physical;
                login.hba = "hostssl all all all reject\nhostssl replication alice all cert";
                login.role().replication = true;
                login.slots.for_everybody = false
            },
            &[
                "hba_rule ok: hostssl replication alice all cert [pg_hba.conf:2]",
                "client_certificate ok: the rule asks for a certificate, and the client sends one \
                 [pg_hba.conf:2]",
                "authentication ok: cert: the name in the certificate decides [pg_hba.conf:2]",
                "identity ok: CN: alice [pg_hba.conf:2]",
                "mapping ok: the name in the certificate is the name of the role [pg_hba.conf:2]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication ok: the role has the attribute REPLICATION [pg_roles]",
                "database skipped: physical replication goes to no database",
            ],
        ),
        (
            |login| {
                login.replication = Replication::Physical;
                login.hba = "hostssl replication all all cert"
            },
            &[
                "hba_rule ok: hostssl replication all all cert [pg_hba.conf:1]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication failed: the role lacks the attribute REPLICATION [pg_roles]",
                "database skipped: physical replication goes to no database",
                "refused at replication",
                "client: FATAL: permission denied to start WAL sender",
                "log: FATAL: permission denied to start WAL sender",
                "log: DETAIL: Only roles with the REPLICATION attribute may start a WAL sender \
                 process.",
            ],
        ),
        (
            |login| {
                login.version = 15;
                login.replication = Replication::Physical;
                login.hba = "hostssl replication all all cert"
            },
            &[
                "hba_rule ok: hostssl replication all all cert [pg_hba.conf:1]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication failed: the role lacks the attribute REPLICATION [pg_roles]",
                "database skipped: physical replication goes to no database",
                "refused at replication",
                "client and log: FATAL: must be superuser or replication role to start walsender",
            ],
        ),
        (
            |login| login.replication = Replication::Physical,
            &[
                "hba_rule failed: no rule matches",
                "client_certificate, authentication, identity, mapping skipped: there is no rule",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication failed: the role lacks the attribute REPLICATION [pg_roles]",
                "database skipped: physical replication goes to no database",
                "refused at hba_rule",
                "client and log: FATAL: no pg_hba.conf entry for replication connection from host \
                 \"192.0.2.1\", user \"alice\", SSL encryption",
            ],
        ),
        (
            |login| {
                login.replication = Replication::Physical;
                login.hba = "hostssl replication all all reject"
            },
            &[
                "hba_rule failed: the rule says reject [pg_hba.conf:1]",
                "client_certificate, authentication, identity, mapping skipped: the rule says \
                 reject",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication failed: the role lacks the attribute REPLICATION [pg_roles]",
                "database skipped: physical replication goes to no database",
                "refused at hba_rule",
                "client and log: FATAL: pg_hba.conf rejects replication connection for host \
                 \"192.0.2.1\", user \"alice\", SSL encryption",
            ],
        ),
        (
            |login| {
                login.replication = Replication::Physical;
                login.hba = "hostssl replication all all cert";
                login.role = None
            },
            &[
                "hba_rule ok: hostssl replication all all cert [pg_hba.conf:1]",
                "role failed: the role does not exist [pg_roles]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication skipped: the role does not exist, so nothing is known of its \
                 attributes",
                "database skipped: physical replication goes to no database",
                "refused at role",
                "client and log: FATAL: role \"alice\" does not exist",
            ],
        ),
        // Logical replication goes to a database, as an ordinary connection does.
        (
            |login| {
                login.replication = Replication::Logical;
                login.hba = "hostssl replication all all reject\nhostssl all all all cert";
                login.role().superuser = true
            },
            &[
                "hba_rule ok: hostssl all all all cert [pg_hba.conf:2]",
                "client_certificate ok: the rule asks for a certificate, and the client sends one \
                 [pg_hba.conf:2]",
                "authentication ok: cert: the name in the certificate decides [pg_hba.conf:2]",
                "identity ok: CN: alice [pg_hba.conf:2]",
                "mapping ok: the name in the certificate is the name of the role [pg_hba.conf:2]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication ok: the role is a superuser, who may replicate [pg_roles]",
            ],
        ),
        (
            |login| login.replication = Replication::Logical,
            &[
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication failed: the role lacks the attribute REPLICATION [pg_roles]",
                "refused at replication",
                "client: FATAL: permission denied to start WAL sender",
                "log: FATAL: permission denied to start WAL sender",
                "log: DETAIL: Only roles with the REPLICATION attribute may start a WAL sender \
                 process.",
            ],
        ),
        (
            |login| {
                login.replication = Replication::Logical;
                login.role().replication = true;
                login.database = None
            },
            &[
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication ok: the role has the attribute REPLICATION [pg_roles]",
                "database failed: the database does not exist [pg_database]",
                "reporting skipped: the database does not exist, so its encoding is not known",
                "refused at database",
                "client and log: FATAL: database \"app\" does not exist",
            ],
        ),
        // Limits hold for ordinary connections, and in old minor releases for all.
        (
            |login| {
                login.replication = Replication::Logical;
                login.role().replication = true;
                login.role().limit_reached = true;
                login.database().limit_reached = true
            },
            &[
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication ok: the role has the attribute REPLICATION [pg_roles]",
            ],
        ),
        (
            |login| {
                login.replication = Replication::Logical;
                login.limits_walsenders = true;
                login.role().replication = true;
                login.role().limit_reached = true;
                login.database().limit_reached = true
            },
            &[
                "role failed: the limit on the role's connections is used up [pg_roles]",
                "connection_slots skipped: connections for replication have a limit of their own, \
                 max_wal_senders, which is not looked at",
                "replication ok: the role has the attribute REPLICATION [pg_roles]",
                "database failed: the limit on the database's connections is used up \
                 [pg_database]",
                "refused at role",
                "client and log: FATAL: too many connections for role \"alice\"",
            ],
        ),
        // Who did not say so may have meant it.
        (
            |login| login.role().replication = true,
            &["replication warning: role alice has the attribute REPLICATION, and this is the \
                 answer for an ordinary connection; other rules decide on physical replication: \
                 pass replication => true and NULL for the database [pg_roles]"],
        ),
        (
            |login| {
                login.role().replication = true;
                login.replication = Replication::No
            },
            &[],
        ),
    ]);
}

#[test]
fn reporting_and_the_first_of_several_refusals() {
    check(&[
        (
            |login| login.certificates = vec![certificate("/2.999.42.1=x/CN=alice")],
            &[
                "subject ok: CN=alice,2.999.42.1=#0C0178",
                "reporting failed: OpenSSL has no name for the attribute type 2.999.42.1, and \
                 pg_stat_ssl needs one",
                "refused at reporting",
                "client and log: FATAL: could not get NID for ASN1_OBJECT object",
            ],
        ),
        (
            |login| {
                login.certificates = vec![certificate("/2.999.42.1=x/CN=alice")];
                login.refuse(10, "certificate has expired")
            },
            &[
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /2.999.42.1=x/CN=alice (serial 1)",
                "subject ok: CN=alice,2.999.42.1=#0C0178",
                "reporting failed: OpenSSL has no name for the attribute type 2.999.42.1, and \
                 pg_stat_ssl needs one",
                "refused at validity",
                "client: the connection is closed without a message",
                "log: FATAL: could not get NID for ASN1_OBJECT object",
            ],
        ),
        (
            |login| {
                login.certificates = vec![certificate("/2.999.42.1=x/CN=alice")];
                login.database = None
            },
            &[
                "subject ok: CN=alice,2.999.42.1=#0C0178",
                "database failed: the database does not exist [pg_database]",
                "reporting failed: OpenSSL has no name for the attribute type 2.999.42.1, and \
                 pg_stat_ssl needs one",
                "refused at database",
                "client and log: FATAL: database \"app\" does not exist",
            ],
        ),
        (
            |login| {
                login.certificates = vec![certificate("/2.999.42.1=x/CN=alice")];
                login.database = None;
                login.version = 18
            },
            &[
                "subject ok: CN=alice,2.999.42.1=#0C0178",
                "reporting failed: OpenSSL has no name for the attribute type 2.999.42.1, and \
                 pg_stat_ssl needs one",
                "database failed: the database does not exist [pg_database]",
                "refused at reporting",
                "client and log: FATAL: could not get NID for ASN1_OBJECT object",
            ],
        ),
        (
            |login| {
                login.refuse(10, "certificate has expired");
                login.role = None;
                login.database = None
            },
            &[
                "validity failed: certificate has expired (OpenSSL error 10) at depth 0: \
                 /O=Acme/CN=alice (serial 1)",
                "role failed: the role does not exist [pg_roles]",
                "database failed: the database does not exist [pg_database]",
                "reporting skipped: the database does not exist, so its encoding is not known",
                "refused at validity",
                "client: TLS alert \"certificate expired\" (45)",
                "log: LOG: could not accept SSL connection: certificate verify failed",
                "log: DETAIL: Client certificate verification failed at depth 0: certificate has \
                 expired.",
            ],
        ),
        // A server that is full refuses before it looks for a rule.
        (
            |login| {
                login.slots.for_superusers = false;
                login.hba = "hostssl all bob all cert"
            },
            &[
                "connection_slots failed: no connection is free for this role [max_connections]",
                "hba_rule failed: no rule matches",
                "client_certificate, authentication, identity, mapping skipped: there is no rule",
                "refused at connection_slots",
                "client and log: FATAL: sorry, too many clients already",
            ],
        ),
        (
            |login| {
                login.trust = None;
                login.role = None
            },
            &[
                "chain unknown: the chain was not judged [ca.crt]",
                "role failed: the role does not exist [pg_roles]",
                "database skipped: the role does not exist, so nothing is known of its privileges",
                "refused at role",
                "client and log: FATAL: role \"alice\" does not exist",
            ],
        ),
    ]);
}
