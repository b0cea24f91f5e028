//! Calling a function often does not make a backend grow.

use pgtls_e2e::prelude::*;

/// How much a backend may grow over a run, in bytes: two and a half for each call.
const TOLERANCE: u64 = 256 * 1024;

/// Runs after which memory has to be flat.
const RUNS: u32 = 4;

/// Calls in a run of a function that returns a value.
const CALLS: u32 = 100_000;

/// Calls in a run of a function that returns rows, which take a tuple store each.
const SET_CALLS: u32 = 10_000;

/// What the process holds of its own: pages of the shared buffers do not count.
fn resident_bytes(pid: u32) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the backend is there");
    let line =
        status.lines().find(|line| line.starts_with("RssAnon:")).expect("a backend has memory");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number of kB") * 1024
}

/// Runs `sql` until a run leaves the server's contexts and the process as large as it found them.
/// The first runs fill caches and let the allocator settle; a leak grows with every run.
fn assert_flat(session: &Session, sql: &str) {
    let size = || -> [u64; 2] {
        let contexts =
            session.value("select sum(total_bytes)::bigint from pg_backend_memory_contexts");
        [contexts.parse().expect("a number of bytes"), resident_bytes(session.pid())]
    };
    let mut sizes = vec![size()];
    for _ in 0..RUNS {
        session.run(sql);
        sizes.push(size());
        if let [.., [contexts, resident], [contexts_now, resident_now]] = sizes[..]
            && contexts_now <= contexts + TOLERANCE
            && resident_now <= resident + TOLERANCE
        {
            return;
        }
    }
    panic!("{sql}: memory contexts and process grow with every run: {sizes:?}");
}

/// A session with a certificate, whose role may see the memory contexts of its own backend.
fn login() -> (Cluster, Session) {
    let cluster = Cluster::builder().roles(&["alice"]).extension().start();
    cluster.sql("grant pg_read_all_stats to alice");
    let session = cluster.client("alice").with(Pki::standard().alice()).login();
    (cluster, session)
}

#[test]
fn calling_often_takes_no_memory() {
    let (cluster, alice) = login();
    let functions = cluster.sql(
        "select p.proname, p.proretset::text from pg_proc p join pg_depend d on d.objid = p.oid \
         join pg_extension e on e.oid = d.refobjid and e.extname = 'pgtls_ext' \
         where d.classid = 'pg_proc'::regclass and d.deptype = 'e' and p.pronargs - p.pronargdefaults = 0 \
         and p.proname like 'ssl\\_%'",
    );
    assert!(functions.len() > 15, "{functions:?}");
    for function in &functions {
        let name = function[0].as_deref().expect("a name");
        let sql = if function[1].as_deref() == Some("true") {
            format!(
                "do $$ begin for i in 1..{SET_CALLS} loop perform count(*) from {name}(); end loop; end $$"
            )
        } else {
            format!("select count({name}()) from generate_series(1, {CALLS})")
        };
        assert_flat(&alice, &sql);
    }
    for sql in [
        format!("select count(ssl_client_dn_field('CN')) from generate_series(1, {CALLS})"),
        format!("select count(ssl_issuer_field('CN')) from generate_series(1, {CALLS})"),
        format!(
            "do $$ declare p text := ssl_client_pem(); begin for i in 1..{SET_CALLS} loop \
             perform count(*) from pgtls_parse_certificates(p); end loop; end $$"
        ),
    ] {
        assert_flat(&alice, &sql);
    }
}

#[test]
fn errors_in_the_middle_take_no_memory() {
    let (_cluster, alice) = login();
    for call in
        ["ssl_client_dn_field('nonsense')", "count(*) from pgtls_parse_certificates('nonsense')"]
    {
        let sql = format!(
            "do $$ begin for i in 1..{SET_CALLS} loop begin perform {call}; raise exception 'no error'; \
             exception when invalid_parameter_value or invalid_text_representation then null; end; end loop; end $$"
        );
        assert_flat(&alice, &sql);
    }
}

#[test]
fn reading_rules_and_judging_logins_takes_no_memory() {
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .hba("hostssl all all 127.0.0.1/32 cert map=m")
        .ident(r"m /^(.*)$ \1")
        .crl_file(&Pki::standard().crls())
        .extension()
        .start();
    let admin = cluster.admin();
    let pem = quote(&Pki::standard().alice().bundle_pem());
    for call in [
        format!("pgtls_check_login({pem}, 'alice', 'postgres', '127.0.0.1')"),
        format!("pgtls_check_login({pem}, 'nobody', 'nowhere', '127.0.0.1')"),
        "pgtls_check_mapping('alice', 'alice', 'm')".to_owned(),
        "count(*) from pgtls_mapped_roles('alice', 'm')".to_owned(),
        "count(*) from pgtls_hba_rules".to_owned(),
    ] {
        assert_flat(
            &admin,
            &format!("do $$ begin for i in 1..1000 loop perform {call}; end loop; end $$"),
        );
    }
    cluster.write_ident("m /(unbalanced x\nm alice");
    let failing = "count(*) from pgtls_mapped_roles('alice', 'm')";
    assert_flat(
        &admin,
        &format!(
            "do $$ begin for i in 1..1000 loop begin perform {failing}; \
             exception when config_file_error then null; end; end loop; end $$"
        ),
    );
}
