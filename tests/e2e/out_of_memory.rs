//! Too little memory: an error for whoever asked or a line in the log, and nobody else notices.
//!
//! The address space of one process is limited while it works, which stands for strict overcommit
//! and `ulimit -v`.

use pgtls_e2e::prelude::*;
use pgtls_e2e::{limit_address_space, state_file};

use super::inventory::{file, worker};

/// How much more than it has a process gets.
const LIMITS: [u64; 5] = [0, 64 << 10, 512 << 10, 4 << 20, 16 << 20];

/// Steps between the first limits under which a large argument is tried.
const STEP: u64 = 256 << 10;

/// A server with all that the functions look at: logins, failures, CRLs, rules, maps, and large
/// arguments.
fn cluster() -> Cluster {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice", "ordinary", "monitor"])
        .hba("hostssl all alice 127.0.0.1/32 cert map=m")
        .hba("hostssl all all 127.0.0.1/32 trust clientcert=verify-ca")
        .ident(r"m /^(.*)$ \1")
        .crl_file(&pki.crls())
        .preloaded()
        .start();
    cluster.sql("grant pg_monitor to monitor");
    cluster.sql("create table input (name text primary key, pem text)");
    cluster
        .sql("alter table input alter pem set storage external; grant select on input to public");
    let mut names = pki.issue("CN=many");
    for number in 0..10_000 {
        names = names.san_dns(&format!("host{number}.some.where.example.com"));
    }
    let bundle = pki.alice().bundle_pem().repeat(700);
    let crl = pki.crl(pki.root()).many(50_000).build().pem();
    for (name, pem) in [
        ("one", pki.alice().bundle_pem()),
        ("names", names.build().cert.pem()),
        ("bundle", bundle),
        ("crl", crl),
    ] {
        cluster.sql(&format!("insert into input values ({}, {})", quote(name), quote(&pem)));
    }
    cluster.client("alice").with(pki.bob()).refused();
    cluster
}

fn login(cluster: &Cluster, role: &str) -> Session {
    cluster.client(role).with(Pki::standard().alice()).login()
}

/// Runs `sql` in a session of its own that gets this much memory. Says whether there was enough.
fn run_with(cluster: &Cluster, role: &str, sql: &str, more: u64) -> bool {
    let session = login(cluster, role);
    let pid = session.pid();
    // What the server itself keeps of the tables it reads from need not be in question.
    session.run("select name, length(pem) from public.input");
    limit_address_space(pid, Some(more));
    let outcome = session.query(sql);
    // The last net is under what slips through all others, the server's own panic about an error in
    // an error among it: it ends this session, and no other.
    let is_panic = |error: &SqlError| error.message == "ERRORDATA_STACK_SIZE exceeded";
    let has_ended = matches!(&outcome, Err(error) if is_panic(error));
    if has_ended || !limit_address_space(pid, None) || session.query("select 1").is_err() {
        println!("{role}: {sql} with {more} bytes: the session ended: {outcome:?}");
        assert!(outcome.is_err());
        return false;
    }
    let what = format!("{role}: {sql} with {more} bytes: {outcome:?}");
    let enough = match &outcome {
        Ok(_) => true,
        Err(error) if error.sqlstate == "53200" => false,
        Err(error) => panic!("{what}: {error}\n{}", cluster.log().tail()),
    };
    // The session goes on, and with enough memory it gets its answer.
    assert_eq!(session.pid(), pid, "{what}");
    if let Err(error) = session.query(sql) {
        panic!("{what}; afterwards {error}");
    }
    enough
}

/// What everybody may call, what monitoring may, and what the superuser may.
fn calls(cluster: &Cluster, role: &str) -> Vec<String> {
    let callable = cluster.sql(&format!(
        "select p.oid::regprocedure::text, p.proname from pg_proc p \
         join pg_depend d on d.objid = p.oid \
         join pg_extension e on e.oid = d.refobjid and e.extname = 'pgtls_ext' \
         where d.classid = 'pg_proc'::regclass and d.deptype = 'e' \
         and has_function_privilege({}, p.oid, 'execute') order by 1",
        quote(role)
    ));
    let pem = |name: &str| format!("(select pem from public.input where name = '{name}')");
    let arguments = |signature: &str| -> Option<String> {
        let types = signature.split_once('(')?.1.strip_suffix(')')?;
        let login = format!("{}, 'alice', 'postgres', '127.0.0.1'", pem("one"));
        Some(match signature.split('(').next()? {
            "pgtls_explain_login" | "pgtls_check_login" => login,
            "pgtls_parse_crls" | "pgtls_parse_crl_entries" if types == "text" => pem("crl"),
            "pgtls_parse_crls" | "pgtls_parse_crl_entries" | "pgtls_parse_requests" => return None,
            "pgtls_explain_mapping" | "pgtls_check_mapping" => "'alice', 'alice', 'm'".to_owned(),
            "pgtls_forget" => "repeat('0', 64)".to_owned(),
            "pgtls_mapped_roles" => "'alice', 'm'".to_owned(),
            "pgtls_reset" => return None,
            _ => match types {
                "" => String::new(),
                "text" if signature.contains("field") => "'CN'".to_owned(),
                "text" => pem("one"),
                "name" => "'alice'".to_owned(),
                "name, text" | "name,text" => "'alice', 'm'".to_owned(),
                "boolean" => "true".to_owned(),
                _ => return None,
            },
        })
    };
    callable
        .iter()
        .filter_map(|row| {
            let name = row[1].as_deref()?;
            let arguments = arguments(row[0].as_deref()?)?;
            Some(format!("select count(*) from {name}({arguments})"))
        })
        .collect()
}

