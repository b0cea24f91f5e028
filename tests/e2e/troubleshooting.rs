//! Common mistakes, each made for real: the login is refused, the what-if login names what mends it,
//! and that does. `docs/troubleshooting.md` has each by what the client sees.

use openssl::ssl::SslVersion;
use pgtls_e2e::prelude::*;
use testpki::Curve;

/// Who comes, and how.
#[derive(Clone)]
struct Visitor {
    identity: Option<Identity>,
    role: &'static str,
    database: &'static str,
    tls: bool,
    /// The only protocol version that it speaks.
    version: Option<(&'static str, SslVersion)>,
    /// Whether it takes what OpenSSL finds too weak.
    careless: bool,
}

fn with(identity: &Identity, role: &'static str) -> Visitor {
    Visitor { identity: Some(identity.clone()), ..without_certificate(role) }
}

fn without_certificate(role: &'static str) -> Visitor {
    Visitor {
        identity: None,
        role,
        database: "postgres",
        tls: true,
        version: None,
        careless: false,
    }
}

impl Visitor {
    fn arguments(&self) -> String {
        let certificate = self.identity.as_ref().map(|identity| quote(&identity.bundle_pem()));
        let version = self.version.map(|(name, _)| format!(", protocol_version => '{name}'"));
        format!(
            "{}, '{}', '{}', '127.0.0.1', ssl => {}{}",
            certificate.as_deref().unwrap_or("null"),
            self.role,
            self.database,
            self.tls,
            version.unwrap_or_default()
        )
    }

    fn client(&self, cluster: &Cluster) -> Login {
        let client = cluster.client(self.role).database(self.database);
        let mut client = client.password("guess");
        if let Some(identity) = &self.identity {
            client = client.with(identity);
        }
        if let Some((_, version)) = self.version {
            client = client.tls_versions(version, version);
        }
        if self.careless {
            client = client.ciphers("DEFAULT@SECLEVEL=0");
        }
        if self.tls { client } else { client.no_tls() }
    }
}

/// A text without the names in it, as the page has it.
fn general(text: &str) -> String {
    let parts = text.split('"').enumerate();
    let parts = parts.map(|(index, part)| if index % 2 == 1 { "..." } else { part });
    parts.collect::<Vec<_>>().join("\"")
}

/// A server, and the page on which every mistake has to be found.
struct Office {
    cluster: Cluster,
    page: String,
    mistakes: usize,
}

const RULES: &str = "hostssl all guest 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 cert";

impl Office {
    fn open() -> Self {
        let pki = Pki::standard();
        let cluster = Cluster::builder()
            .roles(&["alice", "bob", "direct", "guest", "clerk", "server_only", "untrusted"])
            .hba(RULES)
            .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
            .preloaded()
            .start();
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let page = std::fs::read_to_string(page.join("troubleshooting.md")).unwrap();
        Self { cluster, page, mistakes: 0 }
    }

    /// As it was when it opened.
    fn tidy(&self) {
        let pki = Pki::standard();
        self.cluster.write_hba(RULES);
        self.cluster.write_ident("");
        self.cluster.replace_ca(&[&pki.root().cert]);
        self.cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
        self.cluster.set("ssl_ca_file", self.cluster.tls_path("ca.crt").display());
        for setting in [
            "pgtls_ext.require_tls",
            "ssl_min_protocol_version",
            "ssl_max_protocol_version",
            "ssl_ciphers",
        ] {
            self.cluster.unset(setting);
        }
        self.cluster.reload();
    }

