//! Refusals that the what-if login has to know, each asked about and then made: the server is the
//! oracle.

use pgtls_e2e::prelude::*;

/// What `pgtls_explain_login` says of one step: outcome and detail.
fn step(admin: &Session, arguments: &str, name: &str) -> (String, String) {
    let row = admin.row(&format!(
        "select outcome, detail from pgtls_explain_login({arguments}) where check_name = '{name}'"
    ));
    let cell = |index: usize| row[index].clone().expect("no step without an outcome and a detail");
    (cell(0), cell(1))
}

/// What a client is foretold to see; `None` if it is let in.
fn foretold(admin: &Session, arguments: &str) -> Option<String> {
    admin.maybe(&format!(
        "select client_sees from pgtls_explain_login({arguments}) where check_name = 'verdict'"
    ))
}

/// The words of a real refusal, as the what-if login writes them.
fn fatal(error: &LoginError) -> String {
    format!("FATAL: {}", error.message)
}

#[test]
fn require_tls_is_a_refusal_of_its_own() {
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("host all all 127.0.0.1/32 trust")
        .hba("local all all trust")
        .preloaded()
        .start();
    let plain = "null, 'alice', 'postgres', '127.0.0.1', ssl => false";
    let admin = cluster.admin();
    assert_eq!(foretold(&admin, plain), None);
    assert_eq!(step(&admin, plain, "require_tls").0, "skipped");
    cluster.client("alice").no_tls().login();

    cluster.set("pgtls_ext.require_tls", "on");
    cluster.reload();
    let admin = cluster.admin();
    let error = cluster.client("alice").no_tls().refused();
    assert_eq!(foretold(&admin, plain), Some(fatal(&error)));
    assert_eq!(step(&admin, plain, "require_tls").0, "failed");
    for (arguments, login) in [
        ("null, 'alice', 'postgres', '127.0.0.1'", cluster.client("alice")),
        ("null, 'alice', 'postgres', null", cluster.client("alice").unix()),
    ] {
        login.login();
        assert_eq!(foretold(&admin, arguments), None, "{arguments}");
        assert_eq!(step(&admin, arguments, "require_tls").0, "ok", "{arguments}");
    }
}

#[test]
fn own_words_are_readable_in_every_encoding_and_show_the_rule() {
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("hostssl all alice 127.0.0.1/32 cert map=people")
        .hba("hostssl all \"bob\" 127.0.0.1 255.0.0.255 trust clientcert=verify-ca clientname=DN")
        .ident("people alice alice")
        .extension()
        .start();
    cluster.database("latin", "LATIN1");
    let admin = cluster.admin_in("latin");
    admin.run("create extension pgtls_ext");
    let alice = quote(&Pki::standard().alice().bundle_pem());
    for (role, rule) in [
        ("alice", "hostssl all alice 127.0.0.1/32 cert map=people"),
        (
            "bob",
            "hostssl all \"bob\" 127.0.0.1 255.0.0.255 trust clientcert=verify-ca clientname=DN",
        ),
    ] {
        let arguments = format!("{alice}, '{role}', 'latin', '127.0.0.1'");
        assert_eq!(step(&admin, &arguments, "hba_rule"), ("ok".to_owned(), rule.to_owned()));
        let escaped = format!(
            "select count(*) from pgtls_explain_login({arguments}) s where s::text ~ '[\\\\]'"
        );
        assert_eq!(admin.value(&escaped), "0");
    }
    // No name is compared by the second rule: any certificate of the CA may be bob.
    assert_eq!(
        admin.column("select clientname from pgtls_hba_rules where user_name[1] ~ 'alice|bob'"),
        [Some("CN".to_owned()), None]
    );
}
