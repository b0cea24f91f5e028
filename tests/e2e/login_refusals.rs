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

/// What the server takes without a word, and its author did not mean.
#[test]
fn rules_and_mappings_are_reviewed() {
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    cluster.write_hba(
        "# The applications.\n#   See the wiki.\nhostssl all alice 10.0.0.0/8 cert map=people\n\
         hostssl app alice 10.1.0.0/16 cert map=nobody\n\
         host \"all\" alice 192.0.2.0/24 trust\n\n# not above it\n\nhostnossl all all all reject\n\
         hostnossl all all 127.0.0.1/32 trust\nhostssl replication alice 10.0.0.0/8 cert",
    );
    cluster.write_ident(
        r#"people "/^(.*)\.example\.com$" \1
people "/^(.*)\.example\.com" \1
people "/^(.*)\.example\.com$/" \1
# Left from last year.
old alice alice"#,
    );
    let admin = cluster.admin();
    let rows = admin.rows(
        "select (line_number - first)::text, \
         (substring(shadowed_by from ':(\\d+)$')::integer - first)::text, note, comment \
         from pgtls_hba_rules, (select min(line_number) as first from pgtls_hba_rules \
         where 'alice' = any (user_name)) s where line_number >= first order by line_number",
    );
    let rows = rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or_default()));
    let rows: Vec<Vec<&str>> = rows.map(Iterator::collect).collect();
    assert_eq!(
        rows,
        [
            ["0", "", "", "The applications.\nSee the wiki."],
            ["1", "0", "no line of pg_ident.conf is of the map nobody: the rule admits nobody", ""],
            ["2", "", "\"all\" in quotes is the name of a database, and no keyword", ""],
            ["6", "", "", ""],
            ["7", "6", "", ""],
            ["8", "", "", ""],
        ]
    );
    let notes = admin.column("select note from pgtls_ident_mappings order by map_number");
    let notes: Vec<_> = notes.into_iter().map(Option::unwrap_or_default).collect();
    assert_eq!(notes[0], "");
    assert!(notes[1].contains("has no $ at its end"), "{notes:?}");
    assert!(notes[2].contains("can never match"), "{notes:?}");
    assert_eq!(notes[3], "no rule of pg_hba.conf names this map");
    let comments = admin.column("select comment from pgtls_ident_mappings order by map_number");
    assert_eq!(comments[3].as_deref(), Some("Left from last year."));
    // The server agrees: by the second line, more than its author meant are alice.
    let evil = "select rolname from pgtls_mapped_roles('alice.example.com.evil.org', 'people')";
    assert_eq!(admin.column(evil), [Some("alice".to_owned())]);
    // Without a CA file, no certificate can be asked for.
    cluster.unset("ssl_ca_file");
    let notes = "select count(*) from pgtls_hba_rules where note ~ 'ssl_ca_file is not set'";
    assert_ne!(admin.value(notes), "0");
}