    /// One mistake: what the client sees, what the hint says, who comes, and how it is mended;
    /// after that, the one who comes then gets in.
    fn mistake(
        &mut self,
        sees: &str,
        hint: &str,
        visitor: &Visitor,
        mend: impl FnOnce(&Cluster, &str) -> Visitor,
    ) {
        let cluster = &self.cluster;
        cluster.reload();
        let error = visitor.client(cluster).refused();
        let ask = format!(
            "select client_sees, hint from pgtls_explain_login({}) where check_name = 'verdict'",
            visitor.arguments()
        );
        let row = cluster.admin().row(&ask);
        let [said, advice] = [0, 1].map(|index| row[index].clone().unwrap_or_default());
        assert!(said.contains(sees), "{said} instead of {sees} ({})", error.message);
        assert!(advice.contains(hint), "{sees}: {advice} instead of {hint}");
        if error.tls_alert.is_none() {
            assert_eq!(said, format!("FATAL: {}", error.message));
        }
        let heading = general(sees);
        let entry = self.page.split_once(&format!("## {heading}\n"));
        let (_, entry) = entry.unwrap_or_else(|| panic!("the page has no entry for {heading}"));
        let entry = entry.split("\n## ").next().unwrap_or_default();
        let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(entry.contains(&general(hint)), "the entry {heading} does not say: {hint}");
        let visitor = mend(cluster, &advice);
        cluster.reload();
        let check = format!("select pgtls_check_login({})", visitor.arguments());
        assert_eq!(cluster.admin().value(&check), "t", "{sees}: {advice}");
        visitor.client(cluster).login();
        self.mistakes += 1;
        self.tidy();
    }
}

#[test]
fn mistakes_with_certificates_are_mended_by_their_hints() {
    let pki = Pki::standard();
    let mut office = Office::open();
    let alice = || with(pki.alice(), "alice");

    office.mistake(
        "unknown CA",
        "append it to the file of sslcert",
        &with(&pki.alice().leaf_only(), "alice"),
        |_, _| alice(),
    );
    office.mistake(
        "unknown CA",
        "If the server is to trust that CA, add it to ssl_ca_file and reload.",
        &with(&pki.untrusted().leaf_only(), "untrusted"),
        |cluster, _| {
            cluster.replace_ca(&[&pki.root().cert, &pki.other_root().cert]);
            cluster.replace_crl(&[pki.root_crl(), &pki.crl(pki.other_root()).build()]);
            with(pki.untrusted(), "untrusted")
        },
    );
    office.mistake(
        "unknown CA",
        "The client needs a certificate of a CA that the server trusts.",
        &with(&pki.untrusted().sending(&[&pki.other_root().cert]), "untrusted"),
        |_, _| alice(),
    );
    office.mistake(
        "unknown CA",
        "The certificate is signed by its own key.",
        &with(&pki.issue("/CN=alice").self_signed().build(), "alice"),
        |_, _| alice(),
    );
    let name = pki.root().cert.subject_der();
    let renewed_root = pki.issue("/CN=root").subject_raw(&name).self_signed().ca().build();
    office.mistake(
        "unknown CA",
        "but not with the key that signed",
        &with(&pki.issue("/CN=alice").by(&renewed_root).build(), "alice"),
        |cluster, _| {
            cluster.replace_ca(&[&pki.root().cert, &renewed_root.cert]);
            let crls = [pki.root_crl(), pki.intermediate_crl(), &pki.crl(&renewed_root).build()];
            cluster.replace_crl(&crls);
            with(&pki.issue("/CN=alice").by(&renewed_root).build(), "alice")
        },
    );
    let name = pki.intermediate().cert.subject_der();
    let namesake = pki.issue("/CN=x").subject_raw(&name).by(pki.root()).ca().build();
    office.mistake(
        "unknown CA",
        "but not with the key that signed",
        &with(&pki.alice().sending(&[&namesake.cert]), "alice"),
        |_, _| alice(),
    );
    office.cluster.replace_crl(&[pki.root_crl()]);
    office.mistake(
        "unknown CA",
        "it needs one of every CA of the chain",
        &alice(),
        |cluster, _| {
            cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
            alice()
        },
    );
    office.mistake(
        "certificate revoked",
        "The client needs a new certificate",
        &with(&pki.revoked().clone(), "alice"),
        |_, _| alice(),
    );
    let below = pki.crl(pki.revoked_intermediate()).build();
    office.cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl(), &below]);
    office.mistake(
        "certificate revoked",
        "its clients need certificates of another CA",
        &with(pki.under_revoked(), "alice"),
        |_, _| alice(),
    );
    office.mistake(
        "certificate expired",
        "The client needs a new certificate: this one ended at",
        &with(pki.expired(), "alice"),
        |_, _| alice(),
    );
    office.cluster.replace_crl(&[pki.root_crl(), &pki.crl(pki.intermediate()).stale().build()]);
    office.mistake("certificate expired", "Fetch the current CRL", &alice(), |cluster, _| {
        cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
        alice()
    });
    office.mistake(
        "bad certificate",
        "compare the clocks of the server and of the CA",
        &with(pki.not_yet_valid(), "alice"),
        |_, _| alice(),
    );
    let early = pki.crl(pki.intermediate()).not_yet_valid().build();
    office.cluster.replace_crl(&[pki.root_crl(), &early]);
    office.mistake("bad certificate", "begins in the future", &alice(), |cluster, _| {
        cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
        alice()
    });
    let forged = pki.crl(pki.intermediate()).bad_signature().build();
    office.cluster.replace_crl(&[pki.root_crl(), &forged]);
    office.mistake(
        "decrypt error",
        "is not signed by its key: fetch it anew",
        &alice(),
        |cluster, _| {
            cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
            alice()
        },
    );
    office.mistake(
        "unsupported certificate",
        "extended key usage clientAuth. It has: serverAuth.",
        &with(pki.server_only(), "server_only"),
        |_, _| with(&pki.issue("/CN=server_only").build(), "server_only"),
    );
    let under_leaf = pki.issue("/CN=alice").by(pki.bob()).build();
    office.mistake(
        "unknown CA",
        "signed a certificate, but by its own extensions may not",
        &with(&under_leaf, "alice"),
        |_, _| alice(),
    );
    let brief = pki.root().issue("/CN=a CA that ended").ca().expired().build();
    office.cluster.replace_crl(&[pki.root_crl(), &pki.crl(&brief).build()]);
    office.mistake(
        "certificate expired",
        "put the renewed one in its place",
        &with(&brief.issue("/CN=alice").build(), "alice"),
        |cluster, _| {
            let renewed = pki.root().issue("/CN=a CA that ended").ca().key(&brief.key).build();
            cluster.replace_crl(&[pki.root_crl(), &pki.crl(&renewed).build()]);
            with(&renewed.issue("/CN=alice").build(), "alice")
        },
    );
    office.mistake(
        "certificate unknown",
        "an extension that is marked as critical",
        &with(pki.member("unknown_critical"), "alice"),
        |_, _| alice(),
    );
    assert_eq!(office.mistakes, 18);
}

