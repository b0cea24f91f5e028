//! Who takes part: the server, its rules, and the clients with their certificates.

use std::fs;

use pgtls_e2e::prelude::*;

use crate::terminal::Client;

/// Of more than 63 bytes, where the server's own view cuts, and with what tells her from others at
/// its end.
const LONG_NAME: &str = "/C=DE/O=Gesellschaft zur Erprobung langer Namen mit beschraenkter Haftung\
/OU=Vertrieb/CN=carol";

/// What those who come through the pooler are, while the certificate is the pooler's.
const POOLED: [&str; 2] = ["shop", "stock"];

/// guest needs no certificate and not even TLS; everybody else needs one with the role's name as
/// its CN, or the pooler's.
const RULES: [&str; 3] = [
    "host    all guest      127.0.0.1/32 trust",
    "hostssl all shop,stock 127.0.0.1/32 cert map=pool",
    "hostssl all all        127.0.0.1/32 cert",
];

/// The server and everybody who uses it.
pub(crate) struct Office {
    pub(crate) cluster: Cluster,
    /// The superuser, over the Unix socket.
    pub(crate) admin: Client,
    /// Without a certificate.
    pub(crate) guest: Client,
    /// Everything is right, until her certificate is revoked.
    pub(crate) alice: Client,
    /// Her name is long.
    pub(crate) carol: Client,
    /// Its certificate ends soon.
    pub(crate) billing: Client,
    /// Sends his certificate without the intermediate CA's.
    pub(crate) dave: Client,
    /// Her certificate has expired.
    pub(crate) erin: Client,
    pooler: Option<Pooler>,
    of_alice: Identity,
}

impl Office {
    /// Makes the certificates and starts the server and the pooler.
    pub(crate) fn open() -> Self {
        let pki = Pki::standard();
        let cluster = start_server();
        let psql = |role: &str, identity: &Identity| cluster.psql(role).with(identity);
        let client = |name, identity: &Identity| Client::new(name, psql(name, identity));

        let of_alice = pki.issue("/O=Acme/CN=alice").build();
        // A short serial number, because it is shown.
        let of_dave = pki.issue("/O=Acme/CN=dave").serial(1207).build().leaf_only();
        write_certificates(&cluster, "dave.crt", &of_dave);
        write_certificates(&cluster, "intermediate.crt", pki.intermediate());
        let billing = pki.issue("/O=Acme/CN=billing").valid_days(20);
        let of_pooler = pki.issue("/O=Acme/CN=pgbouncer").build();
        Self {
            admin: Client::new("admin", cluster.psql(SUPERUSER).unix()),
            guest: Client::new("guest", cluster.psql("guest").parameter("sslmode", "disable")),
            alice: client("alice", &of_alice),
            carol: client("carol", &pki.issue(LONG_NAME).build()),
            billing: client("billing", &billing.not_before(now() - 100 * DAY).build()),
            dave: client("dave", &of_dave),
            erin: client("erin", &pki.issue("/O=Acme/CN=erin").expired().build()),
            pooler: Pooler::start(&cluster, &of_pooler, &POOLED),
            of_alice,
            cluster,
        }
    }

    /// The lines of `pg_hba.conf`.
    pub(crate) fn rules() -> [&'static str; 3] {
        RULES
    }

    /// Those who connect by themselves.
    pub(crate) fn clients(&self) -> [&Client; 7] {
        let Self { admin, guest, alice, carol, billing, dave, erin, .. } = self;
        [admin, guest, alice, carol, billing, dave, erin]
    }

    pub(crate) fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// All who can be let in connect, and stay until the result is dropped.
    pub(crate) fn everybody_connects(&self) -> Vec<Background> {
        let direct = [&self.guest, &self.alice, &self.carol, &self.billing];
        let mut sessions: Vec<_> = direct.map(Client::stays).into();
        if let Some(pooler) = &self.pooler {
            let pooled = POOLED.map(|role| Client::new(role, pooler.psql(&self.cluster, role)));
            sessions.extend(pooled.iter().map(Client::stays));
        }
        let admin = self.cluster.admin();
        let count = sessions.len();
        eventually("everybody's session", || {
            let connected = "select count(*) from pgtls_sessions where client_addr is not null";
            admin.value(connected) == count.to_string()
        });
        sessions
    }

    /// Puts a CRL file in place in which the intermediate CA's CRL is past its next update.
    pub(crate) fn install_stale_crls(&self) {
        let pki = Pki::standard();
        let stale = pki.crl(pki.intermediate()).stale().build();
        self.cluster.replace_crl(&[pki.root_crl(), &stale]);
    }

    /// Puts a CRL file in place that revokes alice's certificate.
    pub(crate) fn install_crls_that_revoke_alice(&self) {
        let pki = Pki::standard();
        let issuer = pki.intermediate();
        let crl = pki.crl(issuer).revoke_for(&self.of_alice.cert, Reason::KeyCompromise, now());
        self.cluster.replace_crl(&[pki.root_crl(), &crl.build()]);
    }

    /// Runs `then` while the server's certificate file is broken.
    pub(crate) fn with_a_broken_server_certificate(&self, then: impl FnOnce()) {
        let file = self.cluster.tls_path("server.crt");
        let good = fs::read(&file).expect("the server has a certificate");
        fs::write(&file, "nonsense").expect("a file can be written");
        then();
        fs::write(&file, good).expect("a file can be written");
        self.cluster.reload();
    }
}

/// Writes what the identity's owner has in `sslcert` into the directory in which `psql` runs.
fn write_certificates(cluster: &Cluster, name: &str, identity: &Identity) {
    fs::write(cluster.dir().join(name), identity.bundle_pem()).expect("a file can be written");
}

fn start_server() -> Cluster {
    let pki = Pki::standard();
    let mut builder = Cluster::builder()
        .roles(&["guest", "alice", "billing", "carol", "dave", "erin"])
        .roles(&POOLED)
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()]);
    for rule in RULES {
        builder = builder.hba(rule);
    }
    for role in POOLED {
        builder = builder.ident(&format!("pool pgbouncer {role}"));
    }
    builder.preloaded().start()
}