#[test]
fn a_function_without_memory_is_an_error() {
    let cluster = cluster();
    let witness = login(&cluster, "alice");
    let pid = witness.pid();
    let mark = cluster.mark();
    let mut refused = 0;
    let mut done = 0;
    let some = &LIMITS[1..3];
    for (role, at_least, limits) in
        [("postgres", 40, &LIMITS[..]), ("monitor", 40, some), ("ordinary", 30, some)]
    {
        let calls = calls(&cluster, role);
        assert!(calls.len() >= at_least, "{role}: {calls:?}");
        for call in &calls {
            for more in limits {
                match run_with(&cluster, role, call, *more) {
                    true => done += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(refused > 50 && done > 50, "{refused} refused, {done} done");
    assert_eq!(witness.pid(), pid);
    assert!(!cluster.log_since(mark).contains("was terminated by signal"));
}

#[test]
fn a_large_argument_without_memory_is_an_error() {
    let cluster = cluster();
    let witness = login(&cluster, "alice");
    let pid = witness.pid();
    let mark = cluster.mark();
    let pem = |name: &str| format!("(select pem from public.input where name = '{name}')");
    for call in [
        format!("select count(*) from pgtls_parse_certificates({})", pem("bundle")),
        format!("select count(*) from pgtls_parse_certificates({})", pem("names")),
        format!("select pgtls_certificate_json({})", pem("names")),
        format!("select pgtls_certificate_json({})", pem("bundle")),
        format!("select count(*) from pgtls_lint_certificate({})", pem("names")),
        format!("select count(*) from pgtls_parse_crl_entries({})", pem("crl")),
        format!("select pgtls_check_login({}, 'alice', 'postgres', '127.0.0.1')", pem("names")),
    ] {
        let mut refused = 0;
        let mut more = 0;
        while !run_with(&cluster, "postgres", &call, more) {
            refused += 1;
            more += STEP.max(more / 3);
            assert!(more < 1 << 30, "{call}: refused with {more} bytes");
        }
        assert!(refused > 0, "{call}");
    }
    assert_eq!(witness.pid(), pid);
    assert!(!cluster.log_since(mark).contains("was terminated by signal"));
}

fn count(cluster: &Cluster) -> String {
    cluster.admin().value("select client_certificates from pgtls_status")
}

/// A value of `/proc/PID/status`, in bytes.
fn status(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_large_inventory_takes_the_worker_no_memory() {
    const MANY: u32 = 20_000;
    let cluster = Cluster::builder()
        .set("pgtls_ext.max_client_certificates", MANY)
        .roles(&["alice"])
        .preloaded()
        .start();
    cluster.shut_down(Shutdown::Fast);
    let content = state_file(MANY);
    assert!(content.len() > 100_000_000);
    std::fs::write(file(&cluster), content).unwrap();
    cluster.start_again();
    assert_eq!(count(&cluster), MANY.to_string());
    let written = || std::fs::metadata(file(&cluster)).and_then(|file| file.modified()).unwrap();
    let before = written();
    // One that is new takes the place of the oldest.
    let alice = login(&cluster, "alice");
    cluster.reload();
    eventually("the worker has written", || written() != before);
    let pid = worker(&cluster).expect("there is a worker");
    // Its own memory, without the shared one.
    let private = status(pid, "RssAnon:");
    assert!(private < 8 << 20, "{private} bytes");
    assert!(status(cluster.pid(), "RssAnon:") < 8 << 20);

    // With as little as there is, it writes, or says that it cannot.
    let mark = cluster.mark();
    for more in LIMITS {
        limit_address_space(pid, Some(more));
        cluster.client("alice").with(Pki::standard().bob()).refused();
        let (before, mark) = (written(), cluster.mark());
        cluster.reload();
        eventually("the worker has written, or says why not", || {
            written() != before || cluster.log_since(mark).contains("out of memory")
        });
        limit_address_space(pid, None);
    }
    assert_eq!(worker(&cluster), Some(pid), "{}", cluster.log_since(mark));
    assert_eq!(alice.value("select count(*) from pgtls_sessions"), "1");
    cluster.restart();
    assert_eq!(count(&cluster), MANY.to_string());
    assert!(!cluster.log_since(mark).contains("was terminated by signal"));
}

/// A server gets over the crash of a backend while its postmaster, and so all of its processes, has
/// this much memory. With less, one without the extension does not get over it either: its startup
/// process takes half a megabyte at once.
fn crash_with(cluster: &Cluster, more: u64) {
    let victim = cluster.admin();
    let pid = victim.pid();
    limit_address_space(cluster.pid(), Some(more));
    cluster.kill9(pid);
    limit_address_space(cluster.pid(), None);
}

#[test]
fn a_postmaster_without_memory_does_what_it_does_without_the_extension() {
    let stock = Cluster::start();
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    cluster.shut_down(Shutdown::Fast);
    std::fs::write(file(&cluster), state_file(1000)).unwrap();
    cluster.start_again();
    let mark = cluster.mark();
    for more in [LIMITS[3], LIMITS[4]] {
        crash_with(&stock, more);
        crash_with(&cluster, more);
        // The worker reads the file again, of which the postmaster knows nothing.
        eventually("the inventory is back", || count(&cluster) == "1000");
    }
    let killed = cluster.log_since(mark).matches("was terminated by signal").count();
    assert_eq!(killed, 2, "those that were killed");
    for more in [LIMITS[0], LIMITS[2]] {
        for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Smart] {
            let mark = cluster.mark();
            limit_address_space(cluster.pid(), Some(more));
            cluster.shut_down(how);
            assert!(!cluster.data_dir().join("postmaster.pid").exists(), "{how:?} with {more}");
            assert!(!cluster.log_since(mark).contains("was terminated by signal"));
            cluster.start_again();
        }
        assert_eq!(count(&cluster), "1000");
    }
}

/// Set to anything for every allocation instead of some: `make test-allocations`.
const EVERY_VARIABLE: &str = "PGTLS_EVERY_ALLOCATION";

/// Most calls take fewer; of those that take more, the later ones are like the earlier.
const MOST_ALLOCATIONS: u32 = 3000;

/// The allocation after this one that is refused next. The first ones one by one, then fewer and
/// fewer.
fn next(allocation: u32) -> u32 {
    let every = std::env::var_os(EVERY_VARIABLE).is_some();
    if every { allocation + 1 } else { allocation + 1 + allocation / 2 }
}

#[test]
fn a_function_whose_allocations_are_refused_is_an_error() {
    let cluster = cluster();
    let session = login(&cluster, "postgres");
    let pid = session.pid();
    let mark = cluster.mark();
    let (mut refused, mut done) = (0, 0);
    for call in &calls(&cluster, "postgres") {
        let mut allocation = 1;
        while allocation < MOST_ALLOCATIONS {
            session.run(&format!("set pgtls_ext.debug_fail_allocation = {allocation}"));
            let outcome = session.query(call);
            session.run("reset pgtls_ext.debug_fail_allocation");
            match outcome {
                Ok(_) => done += 1,
                Err(error) if error.sqlstate == "53200" => refused += 1,
                Err(error) => panic!("{call} without allocation {allocation}: {error}"),
            }
            allocation = next(allocation);
        }
        // Nothing is left of it.
        session.run(call);
    }
    assert_eq!(session.pid(), pid);
    assert!(refused > 100 && done > 100, "{refused} refused, {done} done");
    assert!(!cluster.log_since(mark).contains("was terminated by signal"));
}

#[test]
fn logins_and_the_worker_go_on_when_allocations_are_refused() {
    let cluster = Cluster::builder().roles(&["alice"]).preloaded().start();
    let pki = Pki::standard();
    let pid = worker(&cluster).expect("there is a worker");
    let mut allocation = 1;
    let mark = cluster.mark();
    while allocation < 200 {
        cluster.set("pgtls_ext.debug_fail_allocation", allocation);
        cluster.reload();
        cluster.client("alice").with(pki.alice()).login();
        cluster.client("alice").with(pki.bob()).refused();
        cluster.client("alice").with(pki.untrusted()).refused();
        // The worker saves at a reload.
        cluster.reload();
        allocation = next(allocation);
    }
    cluster.unset("pgtls_ext.debug_fail_allocation");
    cluster.reload();
    assert_eq!(worker(&cluster), Some(pid), "{}", cluster.log_since(mark));
    cluster.restart();
    let sums = cluster
        .sql("select sum(logins) > 5, sum(failed_logins) > 5 from pgtls_client_certificates");
    assert_eq!(sums, [[Some("t".to_owned()), Some("t".to_owned())]]);
    let log = cluster.log_since(mark);
    assert!(!log.contains("was terminated by signal"), "{log}");
    // A server that refuses from the start starts, and stops.
    for allocation in [1, 10, 100] {
        cluster.set("pgtls_ext.debug_fail_allocation", allocation);
        cluster.restart();
        cluster.client("alice").with(pki.alice()).login();
        cluster.kill9(cluster.admin().pid());
    }
}
