//! Processes without a client connection, and servers that only read: workers, replicas, standbys.

use pgtls_e2e::prelude::*;

#[test]
fn a_parallel_query_asks_its_leader() {
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .set("min_parallel_table_scan_size", 0)
        .set("parallel_setup_cost", 0)
        .set("parallel_tuple_cost", 0)
        .set("max_parallel_workers_per_gather", 2)
        .set(if_16_or_later("debug_parallel_query", "force_parallel_mode"), "on")
        .extension()
        .start();
    cluster.sql("create table t as select i from generate_series(1, 20000) i; analyze t; grant select on t to alice");
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    let query = "select count(*) from t where i % 2 = 0 and (select ssl_client_cn()) = 'alice'";
    let plan = alice.column(&format!("explain (costs off) {query}"));
    assert!(plan.iter().flatten().any(|line| line.contains("Workers Planned")), "{plan:?}");
    assert_eq!(alice.value(query), "10000");
    assert_eq!(alice.value("select count(*) from t where ssl_is_used()"), "20000");
    assert_eq!(alice.value("select count(*) from pgtls_sessions where source = 'own'"), "1");
    // Somebody who marks a caller as parallel safe gets what a process without a client has.
    cluster.sql(
        "create function hidden(i int) returns boolean language plpgsql parallel safe \
         as 'begin return ssl_is_used(); end'",
    );
    let counts = alice.row("select count(*) filter (where hidden(i)), count(*) from t");
    assert_eq!(counts[1].as_deref(), Some("20000"));
}

/// One of two names of a setting.
fn if_16_or_later(new: &'static str, old: &'static str) -> &'static str {
    static VERSION: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let version = VERSION.get_or_init(|| Cluster::start().version());
    if *version >= 16 { new } else { old }
}

/// A table in a publisher, and a subscriber whose apply worker calls a function for every row.
fn apply_worker_calls(extension: &str) -> (Cluster, Cluster) {
    let cluster = || Cluster::builder().set("wal_level", "logical").staged().start();
    let (publisher, subscriber) = (cluster(), cluster());
    publisher.sql("create table t (i int primary key, encrypted boolean)");
    publisher.sql("create publication p for table t");
    subscriber.sql("create table t (i int primary key, encrypted boolean)");
    subscriber.sql(&format!("create extension {extension}"));
    subscriber.sql(
        "create function stamp() returns trigger language plpgsql \
         as 'begin new.encrypted := public.ssl_is_used(); return new; end'",
    );
    subscriber.sql("create trigger stamp before insert on t for each row execute function stamp()");
    subscriber.sql("alter table t enable always trigger stamp");
    subscriber.sql(&format!(
        "create subscription s connection 'host={} port={} user=postgres dbname=postgres' publication p",
        publisher.socket_dir().display(),
        publisher.port(),
    ));
    (publisher, subscriber)
}

#[test]
fn a_logical_apply_worker_is_not_encrypted() {
    let (publisher, subscriber) = apply_worker_calls("pgtls_ext");
    let mark = subscriber.mark();
    publisher.sql("insert into t values (1)");
    eventually("the row on the subscriber", || {
        subscriber.sql("select encrypted from t") == [[Some("f".to_owned())]]
    });
    assert!(!subscriber.log_since(mark).contains("was terminated by signal"));
    subscriber.sql("drop subscription s");
}

#[test]
fn the_same_worker_crashes_with_sslinfo() {
    // Why this extension looks before it reads: sslinfo takes the whole server down here.
    let (publisher, subscriber) = apply_worker_calls("sslinfo");
    let mark = subscriber.mark();
    publisher.sql("insert into t values (1)");
    subscriber.wait_for_log(mark, "was terminated by signal 11");
    subscriber.shut_down(Shutdown::Immediate);
}

#[test]
fn autovacuum_may_call_it() {
    let cluster = Cluster::builder()
        .set("autovacuum_naptime", "1s")
        .set("autovacuum_analyze_threshold", 1)
        .set("autovacuum_analyze_scale_factor", 0)
        .extension()
        .start();
    // An index expression is evaluated by the autovacuum worker that analyses the table.
    cluster.sql(
        "create function f(i int) returns boolean language plpgsql immutable \
         as 'begin return public.ssl_is_used() or public.ssl_client_cn() is not null; end'",
    );
    cluster.sql("create table t (i int)");
    cluster.sql("create index on t (f(i))");
    let mark = cluster.mark();
    cluster.sql("insert into t select generate_series(1, 1000)");
    eventually("autoanalyze", || {
        cluster.sql("select autoanalyze_count > 0 from pg_stat_user_tables where relname = 't'")
            == [[Some("t".to_owned())]]
    });
    assert_eq!(
        cluster.sql("select most_common_vals from pg_stats where tablename like 't_f_idx'"),
        [[Some("{f}".to_owned())]],
    );
    assert!(!cluster.log_since(mark).contains("ERROR"));
}

#[test]
fn a_standby_and_a_read_only_transaction_answer_alike() {
    let pki = Pki::standard();
    let primary = Cluster::builder().roles(&["alice"]).extension().start();
    let standby = primary.standby();
    standby.catch_up_with(&primary);
    let session = standby.client("alice").with(pki.alice()).login();
    assert_eq!(session.value("select pg_is_in_recovery()"), "t");
    assert_eq!(session.value("select ssl_client_fingerprint()"), pki.alice().cert.fingerprint());
    assert_eq!(session.value("select count(*) from ssl_client_chain()"), "3");
    assert_eq!(session.value("select client_cn from pgtls_sessions"), "alice");
    let session = primary.client("alice").with(pki.alice()).login();
    session.run("begin transaction read only");
    assert_eq!(session.value("select count(*) from ssl_client_chain()"), "3");
    assert_eq!(session.value("select client_cn from pgtls_sessions"), "alice");
}
