//! What a client that verifies the server makes of the server's certificate: every kind of name, with
//! every kind of host, foretold and then tried with the real `psql`.

use std::net::{IpAddr, Ipv4Addr};

use openssl::ssl::SslVersion;
use pgtls_e2e::prelude::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const HOSTS: &[&str] = &[
    "localhost",
    "db.example.com",
    "DB.Example.COM",
    "a.db.example.com",
    "example.com",
    "127.0.0.1",
    "127.0.0.2",
    "::1",
];

/// What `psql` says of the server's certificate; `None` if it takes it.
fn objection(cluster: &Cluster, host: &str, sslmode: &str) -> Option<String> {
    let guest = cluster.psql("guest");
    // With the file of the CA, libpq takes `require` for `verify-ca`.
    let guest =
        if sslmode == "require" { guest.parameter("sslrootcert", "/nowhere") } else { guest };
    let psql = guest
        .parameter("host", host)
        .parameter("hostaddr", "127.0.0.1")
        .parameter("sslmode", sslmode);
    let output = psql.run("select 1;");
    (output.status != Some(0)).then_some(output.stderr)
}

fn start() -> Cluster {
    Cluster::builder()
        .roles(&["guest"])
        .hba("hostssl all guest 127.0.0.1/32 trust")
        .preloaded()
        .start()
}

/// Outcome and detail of the step.
fn foretold(admin: &Session, host: &str) -> (String, String) {
    let row = admin.row(&format!(
        "select outcome, detail, hint from pgtls_explain_login(null, 'guest', 'postgres', \
         '127.0.0.1', host => {}) where check_name = 'server_certificate'",
        quote(host)
    ));
    let cell = |index: usize| row[index].clone().unwrap_or_default();
    assert_eq!(cell(2).is_empty(), cell(0) != "warning", "{row:?}");
    (cell(0), cell(1))
}

