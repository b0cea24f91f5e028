//! Revocation: the status of one's own certificate, of any other, and what the configured CRLs do
//! to whom.

use std::os::unix::fs::symlink;

use pgtls_e2e::prelude::*;

/// The statuses of the chain, leaf first, as one side sees it.
fn statuses(session: &Session, evaluated: &str) -> String {
    session.value(&format!(
        "select string_agg(status, ',' order by depth) from ssl_client_crl_status() where evaluated = '{evaluated}'"
    ))
}

/// The statuses of a member of the PKI by the files of the cluster, leaf first.
fn statuses_of(cluster: &Cluster, identity: &Identity) -> String {
    cluster.admin().value(&format!(
        "select string_agg(status, ',' order by depth) from pgtls_crl_status({})",
        quote(&identity.bundle_pem())
    ))
}

/// What is expected of a chain on a server whose OpenSSL does not check roots, given what is
/// expected of one that does.
fn here(statuses: &str) -> String {
    match (openssl::version::number() >= 0x3060_0000, statuses.rsplit_once(',')) {
        (true, Some((others, root))) if !["unreadable", "not_checked"].contains(&root) => {
            format!("{others},not_checked")
        }
        _ => statuses.to_owned(),
    }
}

fn builder() -> Builder {
    Cluster::builder().roles(&["alice"]).extension()
}

#[test]
fn without_crls_nothing_is_checked() {
    let cluster = builder().start();
    let alice = cluster.client("alice").with(Pki::standard().alice()).login();
    assert_eq!(statuses(&alice, "login"), "not_checked,not_checked,not_checked");
    assert_eq!(statuses(&alice, "file"), "not_checked,not_checked,not_checked");
    assert!(cluster.sql("select * from pgtls_crls").is_empty());
    assert_eq!(
        cluster.sql("select crl_status, effect from pgtls_crl_coverage"),
        [["not_checked", "revocation is not checked: neither ssl_crl_file nor ssl_crl_dir is set"]
            .map(|value| Some(value.to_owned()))],
    );
}

