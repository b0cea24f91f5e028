//! `pgtls_hba_rules`, `pgtls_ident_mappings`, and the questions about mappings.

use std::sync::OnceLock;

use pgtls_e2e::prelude::*;

/// Rules that tests look at; the harness's own is line 1.
const RULES: &[&str] = &[
    r#"hostssl app,"all" alice,+staff 127.0.0.1/32 cert map=people clientname=DN"#,
    "hostssl all bob 10.0.0.0 255.0.0.0 scram-sha-256 clientcert=verify-full",
    "hostnossl all all samenet reject",
    "host all all .example.com trust",
    "hostssl all all all trust clientcert=verify-ca",
];

/// Mappings that tests look at.
const MAPPINGS: &[&str] = &[
    "people \"CN=alice,O=Acme\" bob",
    r"names /^(.*)@acme\.example$ \1",
    r"names /^broken$ \1",
    "names /^.*$ guest",
    "plain alice carol",
    r#"plain alice "all""#,
];

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let builder = Cluster::builder().roles(&["alice", "bob", "carol", "guest"]).extension();
        let builder = RULES.iter().fold(builder, |builder, rule| builder.hba(rule));
        MAPPINGS.iter().fold(builder, |builder, line| builder.ident(line)).start()
    })
}

#[test]
fn rules_are_shown_with_what_they_ask_of_certificates() {
    let admin = cluster().admin();
    let rows = admin.rows(
        "select rule_number, line_number, type, database, user_name, address, netmask, auth_method,
                clientcert, clientname, map_name, error from pgtls_hba_rules where line_number > 1",
    );
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"2 2 hostssl {app,"\"all\""} {alice,+staff} 127.0.0.1 255.255.255.255 cert verify-full DN people -"#,
            "3 3 hostssl {all} {bob} 10.0.0.0 255.0.0.0 scram-sha-256 verify-full CN - -",
            "4 4 hostnossl {all} {all} samenet - reject - - - -",
            "5 5 host {all} {all} .example.com - trust - - - -",
            "6 6 hostssl {all} {all} all - trust verify-ca - - -",
        ]
    );
    let file = admin.value("select distinct file_name from pgtls_hba_rules");
    assert_eq!(file, cluster().hba_file().display().to_string());
}

#[test]
fn the_views_agree_with_those_of_the_server() {
    let admin = cluster().admin();
    for (ours, theirs, columns) in [
        (
            "pgtls_hba_rules",
            "pg_hba_file_rules",
            "line_number, type, address, netmask, auth_method, error",
        ),
        (
            "pgtls_ident_mappings",
            "pg_ident_file_mappings",
            "line_number, map_name, sys_name, error",
        ),
    ] {
        let rows = |view| admin.rows(&format!("select {columns} from {view} order by line_number"));
        assert_eq!(rows(ours), rows(theirs), "{ours}");
    }
}

#[test]
fn mappings_are_checked_as_the_server_does() {
    let cluster = cluster();
    let admin = cluster.admin();
    for (identity, role, map, expected) in [
        ("alice", "alice", "null", Some(true)),
        ("alice", "bob", "null", Some(false)),
        ("alice", "alice", "''", Some(true)),
        ("CN=alice,O=Acme", "bob", "'people'", Some(true)),
        ("CN=alice,O=Acme", "alice", "'people'", Some(false)),
        ("bob@acme.example", "bob", "'names'", Some(true)),
        ("bob@acme.example", "carol", "'names'", Some(false)),
        ("bob@acme.example", "guest", "'names'", Some(true)),
        // The second line gives up before the third would match.
        ("broken", "guest", "'names'", Some(false)),
        ("broke", "guest", "'names'", Some(true)),
        ("alice", "carol", "'plain'", Some(true)),
        ("alice", "bob", "'plain'", Some(false)),
        ("alice", "all", "'plain'", Some(true)),
        ("alice", "carol", "'no such map'", Some(false)),
    ] {
        let sql =
            format!("select pgtls_check_mapping({}, {}, {map})", quote(identity), quote(role));
        let answer = admin.maybe(&sql).map(|answer| answer == "t");
        assert_eq!(answer, expected, "{sql}");
    }
    for sql in
        ["select pgtls_check_mapping(null, 'alice')", "select pgtls_check_mapping('alice', null)"]
    {
        assert_eq!(admin.maybe(sql), None, "{sql}");
    }
}

#[test]
fn mapped_roles_are_existing_login_roles() {
    let admin = cluster().admin();
    let roles = |identity: &str, map: &str| {
        let sql = format!("select rolname from pgtls_mapped_roles('{identity}', {map})");
        admin.column(&sql).into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(roles("bob@acme.example", "'names'"), ["bob", "guest"]);
    assert_eq!(roles("nobody@acme.example", "'names'"), ["guest"]);
    assert_eq!(roles("broken", "'names'"), Vec::<String>::new());
    assert_eq!(roles("alice", "null"), ["alice"]);
    assert_eq!(roles("pg_monitor", "null"), Vec::<String>::new());
}

#[test]
fn every_line_of_a_map_is_explained() {
    let admin = cluster().admin();
    let rows = admin.rows(
        "select line_number, matched, maps_to, note from pgtls_explain_mapping('bob@acme.example', 'guest', 'names')",
    );
    let text = |cell: &Option<String>| cell.clone().unwrap_or("-".to_owned());
    let rows: Vec<_> = rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>()).collect();
    assert_eq!(rows[0], ["2", "f", "\"bob\"", "-"]);
    assert_eq!(rows[1], ["3", "f", "-", "-"]);
    assert_eq!(rows[2], ["4", "t", "guest", "-"]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn ten_thousand_lines_are_answered() {
    let lines: Vec<String> =
        (0..10_000).map(|n| format!(r#"big "/^CN=user{n},OU=(.*),O=Acme$" role_{n}_\1"#)).collect();
    let cluster = Cluster::builder().ident(&lines.join("\n")).extension().start();
    let admin = cluster.admin();
    let ours = "select pgtls_check_mapping('CN=user9999,OU=x,O=Acme', 'role_9999_x', 'big')";
    let foreign = "select pgtls_check_mapping('CN=user10000,OU=x,O=Acme', 'role_9999_x', 'big')";
    assert_eq!(admin.value(ours), "t");
    assert_eq!(admin.value(foreign), "f");
}