#[test]
fn mistakes_with_keys_and_versions_are_mended_by_their_hints() {
    let pki = Pki::standard();
    let mut office = Office::open();
    let alice = || with(pki.alice(), "alice");
    let speaking = |name, version, careless| Visitor {
        version: Some((name, version)),
        careless,
        ..without_certificate("guest")
    };

    office.mistake(
        "protocol version",
        "Have the client speak one of them",
        &speaking("TLSv1.1", SslVersion::TLS1_1, true),
        |_, _| speaking("TLSv1.2", SslVersion::TLS1_2, false),
    );
    office.cluster.set("ssl_min_protocol_version", "TLSv1.3");
    office.mistake(
        "protocol version",
        "or change the limits and reload",
        &speaking("TLSv1.2", SslVersion::TLS1_2, false),
        |cluster, _| {
            cluster.set("ssl_min_protocol_version", "TLSv1.2");
            speaking("TLSv1.2", SslVersion::TLS1_2, false)
        },
    );
    office.cluster.set("ssl_max_protocol_version", "TLSv1.2");
    office.mistake(
        "illegal parameter",
        "Have the certificate issued for a key on P-256 or an RSA key.",
        &with(&pki.issue("/CN=alice").on(Curve::P384).build(), "alice"),
        |_, _| alice(),
    );
    // Debian's level; elsewhere it may be lower.
    let level = |office: &Office| office.cluster.set("ssl_ciphers", "DEFAULT:@SECLEVEL=2");
    let careless = |identity: &Identity| Visitor { careless: true, ..with(identity, "alice") };
    level(&office);
    office.mistake(
        "bad certificate",
        "have one issued for a longer key, RSA with 2048 bits or more, or P-256",
        &careless(&pki.issue("/CN=alice").key(&Key::rsa_of(1024)).build()),
        |_, _| alice(),
    );
    level(&office);
    office.mistake(
        "bad certificate",
        "have it issued anew with SHA-256 or better",
        &careless(&pki.issue("/CN=alice").digest(Digest::Sha1).build()),
        |_, _| alice(),
    );
    office.cluster.unset("ssl_ca_file");
    office.mistake(
        "client certificates can only be checked if a root certificate store is available",
        "set it to the CAs of the clients",
        &alice(),
        |cluster, _| {
            cluster.set("ssl_ca_file", cluster.tls_path("ca.crt").display());
            alice()
        },
    );
    assert_eq!(office.mistakes, 6);
}

