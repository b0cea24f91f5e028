//! The extension as an object: beside sslinfo, in any schema, dumped and restored, documented.

use pgtls_e2e::prelude::*;

#[test]
fn beside_sslinfo_it_says_what_to_do() {
    let cluster = Cluster::builder().staged().start();
    let admin = cluster.admin();
    admin.run("create extension sslinfo");
    let error = admin.error("create extension pgtls_ext");
    assert_eq!(error.sqlstate, "42723");
    assert_eq!(error.message, "schema \"public\" already has the functions of sslinfo");
    assert!(error.hint.is_some_and(|hint| hint.contains("CREATE EXTENSION pgtls_ext SCHEMA")));
    admin.run("create schema x");
    admin.run("create extension pgtls_ext schema x");
    assert_eq!(
        admin.row("select public.ssl_is_used()::text, x.ssl_is_used()::text"),
        [Some("false".to_owned()), Some("false".to_owned())],
    );
}

#[test]
fn it_moves_between_schemas_and_leaves_nothing_behind() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    admin.run("create schema y");
    admin.run("alter extension pgtls_ext set schema y");
    assert_eq!(admin.value("select count(*) from y.pgtls_sessions"), "1");
    assert_eq!(admin.error("select ssl_is_used()").sqlstate, "42883");
    admin.run("set search_path = ''");
    assert_eq!(admin.value("select count(*) from y.pgtls_sessions where source = 'own'"), "1");
    admin.run("drop extension pgtls_ext");
    assert_eq!(
        admin.value(
            "select (select count(*) from pg_proc where pronamespace = 'y'::regnamespace) \
                     + (select count(*) from pg_class where relnamespace = 'y'::regnamespace)"
        ),
        "0",
    );
}

#[test]
fn a_dump_restores_it() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    admin.run("create view who as select ssl_client_cn() as cn, ssl_is_used() as encrypted");
    // A name that needs quotes.
    admin.run("create schema \"TLS now\"");
    admin.run("alter extension pgtls_ext set schema \"TLS now\"");
    let dump = cluster.psql("postgres").unix().tool("pg_dump", &[]).success();
    assert!(dump.contains("CREATE EXTENSION IF NOT EXISTS pgtls_ext"), "{dump}");
    admin.run("create database restored");
    cluster.psql("postgres").unix().database("restored").run(&dump).success();
    let restored = cluster.admin_in("restored");
    assert_eq!(restored.value("select encrypted from who"), "f");
    restored.run("set search_path = \"TLS now\"");
    assert_eq!(restored.value("select count(*) from pgtls_sessions where source = 'own'"), "1");
}

#[test]
fn every_object_has_a_comment_and_every_function_its_marks() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    let members = "select classid, objid from pg_depend d join pg_extension e on d.refobjid = e.oid \
                   where e.extname = 'pgtls_ext' and d.deptype = 'e'";
    assert_eq!(
        admin.rows(&format!(
            "select pg_describe_object(classid, objid, 0) from ({members}) m \
             where obj_description(objid, (select relname from pg_class where oid = classid)) is null \
             and classid in ('pg_proc'::regclass, 'pg_class'::regclass)"
        )),
        Vec::<Vec<Option<String>>>::new(),
    );
    let columns = format!(
        "select attrelid::regclass::text, attname from pg_attribute join ({members}) m \
         on objid = attrelid and classid = 'pg_class'::regclass \
         where attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null"
    );
    assert_eq!(admin.rows(&columns), Vec::<Vec<Option<String>>>::new());
    admin.run("comment on column pgtls_status.failures is null");
    assert_eq!(admin.rows(&columns).len(), 1);
    assert_eq!(
        admin.rows(&format!(
            "select p.oid::regprocedure::text, proparallel, provolatile from pg_proc p join ({members}) m \
             on m.objid = p.oid and classid = 'pg_proc'::regclass \
             where proname like 'ssl\\_%' and (proparallel <> 'r' or provolatile <> 's' or not proisstrict)"
        )),
        Vec::<Vec<Option<String>>>::new(),
    );
}

