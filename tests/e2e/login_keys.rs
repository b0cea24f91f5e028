//! Keys that a server cannot do with its protocol limits and groups: each kind of key with each kind
//! of server is foretold, and then tried.

use pgtls_e2e::prelude::*;
use testpki::Curve;

/// Settings of the server, under a name.
type Settings = (&'static str, &'static [(&'static str, &'static str)]);

const SERVERS: [Settings; 4] = [
    ("as it is", &[]),
    ("TLS 1.2", &[("ssl_max_protocol_version", "TLSv1.2")]),
    ("TLS 1.2 with P-384", &[("ssl_max_protocol_version", "TLSv1.2"), (GROUPS, "secp384r1")]),
    ("TLS 1.3 with P-384", &[("ssl_min_protocol_version", "TLSv1.3"), (GROUPS, "secp384r1")]),
];

/// `ssl_groups`, by the name that every version takes.
const GROUPS: &str = "ssl_ecdh_curve";

#[test]
fn keys_are_used_where_it_is_foretold() {
    let pki = Pki::standard();
    let keys = [
        ("P-256", Key::on(Curve::P256)),
        ("P-384", Key::on(Curve::P384)),
        ("P-521", Key::on(Curve::P521)),
        ("secp256k1", Key::on(Curve::K256)),
        ("brainpool", Key::on(Curve::Brainpool256)),
        ("Ed25519", Key::ed25519()),
        ("Ed448", Key::ed448()),
        ("RSA", Key::rsa()),
    ];
    let identities = keys.map(|(name, key)| (name, pki.issue("/CN=alice").key(&key).build()));
    let cluster = Cluster::builder()
        .roles(&["alice", "guest"])
        .hba("hostssl all guest 127.0.0.1/32 trust")
        .hba("hostssl all all 127.0.0.1/32 cert")
        .preloaded()
        .start();
    let mut refused = Vec::new();
    for (server, settings) in SERVERS {
        for name in ["ssl_max_protocol_version", "ssl_min_protocol_version", GROUPS] {
            cluster.unset(name);
        }
        for (name, value) in settings {
            cluster.set(name, *value);
        }
        cluster.reload();
        let admin = cluster.admin();
        for (key, identity) in &identities {
            let what = format!("{server}, {key}");
            for role in ["alice", "guest"] {
                let row = admin.row(&format!(
                    "select (outcome = 'admitted')::text, client_sees, server_logs, hint \
                     from pgtls_explain_login({}, '{role}', 'postgres', '127.0.0.1') \
                     where check_name = 'verdict'",
                    quote(&identity.bundle_pem())
                ));
                let cell = |index: usize| row[index].clone().unwrap_or_default();
                let mark = cluster.mark();
                match cluster.client(role).with(identity).connect() {
                    Ok(_) => assert_eq!(cell(0), "true", "{what}, {role}: {row:?}"),
                    Err(error) => {
                        assert_eq!(cell(0), "false", "{what}, {role}: {row:?}: {}", error.message);
                        assert!(cell(3).contains("P-256"), "{what}, {role}: {row:?}");
                        let logged =
                            cell(2).replace("LOG: ", "LOG:  ").replace("FATAL: ", "FATAL:  ");
                        cluster.wait_for_log(mark, &logged);
                        match error.tls_alert {
                            Some(_) => assert!(cell(1).starts_with("TLS alert"), "{row:?}"),
                            None => assert_eq!(cell(1), format!("FATAL: {}", error.message)),
                        }
                        refused.push(format!("{what}, {role}"));
                    }
                }
            }
        }
    }
    // Both answers are met, whatever this OpenSSL makes of each.
    assert!(refused.iter().any(|it| it.starts_with("TLS 1.2, P-384")), "{refused:?}");
    assert!(refused.len() > 5 && refused.len() < 40, "{refused:?}");
}