#[test]
fn a_client_revoked_after_its_login_sees_so_on_the_side_of_the_files() {
    let pki = Pki::standard();
    let (root_crl, intermediate_crl) = (pki.root_crl(), pki.intermediate_crl());
    let cluster = builder().crl_file(&[root_crl, intermediate_crl]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(statuses(&alice, "login"), here("good,good,good"));
    assert_eq!(statuses(&alice, "file"), here("good,good,good"));

    let at = now() - 3600;
    let revoking = pki
        .crl(pki.intermediate())
        .number(77)
        .revoke_for(&pki.alice().cert, Reason::KeyCompromise, at)
        .build();
    cluster.replace_crl(&[root_crl, &revoking]);
    assert_eq!(statuses(&alice, "login"), here("good,good,good"));
    assert_eq!(statuses(&alice, "file"), here("revoked,good,good"));
    assert_eq!(
        alice.row(
            "select reason, extract(epoch from revoked_at)::bigint::text, crl_number::text, crl_source \
             from ssl_client_crl_status() where evaluated = 'file' and depth = 0"
        ),
        ["key_compromise", &at.to_string(), "77", &cluster.crl_file().display().to_string()]
            .map(|value| Some(value.to_owned())),
    );
    // Not reloaded: the server still lets the certificate in, and the view says that the list is
    // not in force.
    let second = cluster.client("alice").with(pki.alice()).login();
    cluster.sql("grant pg_monitor to alice");
    let in_force = "select in_force from pgtls_crls where crl_number = 77";
    assert_eq!(second.value(in_force), "f");
    assert_eq!(second.value("select in_force from pgtls_crls where position = 1"), "t");
    // A session without TLS has no context to look into.
    assert_eq!(cluster.sql(in_force), [[None]]);

    cluster.reload();
    let refused = cluster.client("alice").with(pki.alice()).refused();
    assert_eq!(refused.tls_alert, Some(Alert::CertificateRevoked));
    // The open session goes on, and its own context has not changed.
    assert_eq!(statuses(&alice, "login"), here("good,good,good"));
    assert_eq!(second.value(in_force), "f");
    let direct = cluster.client("direct");
    cluster.role("direct");
    cluster.sql("grant pg_monitor to direct");
    assert_eq!(direct.with(pki.direct()).login().value(in_force), "t");
}

#[test]
fn a_directory_needs_no_reload() {
    let pki = Pki::standard();
    let (root_crl, intermediate_crl) = (pki.root_crl(), pki.intermediate_crl());
    let cluster = builder().crl_dir(&[root_crl, intermediate_crl]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(statuses(&alice, "login"), here("good,good,good"));
    let revoking = pki.crl(pki.intermediate()).revoke(&pki.alice().cert).build();
    cluster.replace_crl_dir(&[root_crl, &revoking]);
    assert_eq!(statuses(&alice, "file"), here("revoked,good,good"));
    assert_eq!(statuses(&alice, "login"), here("good,good,good"));
    let refused = cluster.client("alice").with(pki.alice()).refused();
    assert_eq!(refused.tls_alert, Some(Alert::CertificateRevoked));
    assert_eq!(
        cluster.sql("select count(*), bool_and(in_force)::text, bool_and(problem is null)::text from pgtls_crls"),
        [["2", "true", "true"].map(|value| Some(value.to_owned()))],
    );
}

#[test]
fn the_status_agrees_with_the_server() {
    let pki = Pki::standard();
    let other_root = pki.other_root();
    let root = || pki.crl(pki.root());
    let intermediate = || pki.crl(pki.intermediate());
    let good_root = root().build();
    let good = intermediate().build();
    let rolled = pki
        .issue(Name::empty())
        .subject_raw(&pki.intermediate().cert.subject_der())
        .by(pki.root())
        .ca()
        .build();
    // What is in the files, and the expected statuses of alice, the intermediate and the root.
    let situations: Vec<(&str, Vec<Crl>, &str)> = vec![
        ("good", vec![good_root.clone(), good.clone()], "good,good,good"),
        (
            "leaf revoked",
            vec![good_root.clone(), intermediate().revoke(&pki.alice().cert).build()],
            "revoked,good,good",
        ),
        (
            "intermediate revoked",
            vec![root().revoke(&pki.intermediate().cert).build(), good.clone()],
            "good,revoked,good",
        ),
        ("stale", vec![good_root.clone(), intermediate().stale().build()], "crl_expired,good,good"),
        ("stale root", vec![root().stale().build(), good.clone()], "good,crl_expired,crl_expired"),
        (
            "not yet valid",
            vec![good_root.clone(), intermediate().not_yet_valid().build()],
            "crl_not_yet_valid,good,good",
        ),
        ("missing", vec![good_root.clone()], "crl_missing,good,good"),
        ("missing root", vec![good.clone()], "good,crl_missing,crl_missing"),
        (
            "wrong key",
            vec![good_root.clone(), intermediate().signed_with(&other_root.key).build()],
            "bad_signature,good,good",
        ),
        (
            "bad signature",
            vec![good_root.clone(), intermediate().bad_signature().build()],
            "bad_signature,good,good",
        ),
        (
            "another scope",
            vec![good_root.clone(), intermediate().idp_url("http://crl.example.com/a.crl").build()],
            "out_of_scope,good,good",
        ),
        (
            "CAs only",
            vec![good_root.clone(), intermediate().idp_only_ca().build()],
            "out_of_scope,good,good",
        ),
        (
            "users only",
            vec![good_root.clone(), intermediate().idp_only_user().build()],
            "good,good,good",
        ),
        (
            "indirect",
            vec![good_root.clone(), intermediate().idp_indirect().build()],
            "crl_missing,good,good",
        ),
        (
            "unknown critical extension",
            vec![good_root.clone(), intermediate().unknown_critical().build()],
            "unsupported,good,good",
        ),
        (
            "old and new",
            vec![
                good_root.clone(),
                intermediate().number(1).stale().build(),
                intermediate().number(2).revoke(&pki.alice().cert).build(),
            ],
            "revoked,good,good",
        ),
        (
            "the key of the CA was changed",
            vec![
                good_root.clone(),
                pki.crl(&rolled).number(9).build(),
                intermediate().revoke(&pki.alice().cert).build(),
            ],
            "revoked,good,good",
        ),
        (
            "the key of the CA was changed, and with it the list",
            vec![good_root.clone(), pki.crl(&rolled).number(9).build()],
            "crl_missing,good,good",
        ),
        (
            "no next update",
            vec![good_root.clone(), intermediate().no_next_update().build()],
            "good,good,good",
        ),
    ];
    let in_file = builder().crl_file(&[&good_root, &good]).start();
    let in_directory = builder().crl_dir(&[&good_root, &good]).start();
    let in_both = builder().crl_file(&[&good_root]).crl_dir(&[&good]).start();
    for (situation, crls, expected) in &situations {
        let crls: Vec<_> = crls.iter().collect();
        in_file.replace_crl(&crls);
        in_file.reload();
        in_directory.replace_crl_dir(&crls);
        let (first, others) = crls.split_first().unwrap();
        in_both.replace_crl(&[first]);
        in_both.replace_crl_dir(others);
        in_both.reload();
        for cluster in [&in_file, &in_directory, &in_both] {
            assert_eq!(statuses_of(cluster, pki.alice()), here(expected), "{situation}");
            let is_let_in = cluster.client("alice").with(pki.alice()).connect().is_ok();
            let good = here(expected) == here("good,good,good");
            assert_eq!(is_let_in, good, "{situation}");
        }
    }
}

#[test]
fn the_effect_on_each_authority_is_said_in_words() {
    let pki = Pki::standard();
    let (root_crl, stale) = (pki.root_crl(), pki.crl(pki.intermediate()).stale().build());
    let cluster =
        builder().trust(&[pki.root(), pki.intermediate()]).crl_file(&[root_crl, &stale]).start();
    let effects =
        cluster.sql("select crl_status, clients_refused::text, effect from pgtls_crl_coverage order by crl_status");
    assert_eq!(effects[0][0].as_deref(), Some("covered"));
    assert_eq!(effects[0][1].as_deref(), Some("false"));
    assert_eq!(
        effects[1].iter().flatten().map(String::as_str).collect::<Vec<_>>(),
        [
            "stale",
            "true",
            "every client certificate issued by this CA is refused at login: their status is unknown, because the CRL has expired"
        ],
    );
    let revoking = pki.crl(pki.root()).revoke(&pki.intermediate().cert).build();
    cluster.replace_crl(&[&revoking, pki.intermediate_crl()]);
    let effects = cluster.sql("select effect from pgtls_crl_coverage where effect like '%revoked'");
    assert_eq!(effects.len(), 1, "the intermediate's clients are refused above");
    let words = "select distinct crl_status, clients_refused::text from pgtls_crl_coverage";
    let refused = cluster.sql(&format!("{words} where effect like '% is revoked'"));
    let row = |status: &str, refused: &str| vec![Some(status.to_owned()), Some(refused.to_owned())];
    assert_eq!(refused, [row("covered", "true")], "its own CRL is good, and nobody gets in");
}

/// What the coverage says of the CA with this common name.
fn coverage_of(cluster: &Cluster, name: &str) -> Vec<Vec<Option<String>>> {
    cluster.sql(&format!(
        "select clients_refused::text, crl_status, effect from pgtls_crl_coverage \
         where subject like '%CN={name}'"
    ))
}

#[test]
fn the_dates_of_a_ca_count_and_a_ca_that_is_there_three_times_is_one_row() {
    let past = CertBuilder::new("/CN=past").ca().self_signed().expired().build();
    let present = CertBuilder::new("/CN=present").ca().self_signed().build();
    let (of_past, of_present) =
        (past.issue("/CN=alice").build(), present.issue("/CN=alice").build());
    let crls = [CrlBuilder::new(&past).build(), CrlBuilder::new(&present).build()];
    let cluster = builder()
        .trust(&[&past, &present, &past, &past, &present])
        .crl_file(&[&crls[0], &crls[1]])
        .start();
    let row = |words: [&str; 3]| vec![words.map(|word| Some(word.to_owned())).to_vec()];
    let checked = "client certificates issued by this CA are checked against 0 revoked ones";
    assert_eq!(coverage_of(&cluster, "present"), row(["false", "covered", checked]));
    let refused =
        "every client certificate issued by this CA is refused at login: /CN=past has expired";
    assert_eq!(coverage_of(&cluster, "past"), row(["true", "covered", refused]));
    cluster.client("alice").with(&of_present).login();
    assert!(cluster.client("alice").with(&of_past).connect().is_err());
}

#[test]
fn why_a_crl_is_not_the_one_is_said() {
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let alice = ca.issue("/CN=alice").build();
    let other_key = CrlBuilder::new(&ca).authority_key(&Key::ec()).build();
    let cluster = builder().trust(&[&ca]).crl_file(&[&other_key]).start();
    let pem = quote(&alice.bundle_pem());
    let ask = format!("select status, detail from pgtls_crl_status({pem}) where depth = 0");
    let said = cluster.sql(&ask);
    assert_eq!(said[0][0].as_deref(), Some("crl_missing"));
    let detail = said[0][1].as_deref().unwrap_or_default();
    assert!(detail.contains("it is signed with a key that is not in the chain"), "{detail}");
    assert!(detail.contains("crl.pem"), "the file is named: {detail}");
    // One that can tell needs no words.
    cluster.replace_crl(&[&CrlBuilder::new(&ca).build()]);
    assert_eq!(cluster.sql(&ask), [[Some("good".to_owned()), None]]);
}

#[test]
fn a_malformed_end_is_told_from_none() {
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let whole = CrlBuilder::new(&ca).build();
    // The same without seconds, which X509_cmp_time refuses.
    let parts = pgtls_e2e::pki::CrlParts {
        next_update: Some(pgtls_e2e::der::tlv(0x17, b"4001010000Z")),
        ..pgtls_e2e::pki::CrlParts::new(&ca.cert.subject_der(), now() - 10, now())
    };
    let malformed = Crl::from_der(parts.sign(&ca.key));
    let endless = CrlBuilder::new(&ca).no_next_update().build();
    let cluster = builder().trust(&[&ca]).crl_file(&[&whole]).start();
    let ask = |crl: &Crl| {
        let sql = "select next_update is null, problems::text from pgtls_parse_crls";
        cluster.sql(&format!("{sql}({})", quote(&crl.pem()))).remove(0)
    };
    let (yes, no) = (Some("t".to_owned()), Some("f".to_owned()));
    let problem = "{\"the date of nextUpdate is malformed\"}".to_owned();
    assert_eq!(ask(&malformed), [yes.clone(), Some(problem)]);
    assert_eq!(ask(&endless), [yes, None]);
    assert_eq!(ask(&whole), [no, None]);
    // OpenSSL reads it until 3.4, and calls its end malformed when it is asked for a verdict; later
    // ones do not read it.
    cluster.replace_crl(&[&malformed]);
    let log = cluster.reload();
    let listed = cluster.sql("select status, problem from pgtls_crls where on_file").remove(0);
    let [status, problem] = [0, 1].map(|column| listed[column].clone().unwrap_or_default());
    let is_read = !log.contains("SSL configuration was not reloaded");
    assert_eq!(status, if is_read { "malformed_date" } else { "unreadable" });
    // The words of one that does not read it depend on its version.
    assert_eq!(problem == "the date of nextUpdate is malformed", is_read, "{problem}");
    let alice = ca.issue("/CN=alice").build();
    let refused = cluster.client("alice").with(&alice).connect().is_err();
    assert_eq!(refused, is_read, "else the list from before is in force");
}

#[test]
fn whatever_is_in_the_place_of_a_file_is_a_row_with_a_problem() {
    let pki = Pki::standard();
    let cluster = builder().crl_file(&[pki.root_crl(), pki.intermediate_crl()]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let path = cluster.crl_file();
    let problem = |part: &str| {
        let problems = cluster.sql(
            "select problem from pgtls_crls where problem is not null and status = 'unreadable'",
        );
        let problems: Vec<_> = problems.into_iter().flatten().flatten().collect();
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
        assert_eq!(statuses(&alice, "file"), "unreadable,unreadable,unreadable", "{part}");
        assert_eq!(statuses(&alice, "login"), here("good,good,good"), "{part}");
        assert_eq!(
            cluster.sql("select distinct crl_status from pgtls_crl_coverage"),
            [[Some("unreadable".to_owned())]],
        );
    };
    let pem = pki.intermediate_crl().pem();
    cluster.replace_crl_bytes(b"");
    problem("no ");
    cluster.replace_crl_bytes(&pem.as_bytes()[..pem.len() / 2]);
    problem("PEM");
    cluster.replace_crl_bytes(pki.intermediate_crl().der());
    problem("DER");
    cluster.replace_crl_bytes(&(0..=255).cycle().take(1_000_000).collect::<Vec<u8>>());
    problem("no ");
    std::fs::remove_file(&path).expect("the file is ours");
    problem("does not exist");
    symlink(&path, &path).expect("a link can be made");
    problem("symbolic links");
    std::fs::remove_file(&path).expect("the link is ours");
    let fifo = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(fifo.expect("mkfifo runs").success());
    problem("not a regular file");
    std::fs::remove_file(&path).expect("the FIFO is ours");
    std::fs::create_dir(&path).expect("a directory can be made");
    problem("not a regular file");
    std::fs::remove_dir(&path).expect("the directory is ours");
    // Larger than is read, without taking the space.
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    problem("larger than");
    // And back: a file that is whole again is read again.
    cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
    assert_eq!(statuses(&alice, "file"), here("good,good,good"));
}

#[test]
fn a_file_that_nobody_may_read_is_a_problem() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = builder().crl_file(&[Pki::standard().root_crl()]).start();
    let unreadable = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(cluster.crl_file(), unreadable).expect("the file is ours");
    assert_eq!(
        cluster.sql("select problem from pgtls_crls"),
        [[Some("permission denied".to_owned())]],
    );
}

#[test]
fn junk_in_a_directory_is_told_apart_from_what_the_server_reads() {
    let pki = Pki::standard();
    let (root_crl, intermediate_crl) = (pki.root_crl(), pki.intermediate_crl());
    let cluster = builder().crl_dir(&[root_crl, intermediate_crl]).start();
    let dir = cluster.crl_dir();
    let write = |name: &str, content: &str| {
        std::fs::write(dir.join(name), content).expect("the directory is ours");
    };
    write("README", "junk");
    write("crl.pem", &root_crl.pem());
    write(&format!("{}.r7", root_crl.issuer_hash()), &root_crl.pem());
    write("00000000.r0", &root_crl.pem());
    let rows = cluster
        .sql("select regexp_replace(file_name, '.*/', ''), coalesce(in_force::text, 'unknown'), problem from pgtls_crls");
    let problem = |name: &str| {
        let row =
            rows.iter().find(|row| row[0].as_deref() == Some(name)).expect("every name is a row");
        (row[1].clone().expect("known"), row[2].clone().unwrap_or_default())
    };
    assert_eq!(
        problem("README"),
        ("false".into(), "not named HASH.rN, so the server never reads it".into())
    );
    assert_eq!(problem("crl.pem").0, "false");
    assert!(problem(&format!("{}.r7", root_crl.issuer_hash())).1.contains(".r1 is missing"));
    assert_eq!(problem("00000000.r0").1, "named with the hash of another issuer");
    assert_eq!(problem(&format!("{}.r0", root_crl.issuer_hash())), ("true".into(), String::new()));
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(statuses(&alice, "file"), here("good,good,good"));
    // In one file with that of the intermediate, the list of the root is found by the server,
    // though not under its name.
    let name = |crl: &Crl| dir.join(format!("{}.r0", crl.issuer_hash()));
    std::fs::remove_file(name(root_crl)).expect("the directory is ours");
    std::fs::write(name(intermediate_crl), intermediate_crl.pem() + &root_crl.pem())
        .expect("the directory is ours");
    cluster.client("alice").with(pki.alice()).login();
    assert_eq!(statuses(&alice, "file"), here("good,unsupported,unsupported"));
}

/// Versions of OpenSSL differ about a file that is there and cannot be loaded, so nothing is
/// claimed where that matters.
#[test]
fn a_broken_file_in_a_directory_makes_its_successors_uncertain() {
    let pki = Pki::standard();
    let crl = pki.intermediate_crl();
    let cluster = builder().crl_dir(&[pki.root_crl(), crl]).start();
    let name = |number: u32| cluster.crl_dir().join(format!("{}.r{number}", crl.issuer_hash()));
    let write = |number, content: &str| {
        std::fs::write(name(number), content).expect("the directory is ours");
    };
    let check = |expected: &str, situation: &str| {
        assert_eq!(statuses_of(&cluster, pki.alice()), here(expected), "{situation}");
        let is_let_in = cluster.client("alice").with(pki.alice()).connect().is_ok();
        match expected.split_once(',') {
            Some(("unsupported", _)) => println!("{situation}: let in: {is_let_in}"),
            _ => assert_eq!(is_let_in, expected == "good,good,good", "{situation}"),
        }
    };
    let broken = crl.pem().replace("MII", "!!!");
    for first in ["no list", "", &broken, &pki.root().cert.pem(), &(crl.pem() + &broken)] {
        write(0, first);
        write(1, &crl.pem());
        check("unsupported,good,good", first);
        let uncertain = "select count(*) from pgtls_crls \
             where in_force is null and problem like 'used by some versions%'";
        assert_ne!(cluster.admin().value(uncertain), "0", "{first}");
        // In front of it, it is certain again.
        write(0, &crl.pem());
        write(1, first);
        check("good,good,good", first);
    }
    write(0, &(broken.clone() + &crl.pem()));
    std::fs::remove_file(name(1)).expect("it was written");
    check("crl_missing,good,good", "nothing behind a broken list");
}

/// OpenSSL would open it and wait.
#[test]
fn a_fifo_in_a_directory_hangs_nobody() {
    let pki = Pki::standard();
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_dir(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let fifo = cluster.crl_dir().join(format!("{}.r1", pki.root_crl().issuer_hash()));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let admin = cluster.admin();
    let row = admin.row(&format!(
        "select credential_status, credential_detail from pgtls_sessions where pid = {}",
        alice.pid()
    ));
    assert_eq!(row[0].as_deref(), Some("unknown"));
    assert!(
        row[1].as_ref().is_some_and(|detail| detail.ends_with("not a regular file")),
        "{row:?}"
    );
    let question = format!(
        "select pgtls_check_login({}, 'alice', 'postgres', '127.0.0.1')",
        quote(&pki.alice().bundle_pem())
    );
    assert_eq!(admin.maybe(&question), None);
    assert_eq!(
        admin.value("select problem from pgtls_crls where file_name like '%.r1'"),
        "not a regular file"
    );
}

#[test]
fn certificates_in_the_place_of_lists_are_trusted_and_leave_the_lists_missing() {
    let pki = Pki::standard();
    let cluster = builder().crl_file(&[pki.root_crl(), pki.intermediate_crl()]).start();
    cluster.replace_crl_bytes(pki.intermediate().cert.pem().as_bytes());
    cluster.reload();
    assert_eq!(statuses_of(&cluster, pki.alice()), here("crl_missing,crl_missing,crl_missing"));
    assert!(cluster.client("alice").with(pki.alice()).connect().is_err());
    assert_eq!(
        cluster.sql("select problem from pgtls_crls"),
        [[Some("holds certificates and no revocation list".to_owned())]],
    );
    assert_eq!(
        cluster.sql("select distinct crl_status from pgtls_crl_coverage"),
        [[Some("missing".to_owned())]],
    );
    // With the lists behind it, the intermediate need not be sent.
    let lists = [pki.root_crl(), pki.intermediate_crl()].map(|crl| crl.pem()).concat();
    let whole = pki.intermediate().cert.pem() + &lists;
    cluster.replace_crl_bytes(whole.as_bytes());
    cluster.reload();
    cluster.client("alice").with(&pki.alice().leaf_only()).login();
    assert_eq!(statuses_of(&cluster, &pki.alice().leaf_only()), here("good,good,good"));
    assert_eq!(
        cluster.sql("select crl_status from pgtls_crl_coverage"),
        [[Some("covered".to_owned())], [Some("covered".to_owned())]],
    );
}

/// With the root alone in ssl_ca_file, nothing but what clients send tells of the CAs below it.
#[test]
fn intermediates_that_clients_sent_are_covered_or_not() {
    let pki = Pki::standard();
    let stale = pki.crl(pki.intermediate()).stale().build();
    let of_intermediate = format!(
        "select c.crl_status, l.status from pgtls_crl_coverage c join pgtls_crls l on l.issuer = c.subject \
         where c.fingerprint = {}",
        quote(&pki.intermediate().cert.fingerprint())
    );
    let cluster = Cluster::builder()
        .roles(&["alice"])
        .crl_file(&[pki.root_crl(), pki.intermediate_crl()])
        .preloaded()
        .start();
    assert!(cluster.sql(&of_intermediate).is_empty());
    // Nobody knows who issued it, but that it is stale can be seen.
    drop(cluster.client("alice").with(pki.alice()).login());
    cluster.sql("select pgtls_reset()");
    cluster.replace_crl(&[pki.root_crl(), &stale]);
    let listed =
        "select status, in_force::text, on_file::text from pgtls_crls order by on_file, position";
    let row = |words: [&str; 3]| words.map(|word| Some(word.to_owned()));
    assert_eq!(
        cluster.sql(listed),
        [
            row(["unknown_issuer", "true", "false"]),
            row(["current", "true", "true"]),
            row(["stale", "false", "true"])
        ],
    );
    drop(cluster.client("alice").with(pki.alice()).login());
    cluster.reload();
    assert_eq!(
        cluster.sql(listed),
        [row(["current", "true", "true"]), row(["stale", "true", "true"])]
    );
    assert_eq!(
        cluster.sql(&of_intermediate),
        [[Some("stale".to_owned()), Some("stale".to_owned())]],
    );
    cluster.replace_crl(&[pki.root_crl(), pki.intermediate_crl()]);
    cluster.reload();
    assert_eq!(
        cluster.sql(&of_intermediate),
        [[Some("covered".to_owned()), Some("current".to_owned())]],
    );
}

#[test]
fn the_instance_is_for_monitors_and_ones_own_status_for_everybody() {
    let pki = Pki::standard();
    let cluster = builder().crl_file(&[pki.root_crl(), pki.intermediate_crl()]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    let queries = [
        "select count(*) from pgtls_crls",
        "select count(*) from pgtls_crls()",
        "select count(*) from pgtls_crl_coverage",
        "select count(*) from pgtls_crl_coverage()",
        "select count(*) from pgtls_crl_status(ssl_client_pem())",
    ];
    for query in queries {
        assert_eq!(alice.error(query).sqlstate, "42501", "{query}");
    }
    assert_eq!(statuses(&alice, "file"), here("good,good,good"));
    cluster.sql("grant pg_monitor to alice");
    for query in queries {
        assert_ne!(alice.value(query), "0", "{query}");
    }
}

#[test]
fn lists_given_as_an_argument_are_read_whole() {
    let pki = Pki::standard();
    let cluster = Cluster::builder().extension().start();
    let session = cluster.admin();
    let crl = pki
        .crl(pki.intermediate())
        .number(12)
        .revoke_for(&pki.alice().cert, Reason::KeyCompromise, 1_700_000_000)
        .revoke(&pki.bob().cert)
        .build();
    let hex: String = crl.der().iter().map(|byte| format!("{byte:02x}")).collect();
    for argument in [quote(&crl.pem()), format!("'\\x{hex}'::bytea")] {
        assert_eq!(
            session.row(&format!(
                "select crl_number::text, revoked_count::text, is_delta::text, issuer from pgtls_parse_crls({argument})"
            )),
            [
                Some("12".to_owned()),
                Some("2".to_owned()),
                Some("false".to_owned()),
                Some(session.value(&format!(
                    "select subject from pgtls_parse_certificates({})",
                    quote(&pki.intermediate().cert.pem())
                ))),
            ],
        );
        assert_eq!(
            session.row(&format!(
                "select serial::text, reason, extract(epoch from revoked_at)::bigint::text \
                 from pgtls_parse_crl_entries({argument}) where reason is not null"
            )),
            [pki.alice().cert.serial().as_str(), "key_compromise", "1700000000"]
                .map(|value| Some(value.to_owned())),
        );
    }
    let both = quote(&format!("{}{}", pki.root_crl().pem(), crl.pem()));
    assert_eq!(session.value(&format!("select count(*) from pgtls_parse_crls({both})")), "2");
    let many = quote(&pki.crl(pki.intermediate()).many(50_000).build().pem());
    assert_eq!(
        session
            .value(&format!("select count(distinct serial) from pgtls_parse_crl_entries({many})")),
        "50000",
    );
    for (argument, sqlstate) in
        [(quote("hello"), "22P02"), ("'\\x3082'::bytea".to_owned(), "22P03")]
    {
        for function in ["pgtls_parse_crls", "pgtls_parse_crl_entries"] {
            let error = session.error(&format!("select * from {function}({argument})"));
            assert_eq!(error.sqlstate, sqlstate, "{error:?}");
        }
    }
}

#[test]
fn a_million_entries_are_answered_and_changes_noticed() {
    let pki = Pki::standard();
    let large = pki.crl(pki.intermediate()).many(1_000_000).build();
    let cluster = builder().crl_file(&[pki.root_crl(), &large]).start();
    let alice = cluster.client("alice").with(pki.alice()).login();
    assert_eq!(statuses(&alice, "file"), here("good,good,good"));
    assert_eq!(
        cluster.sql("select max(revoked_count) from pgtls_crls"),
        [[Some("1000000".to_owned())]]
    );
    let revoking = pki.crl(pki.intermediate()).many(1_000_000).revoke(&pki.alice().cert).build();
    cluster.replace_crl(&[pki.root_crl(), &revoking]);
    assert_eq!(statuses(&alice, "file"), here("revoked,good,good"));
}

/// What OpenSSL does with delta lists and with empty scopes differs between its versions, and the
/// one that runs is asked: a login is the proof.
#[test]
fn where_versions_differ_the_one_that_runs_is_asked() {
    use pgtls_e2e::x509::idp;
    let ca = CertBuilder::new("/CN=ca").ca().self_signed().build();
    let alice = ca.issue("/CN=alice").build();
    let list = |number: u64| CrlBuilder::new(&ca).number(number);
    let base = list(1).build();
    let revoking = list(1).revoke(&alice.cert).build();
    let delta = list(2).delta_of(1).build();
    let revoking_delta = list(2).delta_of(1).revoke(&alice.cert).build();
    let empty = list(2).with(idp(&[])).build();
    let revoking_empty = list(2).with(idp(&[])).revoke(&alice.cert).build();
    let cluster = builder().trust(&[&ca]).crl_file(&[&base]).start();
    let mut outcomes = Vec::new();
    for (situation, crls) in [
        ("neither", vec![&base]),
        ("revoked", vec![&revoking]),
        ("empty scope", vec![&empty]),
        ("empty scope beside one", vec![&base, &empty]),
        ("empty scope revokes", vec![&base, &revoking_empty]),
        ("empty scope hides", vec![&revoking, &empty]),
        ("delta", vec![&delta]),
        ("delta and base", vec![&base, &delta]),
        ("delta revokes", vec![&base, &revoking_delta]),
        ("delta hides", vec![&revoking, &delta]),
        ("all", vec![&base, &delta, &empty]),
    ] {
        cluster.replace_crl(&crls);
        cluster.reload();
        let said = statuses_of(&cluster, &alice);
        let is_let_in = cluster.client("alice").with(&alice).connect().is_ok();
        let leaf = said.split(',').next().unwrap_or_default();
        assert_eq!(leaf == "good", is_let_in, "{situation}: {said}");
        assert!(!said.contains("unsupported"), "{situation}: {said}");
        // A CA whose every client is refused, and one whose good clients get in.
        let refused = cluster.sql("select clients_refused::text from pgtls_crl_coverage");
        let is_revoked = leaf == "revoked";
        let expected = (!is_let_in && !is_revoked).to_string();
        assert_eq!(refused, [[Some(expected)]], "{situation}: {said}");
        // A list that decides is none that the server does not use.
        if let [only] = crls.as_slice() {
            let status = cluster.admin().value("select status from pgtls_crls");
            let word = if leaf == "crl_missing" { "unsupported" } else { "current" };
            assert_eq!(status, word, "{situation}: {}", only.pem());
        }
        outcomes.push(is_let_in);
    }
    assert_eq!(outcomes[..2], [true, false], "the oracle tells them apart");
}