#[test]
fn mistakes_with_rules_and_names_are_mended_by_their_hints() {
    let pki = Pki::standard();
    let mut office = Office::open();
    let alice = || with(pki.alice(), "alice");
    let plain = Visitor { tls: false, ..without_certificate("guest") };

    office.mistake(
        "no pg_hba.conf entry",
        "is for this client: connect with sslmode=require",
        &plain,
        |_, _| without_certificate("guest"),
    );
    office.cluster.write_hba("hostssl all bob 127.0.0.1/32 cert");
    office.mistake(
        "no pg_hba.conf entry",
        "Add a rule for it to pg_hba.conf",
        &alice(),
        |cluster, advice| {
            let (_, line) = advice.split_once("for example ").expect("it has an example");
            let (line, _) = line.split_once(", and reload").expect("which ends there");
            cluster.write_hba(line);
            alice()
        },
    );
    office.cluster.write_hba("hostssl all all 0.0.0.0/0 reject");
    office.mistake(
        "pg_hba.conf rejects connection",
        "put a rule for it above",
        &alice(),
        |cluster, advice| {
            let (_, line) = advice.split_once("for example ").expect("it has an example");
            let (line, _) = line.split_once(", and reload").expect("which ends there");
            cluster.write_hba(&format!("{line}\nhostssl all all 0.0.0.0/0 reject"));
            alice()
        },
    );
    office.mistake(
        "connection requires a valid client certificate",
        "sslcert and sslkey name it and its key",
        &without_certificate("alice"),
        |_, _| alice(),
    );
    office.mistake(
        "certificate authentication failed for user",
        "or let the rule compare the subject: clientname=DN",
        &with(pki.no_cn(), "clerk"),
        |cluster, _| {
            cluster.write_hba("hostssl all all 127.0.0.1/32 cert clientname=DN map=subjects");
            cluster.write_ident("subjects \"OU=no name,O=Acme\" clerk");
            with(pki.no_cn(), "clerk")
        },
    );
    office.mistake(
        "certificate authentication failed for user",
        "Log in as role \"alice\", or name a map in the rule",
        &with(pki.alice(), "clerk"),
        |_, _| alice(),
    );
    office.cluster.write_hba("hostssl all all 127.0.0.1/32 cert map=staff");
    office.mistake(
        "certificate authentication failed for user",
        "No line of pg_ident.conf is of the map staff.",
        &with(pki.alice(), "clerk"),
        |cluster, advice| {
            let (_, line) = advice.split_once("as this role, add ").expect("it has the line");
            let (line, _) = line.split_once(" to pg_ident.conf").expect("which ends there");
            cluster.write_ident(line);
            with(pki.alice(), "clerk")
        },
    );
    office.cluster.write_hba("hostssl all all 127.0.0.1/32 cert map=staff");
    office.cluster.write_ident("staff alice bob");
    office.mistake(
        "certificate authentication failed for user",
        "The map lets it be: \"bob\".",
        &with(pki.alice(), "clerk"),
        |_, _| with(pki.alice(), "bob"),
    );
    office.cluster.write_hba("hostssl all all 127.0.0.1/32 cert map=staff");
    office.cluster.write_ident("staff Alice clerk");
    office.mistake(
        "certificate authentication failed for user",
        "nearly fits: it has \"Alice\", and the certificate has \"alice\"",
        &with(pki.alice(), "clerk"),
        |cluster, _| {
            cluster.write_ident("staff alice clerk");
            with(pki.alice(), "clerk")
        },
    );
    office.cluster.write_hba("hostssl all all 127.0.0.1/32 cert clientname=DN map=staff");
    office.cluster.write_ident("staff \"O=Acme,OU=no name\" clerk");
    office.mistake(
        "certificate authentication failed for user",
        "upper and lower case, order and separators count",
        &with(pki.no_cn(), "clerk"),
        |cluster, _| {
            cluster.write_ident("staff \"OU=no name,O=Acme\" clerk");
            with(pki.no_cn(), "clerk")
        },
    );
    office.cluster.write_hba("hostssl all clerk 127.0.0.1/32 scram-sha-256");
    office.mistake(
        "password authentication failed for user",
        "Set a password with \\password",
        &without_certificate("clerk"),
        |cluster, _| {
            cluster.sql("alter role clerk password 'guess'");
            without_certificate("clerk")
        },
    );
    office.cluster.write_hba("host all all 127.0.0.1/32 trust");
    office.cluster.set("pgtls_ext.require_tls", "on");
    office.mistake(
        "connections over TCP without TLS are not allowed",
        "Connect with sslmode=require, or better verify-full.",
        &plain,
        |_, _| without_certificate("guest"),
    );
    assert_eq!(office.mistakes, 12);
}