#[test]
fn a_host_name_does_where_psql_takes_it() {
    let pki = Pki::standard();
    let server = |subject: &str| pki.server_ca().issue(subject).server_auth();
    let certificates = [
        server("/CN=localhost"),
        server("/CN=localhost").san_dns("db.example.com"),
        server("/CN=x").san_dns("*.example.com").san_dns("localhost"),
        server("/CN=127.0.0.2").san_ip(LOOPBACK),
        server("/CN=127.0.0.2").san_dns("127.0.0.1"),
        server("/CN=db.example.com").san_email("dba@example.com"),
        server("/CN=db.example.com").san_ip(LOOPBACK),
        server("/CN=*.example.com"),
        server("/CN=d*.example.com").san_dns("*").san_dns("*.com"),
        server("/O=Acme"),
    ];
    let cluster = start();
    let (mut taken, mut refused) = (0, 0);
    for (number, certificate) in certificates.into_iter().enumerate() {
        cluster.replace_server(&certificate.build());
        cluster.reload();
        let admin = cluster.admin();
        for host in HOSTS {
            let what = format!("certificate {number}, {host}");
            let (outcome, detail) = foretold(&admin, host);
            match objection(&cluster, host, "verify-full") {
                None => {
                    assert_eq!(outcome, "ok", "{what}: {detail}");
                    taken += 1;
                }
                Some(said) => {
                    assert_eq!(outcome, "warning", "{what}: {detail}\n{said}");
                    let (_, words) = detail.split_once("libpq says: ").expect("it says something");
                    assert!(said.contains(words), "{what}: {words}\n{said}");
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 10 && refused > 30, "{taken} taken, {refused} refused");
}

#[test]
fn a_server_certificate_that_has_ended_is_said_to_have() {
    let pki = Pki::standard();
    let cluster = start();
    let server = || pki.server_ca().issue("/CN=localhost").server_auth();
    for (certificate, words) in [
        (server().expired().build(), "certificate has expired"),
        (server().not_before(now() + DAY).build(), "certificate is not yet valid"),
    ] {
        cluster.replace_server(&certificate);
        cluster.reload();
        let (outcome, detail) = foretold(&cluster.admin(), "localhost");
        assert_eq!(outcome, "warning");
        assert!(detail.contains(words), "{detail}");
        let said = objection(&cluster, "localhost", "verify-ca").expect("psql refuses it");
        assert!(said.contains("certificate verify failed"), "{said}");
        // Who does not verify gets in, and that is the verdict.
        assert_eq!(objection(&cluster, "localhost", "require"), None);
    }
    let verdict = "select pgtls_check_login(null, 'guest', 'postgres', '127.0.0.1', host => 'x')";
    assert_eq!(cluster.admin().value(verdict), "t");
    // No name, no step; and none without TLS.
    for arguments in ["host => null", "host => 'localhost', ssl => false"] {
        let count = format!(
            "select count(*) from pgtls_explain_login(null, 'guest', 'postgres', '127.0.0.1', \
             {arguments}) where check_name = 'server_certificate'"
        );
        assert_eq!(cluster.admin().value(&count), "0", "{arguments}");
    }
}

#[test]
fn a_protocol_version_does_where_the_server_takes_it() {
    let cluster = start();
    let versions = [
        ("TLSv1", SslVersion::TLS1),
        ("TLSv1.1", SslVersion::TLS1_1),
        ("TLSv1.2", SslVersion::TLS1_2),
        ("TLSv1.3", SslVersion::TLS1_3),
    ];
    let (mut taken, mut refused) = (0, 0);
    for (min, max, ciphers) in [
        ("TLSv1.2", "", None),
        ("TLSv1.2", "TLSv1.2", None),
        ("TLSv1.3", "", None),
        // OpenSSL's security level has a word in this, too.
        ("TLSv1", "", None),
        ("TLSv1", "TLSv1.2", Some("DEFAULT@SECLEVEL=0")),
    ] {
        cluster.set("ssl_min_protocol_version", min);
        cluster.set("ssl_max_protocol_version", max);
        match ciphers {
            Some(ciphers) => cluster.set("ssl_ciphers", ciphers),
            None => cluster.unset("ssl_ciphers"),
        }
        cluster.reload();
        let admin = cluster.admin();
        for (name, version) in versions {
            let what = format!("{name} with {min}, {max}, {ciphers:?}");
            let row = admin.row(&format!(
                "select outcome, client_sees, server_logs, hint from pgtls_explain_login(null, \
                 'guest', 'postgres', '127.0.0.1', protocol_version => '{name}') \
                 where check_name = 'verdict'"
            ));
            let cell = |index: usize| row[index].clone().unwrap_or_default();
            let mut client = cluster.client("guest").tls_versions(version, version);
            if ["TLSv1", "TLSv1.1"].contains(&name) {
                client = client.ciphers("DEFAULT@SECLEVEL=0");
            }
            let mark = cluster.mark();
            match client.connect() {
                Ok(_) => {
                    assert_eq!(cell(0), "admitted", "{what}: {row:?}");
                    taken += 1;
                }
                Err(error) => {
                    assert_eq!(cell(0), "refused", "{what}: {row:?} {error:?}");
                    let alert = cell(1).rsplit(['(', ')']).nth(1).and_then(|it| it.parse().ok());
                    let alert: u8 = alert.expect("an alert has a number");
                    assert_eq!(error.tls_alert, Some(Alert::from(alert)), "{what}: {error:?}");
                    assert!(!cell(3).is_empty(), "{what}: {row:?}");
                    for line in cell(2).lines() {
                        let (level, message) = line.split_once(": ").expect("a level");
                        cluster.wait_for_log(mark, &format!("{level}:  {message}"));
                    }
                    refused += 1;
                }
            }
        }
    }
    assert!(taken >= 6 && refused >= 6, "{taken} taken, {refused} refused");
    let wrong = "select pgtls_check_login(null, 'guest', 'postgres', '127.0.0.1', \
                 protocol_version => 'TLSv1.4')";
    assert_eq!(cluster.admin().error(wrong).sqlstate, "22023");
}