/// Wherever the certificate columns are, they are all of them, of the same types; and a view has the
/// name of the function behind it.
#[test]
fn certificate_columns_and_names_are_the_same_everywhere() {
    let cluster = Cluster::builder().extension().start();
    let admin = cluster.admin();
    let columns = |call: &str, prefix: &str, also: &str| {
        let wanted = "select name, type from unnest((select proargnames from pg_proc where \
                      oid = 'pgtls_parse_certificates(text)'::regprocedure), (select proallargtypes \
                      from pg_proc where oid = 'pgtls_parse_certificates(text)'::regprocedure), \
                      (select proargmodes from pg_proc where oid = \
                      'pgtls_parse_certificates(text)'::regprocedure)) c(name, type, mode) \
                      where mode = 't'";
        let lacking = format!(
            "select w.name from ({wanted}) w left join pg_proc p on p.oid = '{call}'::regprocedure \
             and exists (select from unnest(p.proargnames, p.proallargtypes) f(name, type) \
             where f.name = {prefix} || w.name and f.type = w.type) \
             where p.oid is null and w.name not in ({also})"
        );
        admin.column(&lacking)
    };
    let none: [Option<String>; 0] = [];
    for (call, prefix) in [
        ("pgtls_parse_certificates(bytea)", "''"),
        ("ssl_client_chain()", "''"),
        ("ssl_server_certificate()", "''"),
        ("ssl_session()", "'client_'"),
        ("pgtls_sessions()", "'client_'"),
        ("pgtls_client_certificates()", "''"),
        ("pgtls_server_certificates()", "''"),
    ] {
        assert_eq!(columns(call, prefix, "''"), none, "{call}");
    }
    // Of a function without them, nearly all are lacking.
    assert!(columns("pgtls_crls()", "''", "''").len() > 20);

    let without_function = admin.column(
        "select relname from pg_class c where relkind = 'v' and relname like 'pgtls%' \
         and relname not like 'pgtls\\_metrics\\_%' and not exists (select from pg_proc where proname = relname)",
    );
    assert_eq!(without_function, [Some("pgtls_sessions_summary".to_owned())]);
}

#[test]
fn a_server_bound_to_another_libssl_is_refused() {
    let other = other_libssl();
    let library = other.display().to_string();
    let cluster = Cluster::builder().staged().environment("LD_PRELOAD", &library).start();
    let error = cluster.admin().error("create extension pgtls_ext");
    std::fs::remove_file(other).expect("the library can be removed");
    assert_eq!(error.sqlstate, "55000");
    assert_eq!(error.message, "pgtls_ext is linked against another libssl than the server");
    assert!(error.detail.is_some_and(|detail| detail.contains(&library)));
    assert!(error.hint.is_some());
}

/// A library that the dynamic linker finds before the real libssl when a function is asked for by
/// name. Its version is its own, so nothing that was linked against libssl is bound to it.
fn other_libssl() -> std::path::PathBuf {
    let path = |suffix: &str| {
        std::env::temp_dir().join(format!("pgtls-other-{}.{suffix}", std::process::id()))
    };
    let (source, map, library) = (path("c"), path("map"), path("so"));
    std::fs::write(
        &source,
        "const char *SSL_get_version(const void *s) { return s ? \"\" : 0; }\n",
    )
    .expect("the source can be written");
    std::fs::write(&map, "OTHER_9 { global: SSL_get_version; };\n")
        .expect("the map can be written");
    let status = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", &format!("-Wl,--version-script={}", map.display()), "-o"])
        .args([&library, &source])
        .status();
    assert!(status.expect("a C compiler is there").success());
    for file in [source, map] {
        std::fs::remove_file(file).expect("a file of ours can be removed");
    }
    library
}
