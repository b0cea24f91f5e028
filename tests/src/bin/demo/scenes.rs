//! The story, scene by scene. A scene is a question, the queries that answer it, and what `psql` says.

use crate::office::Office;
use crate::terminal::Terminal;

/// What the server logs for every handshake in which it does not accept the client's certificate.
const REFUSED: &str = "could not accept SSL connection";

/// Plays all of it.
pub(crate) fn play(office: &Office, terminal: &mut Terminal) {
    introduction(office, terminal);
    let _sessions = office.everybody_connects();
    who_is_connected(office, terminal);
    a_chain(office, terminal);
    a_long_name(office, terminal);
    a_login_that_fails(office, terminal);
    a_crl_that_locks_out(office, terminal);
    a_revocation(office, terminal);
    why_others_failed(office, terminal);
    a_reload_that_did_not_take(office, terminal);
}

fn introduction(office: &Office, terminal: &Terminal) {
    terminal.say(
        "pgtls_ext shows TLS from SQL: who is connected with which certificate, who is
refused and why, and what a revocation list does. This is a PostgreSQL server
of its own, with pgtls_ext in shared_preload_libraries, revocation lists (CRLs)
in ssl_crl_file, and these rules in pg_hba.conf; its files are below",
    );
    println!("  {}\n", office.cluster.dir().display());
    println!("  {}", Office::rules().join("\n  "));
}

fn who_is_connected(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Who is connected, how, and whose certificate ends soon?");
    terminal.show(
        &office.admin,
        "select usename, ssl, version, auth_method, client_cn,
       client_not_after::date as ends, credential_status
from pgtls_sessions where client_addr is not null
order by usename;",
    );
    terminal.say(if office.has_pooler() {
        "guest has no TLS. billing's certificate has to be renewed soon. shop and stock
come through a PgBouncer: the server sees PgBouncer's certificate, not theirs."
    } else {
        "guest has no TLS. billing's certificate has to be renewed soon. (There is no
PgBouncer on this machine, else two sessions here would come through it.)"
    });
}

fn a_chain(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Which CAs stand behind a client's certificate, and who had them?");
    terminal.show(
        &office.alice,
        "select depth, source, cn, is_ca, not_after::date as ends
from ssl_client_chain() order by depth;",
    );
    terminal.say("alice sent the intermediate CA along; the server has only the root.");
}

fn a_long_name(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Whose certificate is it? pg_stat_ssl cuts names at 63 bytes.");
    terminal.show(
        &office.admin,
        "select client_dn as pg_stat_ssl, client_subject as pgtls_sessions
from pg_stat_ssl join pgtls_sessions using (pid)
where usename = 'carol' \\gx",
    );
}

fn a_login_that_fails(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Why does dave not get in? His certificate is by the same CA as alice's.");
    let mark = office.cluster.mark();
    terminal.show(&office.dave, "select 1;");
    office.cluster.wait_for_log(mark, REFUSED);
    terminal.say("The administrator has his certificate, and asks without a login:");
    terminal.show(
        &office.admin,
        "\\set pem `cat dave.crt`
select check_name, outcome, detail
from pgtls_explain_login(:'pem', 'dave', 'postgres', '127.0.0.1')
where outcome not in ('ok', 'skipped');",
    );
}

fn a_crl_that_locks_out(office: &Office, terminal: &mut Terminal) {
    office.install_stale_crls();
    terminal.scene("A new CRL file is in place, not loaded yet. What will a reload do?");
    terminal.show(&office.admin, "select subject, crl_status, effect from pgtls_crl_coverage;");
}

fn a_revocation(office: &Office, terminal: &mut Terminal) {
    office.install_crls_that_revoke_alice();
    office.cluster.reload();
    terminal.scene("alice's certificate is revoked and the CRL is loaded. Is she still in?");
    terminal.show(
        &office.admin,
        "select usename, client_cn, credential_status, credential_detail
from pgtls_sessions where credential_status not in ('valid', 'none')
order by usename;",
    );
    terminal.say("PostgreSQL looks at a certificate at login only. This ends her session:");
    terminal.show(
        &office.admin,
        "select pid, usename, credential_status, terminated
from pgtls_terminate_invalid(false);",
    );
    let mark = office.cluster.mark();
    terminal.show(&office.alice, "select 1;");
    office.cluster.wait_for_log(mark, REFUSED);
}

fn why_others_failed(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Who else was refused, and why? The server's log, then pgtls_ext:");
    let mark = office.cluster.mark();
    terminal.show(&office.erin, "select 1;");
    office.cluster.wait_for_log(mark, REFUSED);
    terminal.show(
        &office.admin,
        "\\! grep -o 'could not accept SSL.*' log | sort | uniq -c
select at::time(0), reason, subject from pgtls_recent_failures order by at;",
    );
}

fn a_reload_that_did_not_take(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Did the reload take? Somebody has broken the server's certificate.");
    office.with_a_broken_server_certificate(|| {
        let mark = office.cluster.mark();
        terminal.show(&office.admin, "select pg_reload_conf();");
        office.cluster.wait_for_log(mark, "SSL configuration was not reloaded");
        terminal.show(&office.admin, "select last_reload_ok, last_reload_at from pgtls_status;");
    });
}
