//! `make demo`: a throw-away server with TLS, several clients, and what `psql` shows each of them.
//!
//! `KEEP=1` leaves the server up and says how to connect and how to stop it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use pgtls_e2e::der;
use pgtls_e2e::pki::UNKNOWN_OID;
use pgtls_e2e::prelude::*;

/// Fits a terminal of the usual width.
const COLUMNS: usize = 80;

/// A DN of more than 63 bytes, which is where the server's own view cuts.
const LONG_NAME: &str = "/C=DE/O=Gesellschaft zur Erprobung langer Namen mit beschraenkter Haftung\
/OU=Department of Certificates Longer Than One Column/CN=carol";

/// guest needs no certificate and not even TLS, everybody else a certificate with the role's name as its CN.
const RULES: [&str; 2] =
    ["host    all guest 127.0.0.1/32 trust", "hostssl all all   127.0.0.1/32 cert"];

fn main() -> ExitCode {
    let keep = std::env::var("KEEP").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    if keep && std::env::var_os("PGTLS_IN_CHROOT").is_some() {
        eprintln!("KEEP=1 needs a PostgreSQL of this machine: what runs in a chroot ends with it");
        return ExitCode::FAILURE;
    }

    say("A server is started with its own certificates, with pgtls_ext in
-- shared_preload_libraries, and with these rules in pg_hba.conf:");
    println!("  {}", RULES.join("\n  "));
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["guest", "alice", "billing", "carol"])
        .hba(RULES[0])
        .hba(RULES[1])
        .crl_file(&[pki.root_crl(), &pki.crl(pki.intermediate()).build()])
        .preloaded()
        .start();

    let admin = Client::new("admin", cluster.psql(SUPERUSER).unix());
    let guest = Client::new("guest", cluster.psql("guest"));
    let client =
        |name, identity: CertBuilder| Client::new(name, cluster.psql(name).with(&identity.build()));
    let of_alice = pki.issue("/O=Acme/CN=alice").build();
    let alice = Client::new("alice", cluster.psql("alice").with(&of_alice));
    let carol = client("carol", pki.issue(LONG_NAME));
    let billing = pki.issue("/O=Acme/CN=billing").san_dns("billing.acme.example");
    let billing = billing.san_uri("spiffe://acme.example/billing").san_email("ops@acme.example");
    let billing = client("billing", billing.extension(UNKNOWN_OID, false, &der::utf8("unknown")));
    let expired = pki.issue("/O=Acme/CN=alice").expired().build();
    let late = Client::new("late", cluster.psql("alice").with(&expired));

    admin.shows(
        "The administrator comes over the Unix socket. There is no TLS, and nothing fails for it.",
        "select ssl_is_used(), ssl_version(), ssl_client_dn();",
    );
    guest.shows(
        "guest comes over TLS without a certificate. This is the connection in one row.",
        "select ssl, version, cipher, bits, key_exchange_group, sni, alpn,
       client_cert_present
from ssl_session() \\gx",
    );
    alice.shows(
        "alice has a certificate: her name in it let her in, and it will for so many days.",
        "select ssl_client_cn(), ssl_client_dn(), ssl_issuer_dn(),
       ssl_client_serial(), ssl_client_not_after(),
       ssl_client_not_after()::date - current_date as days_left \\gx",
    );
    alice.shows(
        "An intermediate CA issued it. alice sent that along, and the server knows the root.",
        "select depth, source, cn, is_ca, not_after::date
from ssl_client_chain();",
    );
    carol.shows(
        "carol's name is long. The server's view cuts it at 63 bytes and loses who she is.",
        "select client_dn from pg_stat_ssl where pid = pg_backend_pid() \\gx
select ssl_client_dn() \\gx",
    );
    billing.shows(
        "A service has further names in its certificate; PostgreSQL itself shows none of them.",
        "select * from ssl_client_san();",
    );
    billing.shows(
        "One extension has no name in OpenSSL; sslinfo stops there with an error, this does not.",
        "select name, critical, left(value, 40) as value from ssl_extension_info();",
    );
    let plain = Client::new("plain", cluster.psql("guest").parameter("sslmode", "disable"));
    let _sessions = [&alice, &carol, &guest, &plain].map(Client::stays);
    eventually("four sessions", || {
        let sessions = "select count(*) = 4 from pgtls_sessions where client_addr is not null";
        cluster.admin().value(sessions) == "t"
    });
    admin.shows(
        "The administrator sees who is connected, and that one guest did without encryption.",
        "select usename, client_addr, ssl, version, cipher, source
from pgtls_sessions where client_addr is not null
order by usename, ssl;",
    );
    late.shows(
        "This certificate has expired: the handshake ends before any rule or query is looked at.",
        "select ssl_client_not_after();",
    );
    let file = cluster.dir().join("late.crt");
    fs::write(&file, expired.cert.pem()).expect("a certificate can be written");
    admin.shows(
        "Certificates can also be read from a file, by psql on the administrator's side.",
        &format!(
            "\\set pem `cat {}`
select cn, not_before, not_after, not_after < now() as expired
from pgtls_parse_certificates(:'pem');",
            file.display()
        ),
    );

    let crl = pki.crl(pki.intermediate()).revoke(&of_alice.cert).build();
    cluster.replace_crl(&[pki.root_crl(), &crl]);
    cluster.reload();
    admin.shows(
        "alice's certificate is revoked, and the server has the CRL. She is still connected.",
        "select usename, client_cn, credential_status
from pgtls_sessions where client_cn is not null
order by usename;",
    );
    let sql = "select pid, usename, credential_status, terminated
from pgtls_terminate_invalid(false);";
    admin.shows("Her session is ended, and nobody else's.", sql);
    let mark = cluster.mark();
    alice.shows("She tries again, and is refused.", "select 1;");
    cluster.wait_for_log(mark, "certificate verify failed");
    let log = cluster.log_since(mark);
    let line = log.lines().find(|line| line.contains("could not accept SSL connection"));
    let line = line.and_then(|line| line.split_once("could not")).map_or("", |(_, rest)| rest);
    say("The server's log has the same line for this as for the certificate that had expired:");
    println!("  could not{line}");
    admin.shows(
        "pgtls_ext knows both reasons, and whose certificates they were.",
        "select reason, subject from pgtls_recent_failures order by at;",
    );
    admin.shows(
        "Would she get in again? Which step refuses her can be asked without a login.",
        &format!(
            "\\set pem `cat {}`
select check_name, outcome, detail
from pgtls_explain_login(:'pem', 'alice', 'postgres', '127.0.0.1')
where outcome = 'failed';",
            kept_bundle(&cluster, &of_alice).display()
        ),
    );
    let server_certificate = cluster.tls_path("server.crt");
    let good = fs::read(&server_certificate).expect("the server has a certificate");
    fs::write(&server_certificate, "nonsense").expect("a file can be written");
    cluster.reload();
    admin.shows(
        "Somebody breaks the server's certificate and reloads. The function says t all the same.",
        "select pg_reload_conf();
select last_reload_ok from pgtls_status;",
    );
    fs::write(&server_certificate, good).expect("a file can be written");
    cluster.reload();

    if keep {
        keep_up(cluster, &[&admin, &guest, &alice, &carol, &billing, &late]);
    } else {
        say("The server is stopped and removed. make demo KEEP=1 leaves it up to try yourself.");
    }
    ExitCode::SUCCESS
}

