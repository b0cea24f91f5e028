//! The story, scene by scene. A scene is a question, the queries that answer it, and what `psql`
//! says.

use crate::office::Office;
use crate::terminal::Terminal;

/// What the server logs for every handshake in which it does not accept the client's certificate.
const REFUSED: &str = "could not accept SSL connection";

/// From this major version on, the server also logs the reason, as a detail.
const FIRST_WITH_DETAILS: u32 = 16;

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
    a_reload_that_is_tried_first(office, terminal);
    what_ends_next(office, terminal);
}

fn introduction(office: &Office, terminal: &Terminal) {
    terminal.say(
        "pgtls_ext is a PostgreSQL extension. It shows in SQL what the server itself does
not tell about TLS: whose certificates are in use, who is refused and why, and
what a certificate revocation list (CRL) does. All output below is from a real
server with ssl_ca_file, ssl_crl_file, shared_preload_libraries = 'pgtls_ext'.
The prompt says who asks; psql marks with dots where it wraps a long value.

The server's data directory, and the rules of its pg_hba.conf (map=pool lets
PgBouncer's certificate in as shop and as stock):",
    );
    println!("\n  {}\n", office.cluster.dir().display());
    println!("  {}", Office::rules().join("\n  "));
}

fn who_is_connected(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Who is connected, how, and whose certificate ends soon?");
    terminal.show(
        &office.admin,
        "select usename, ssl, version, client_cn,
       client_not_after::date as not_after, credential_status
from pgtls_sessions where client_addr is not null
order by usename;",
    );
    terminal.say(if office.has_pooler() {
        "guest has no TLS. billing's certificate ends within pgtls_ext.renewal_window
(75 days, at most a third of its lifetime): renew_soon. shop and stock come
through PgBouncer: the server sees PgBouncer's certificate, not its clients'."
    } else {
        "guest has no TLS. billing's certificate ends within pgtls_ext.renewal_window
(75 days, at most a third of its lifetime): renew_soon. (With PgBouncer on this
machine, two more sessions would come through it.)"
    });
}

fn a_chain(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Which CAs stand behind a client, and where did the server get them from?");
    terminal.show(
        &office.carol,
        "select depth, source, cn, is_ca, not_after::date
from ssl_client_chain() order by depth;",
    );
    terminal.say(
        "carol asks about herself. Her client sent the intermediate CA along; the trust
store, which is the server's ssl_ca_file, has only the root.",
    );
}

fn a_long_name(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Whose certificate is this? pg_stat_ssl cuts the name at 63 bytes.");
    terminal.show(
        &office.admin,
        "select client_dn as pg_stat_ssl, client_subject as pgtls_ext
from pg_stat_ssl join pgtls_sessions using (pid)
where usename = 'carol' \\gx",
    );
}

fn a_login_that_fails(office: &Office, terminal: &mut Terminal) {
    terminal.scene("dave cannot connect. Why? His certificate is from the same CA as carol's.");
    let mark = office.cluster.mark();
    terminal.log_in(&office.dave);
    office.cluster.wait_for_log(mark, REFUSED);
    terminal.say("dave mails his sslcert file to the administrator, who tests it without him:");
    terminal.show(
        &office.admin,
        "\\set pem `cat dave.crt`
select check_name, detail, hint
from pgtls_explain_login(:'pem', 'dave', 'postgres', '127.0.0.1')
where outcome = 'failed' \\gx",
    );
    terminal.say("Is it enough to append the intermediate CA to dave's sslcert file?");
    terminal.show(
        &office.admin,
        "\\set pem `cat dave.crt intermediate.crt`
select pgtls_check_login(:'pem', 'dave', 'postgres', '127.0.0.1');",
    );
    terminal.say("Yes (t): with that file dave would be let in.");
}

fn a_crl_that_locks_out(office: &Office, terminal: &mut Terminal) {
    office.install_stale_crls();
    terminal.scene("A new CRL file has been copied to the server. Is it safe to reload?");
    terminal.show(
        &office.admin,
        "select subject, crl_status_on_file, effect_on_file
from pgtls_crl_coverage where clients_refused_on_file \\gx",
    );
    terminal.say(
        "No. on_file is what a reload would load: that CA's CRL is past its next update
(stale), and all client certificates here are from that CA. Nobody who needs one
would get in. So the file is replaced by a good one, and only then loaded.",
    );
}

fn a_revocation(office: &Office, terminal: &mut Terminal) {
    office.install_crls_that_revoke_alice();
    office.cluster.reload();
    terminal.scene("The good CRL revokes alice's certificate, and is loaded. Is she still in?");
    terminal.show(
        &office.admin,
        "select usename, credential_status, credential_detail
from pgtls_sessions where credential_status not in ('valid', 'none')
order by usename;",
    );
    terminal.say(
        "Yes: PostgreSQL looks at certificates only at login. This query ends sessions
that could not log in any more; billing's could, until its certificate expires.
Then alice tries to come back.",
    );
    terminal.show(
        &office.admin,
        "select pid, usename, credential_status, terminated
from pgtls_terminate_invalid(dry_run => false);",
    );
    let mark = office.cluster.mark();
    terminal.log_in(&office.alice);
    office.cluster.wait_for_log(mark, REFUSED);
}

fn why_others_failed(office: &Office, terminal: &mut Terminal) {
    terminal.scene("Three clients were refused: dave, alice, and now erin. What was the reason?");
    let mark = office.cluster.mark();
    terminal.log_in(&office.erin);
    office.cluster.wait_for_log(mark, REFUSED);
    if office.cluster.version() < FIRST_WITH_DETAILS {
        terminal.say("The server has logged the same line for all three:");
        terminal.show(&office.admin, "\\! grep -o 'could not accept SSL.*' log | sort | uniq -c");
    } else {
        terminal.say("The server has logged this:");
        terminal.show(
            &office.admin,
            "\\! grep -oE '(could not accept|failed at depth).*' log | sort | uniq -c",
        );
    }
    terminal.say("pgtls_ext has kept a row for each, with the reason and the certificate:");
    terminal.show(
        &office.admin,
        "select reason, client_addr, subject
from pgtls_recent_failures order by last_at;",
    );
}

fn a_reload_that_is_tried_first(office: &Office, terminal: &mut Terminal) {
    terminal.scene("The server got a new certificate file. What would a reload make of it?");
    office.with_a_broken_server_certificate(|| {
        terminal.show(
            &office.admin,
            "select item, outcome from pgtls_check_reload() where outcome = 'failed';",
        );
        let mark = office.cluster.mark();
        terminal.say("Somebody reloads all the same. pg_reload_conf() says true; did it take?");
        terminal.show(&office.admin, "select pg_reload_conf();");
        office.cluster.wait_for_log(mark, "SSL configuration was not reloaded");
        terminal
            .show(&office.admin, "select last_reload_ok, last_reload_error from pgtls_status \\gx");
        terminal
            .say("No. The server goes on with the certificate that it had; a restart would fail.");
    });
}

fn what_ends_next(office: &Office, terminal: &mut Terminal) {
    terminal.scene("The file is put right. What expires next, of all that logins depend on?");
    terminal.show(
        &office.admin,
        "select ends_at::date, kind, name, status
from pgtls_expiring() limit 4;",
    );
}