#[test]
fn mistakes_with_roles_and_databases_are_mended_by_their_hints() {
    let mut office = Office::open();
    // Before, what the client sees, the hint, role and database.
    let mistakes = [
        (
            "",
            "role \"newcomer\" does not exist",
            "CREATE ROLE \"newcomer\" LOGIN;",
            "newcomer",
            "postgres",
        ),
        (
            "alter role bob nologin",
            "role \"bob\" is not permitted to log in",
            "ALTER ROLE \"bob\" LOGIN;",
            "bob",
            "postgres",
        ),
        (
            "alter role clerk connection limit 0",
            "too many connections for role \"clerk\"",
            "ALTER ROLE \"clerk\" CONNECTION LIMIT -1;",
            "clerk",
            "postgres",
        ),
        (
            "",
            "database \"archive\" does not exist",
            "CREATE DATABASE \"archive\";",
            "alice",
            "archive",
        ),
        (
            "revoke connect on database archive from public",
            "permission denied for database \"archive\"",
            "GRANT CONNECT ON DATABASE \"archive\" TO \"alice\";",
            "alice",
            "archive",
        ),
        (
            "alter database archive allow_connections false",
            "database \"archive\" is not currently accepting connections",
            "ALTER DATABASE \"archive\" ALLOW_CONNECTIONS true;",
            "alice",
            "archive",
        ),
        (
            "alter database archive connection limit 0",
            "too many connections for database \"archive\"",
            "ALTER DATABASE \"archive\" CONNECTION LIMIT -1;",
            "alice",
            "archive",
        ),
    ];
    for (before, sees, hint, role, database) in mistakes {
        if !before.is_empty() {
            office.cluster.sql(before);
        }
        office.cluster.write_hba("hostssl all all 127.0.0.1/32 trust");
        let visitor = Visitor { database, ..without_certificate(role) };
        office.mistake(sees, hint, &visitor, |cluster, advice| {
            let (sql, _) = advice.split_once(';').expect("the hint is a statement");
            cluster.sql(sql);
            visitor.clone()
        });
    }
    assert_eq!(office.mistakes, mistakes.len());
}