/// The certificates that a client sends, in a file.
fn kept_bundle(cluster: &Cluster, identity: &Identity) -> PathBuf {
    let file = cluster.dir().join("alice.crt");
    fs::write(&file, identity.bundle_pem()).expect("certificates can be written");
    file
}

/// Somebody with `psql`.
struct Client {
    name: &'static str,
    psql: Psql,
}

impl Client {
    fn new(name: &'static str, psql: Psql) -> Self {
        Self { name, psql: psql.aligned(COLUMNS) }
    }

    /// Shows a query and what `psql` prints for it.
    fn shows(&self, sentence: &str, sql: &str) {
        say(sentence);
        let prompt = format!("{}=> ", self.name);
        println!("{prompt}{}", sql.replace('\n', &format!("\n{:1$}", "", prompt.len())));
        let output = self.psql.run(sql);
        println!("{}", format!("{}{}", output.stdout, output.stderr).trim_end());
    }

    /// Stays connected until this is dropped.
    fn stays(&self) -> Background {
        self.psql.background("psql", &["--command", "select pg_sleep(60)"])
    }
}

fn say(sentence: &str) {
    println!("\n-- {sentence}\n");
}

/// Leaves the server up and says how to use and to stop it.
fn keep_up(cluster: Cluster, clients: &[&Client]) {
    let psql = Installation::get().program("psql");
    let psql = psql.get_program().to_string_lossy().into_owned();
    let kept = cluster.keep();
    let services = kept.dir.join("pg_service.conf");
    let entries: Vec<_> = clients.iter().map(|client| client.psql.service(client.name)).collect();
    fs::write(&services, entries.join("\n")).expect("a service file can be written");

    say("The server stays up. These are its clients; alice and late are refused:");
    println!("  export PGSERVICEFILE={}", services.display());
    for client in clients {
        println!("  {psql} service={}", client.name);
    }
    println!("\nTo stop it and to remove its files:\n\n  sh {}", kept.stop.display());
}
