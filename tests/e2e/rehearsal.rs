//! `pgtls_rehearse`: what is foretold of a change is what the change does.
//!
//! Changes of CA file, CRL file, rules and mappings are drawn from pools, rehearsed, made and
//! loaded; then everybody logs in. The draws are seeded, so they are the same in every run.
//! `PGTLS_REHEARSAL=full` makes 150 of them, otherwise it is a sample that fits into CI.

use std::collections::BTreeMap;

use pgtls_e2e::prelude::*;

const SAMPLE: usize = 24;
const FULL: usize = 150;

/// The rules that all have logged in by.
const RULES: &str = "hostssl all guest 127.0.0.1/32 trust\nhost all plain 127.0.0.1/32 trust\n\
                     hostssl all shared 127.0.0.1/32 cert map=pool\nhostssl all all 127.0.0.1/32 cert";

const OTHER_RULES: [&str; 6] = [
    "hostssl all all 127.0.0.1/32 cert",
    "hostssl all guest,plain 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 cert map=pool",
    "host all all 127.0.0.1/32 trust",
    "hostssl all alice 127.0.0.1/32 cert\nhostnossl all all 127.0.0.1/32 trust",
    "hostssl all all 127.0.0.1/32 cert clientname=DN map=dn",
    "hostssl postgres bob,carol 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 reject",
];

const MAPPINGS: &str = "pool pooler shared";

const OTHER_MAPPINGS: [&str; 4] = [
    "# nothing",
    "pool /^(.*)$ \\1",
    "dn \"CN=alice,O=Acme\" alice\npool alice shared",
    "pool pooler shared\npool carol carol\ndn \"/^CN=([a-z]+),.*$\" \\1",
];

/// Somebody who has logged in.
struct Person {
    role: &'static str,
    identity: Option<Identity>,
    tls: bool,
    /// Stays connected, where that is the only trace.
    session: Option<Session>,
}

/// The server and those who have logged in to it.
struct Town {
    cluster: Cluster,
    admin: Session,
    people: Vec<Person>,
    others: Identity,
    /// One that the server has and a client does not send.
    held: Identity,
}

impl Town {
    fn new() -> Self {
        let pki = Pki::standard();
        let others = CertBuilder::new("/O=Other/CN=other root").self_signed().ca().build();
        let held = pki.issue("/O=Acme/CN=held").by(pki.root()).ca().build();
        let cluster = Cluster::builder()
            .roles(&["alice", "bob", "carol", "dora", "guest", "plain", "shared"])
            .trust(&[pki.root(), &others, &held])
            .hba(RULES)
            .ident(MAPPINGS)
            .preloaded()
            .start();
        cluster.set("ssl_crl_file", "");
        cluster.reload();
        let admin = cluster.admin();
        let person = |role, identity: Identity| Person {
            role,
            identity: Some(identity),
            tls: true,
            session: None,
        };
        let without = |role, tls| Person { role, identity: None, tls, session: None };
        let leaf = |name: &str| pki.issue(format!("/O=Acme/CN={name}").as_str());
        let mut people = vec![
            person("alice", leaf("alice").build()),
            person("bob", leaf("bob").valid_days(300).build()),
            person("carol", CertBuilder::new("/CN=carol").by(&others).build()),
            person("dora", leaf("dora").by(&held).build().leaf_only()),
            person("shared", leaf("pooler").build()),
            without("guest", true),
            without("plain", false),
        ];
        for person in &mut people {
            let session = login(&cluster, person).login();
            person.session = person.identity.is_none().then_some(session);
        }
        Self { cluster, admin, people, others, held }
    }

    /// The verdicts by role, now and after the change.
    fn rehearsed(&self, arguments: &str) -> BTreeMap<String, (String, String)> {
        let rows = self.admin.rows(&format!(
            "select rolname, verdict, verdict_after from pgtls_rehearse({arguments}, \
             everybody => true)"
        ));
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_default();
        rows.iter().map(|row| (cell(&row[0]), (cell(&row[1]), cell(&row[2])))).collect()
    }

    /// Who gets in now, by role.
    fn admitted(&self) -> BTreeMap<String, bool> {
        let people = self.people.iter();
        people
            .map(|person| (person.role.to_owned(), login(&self.cluster, person).connect().is_ok()))
            .collect()
    }
}

fn login(cluster: &Cluster, person: &Person) -> Login {
    let client = cluster.client(person.role);
    match (&person.identity, person.tls) {
        (Some(identity), _) => client.with(identity),
        (None, true) => client,
        (None, false) => client.no_tls(),
    }
}

fn word(admitted: bool) -> String {
    if admitted { "admitted" } else { "refused" }.to_owned()
}

/// Numbers that look like chance, the same in every run.
struct Draw(u64);

impl Draw {
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[usize::try_from(self.0 >> 33).unwrap() % of.len()]
    }
}

fn pem<'a>(certificates: impl IntoIterator<Item = &'a Identity>) -> String {
    certificates.into_iter().map(|one| one.cert.pem()).collect()
}

#[test]
fn what_is_rehearsed_is_what_happens() {
    let is_full = std::env::var("PGTLS_REHEARSAL").is_ok_and(|size| size == "full");
    let town = Town::new();
    let (pki, cluster) = (Pki::standard(), &town.cluster);
    let rules = std::fs::read_to_string(cluster.hba_file()).unwrap();
    let whole = |lines: &str| rules.replace(RULES, lines);

    let all = pem([pki.root(), &town.others, &town.held]);
    let authorities = [
        all.clone(),
        pem([pki.root()]),
        pem([&town.others]),
        pem([pki.root(), pki.intermediate(), &town.others]),
        pem([pki.intermediate()]),
    ];
    let alice = town.people[0].identity.as_ref().unwrap();
    let crl = |crls: &[&Crl]| crls.iter().map(|crl| crl.pem()).collect::<String>();
    let held = pki.crl(&town.held).build();
    let others = pki.crl(&town.others).build();
    let revoking = pki.crl(pki.intermediate()).revoke(&alice.cert).build();
    let stale = pki.crl(pki.intermediate()).stale().build();
    let revocations = [
        String::new(),
        crl(&[pki.root_crl(), pki.intermediate_crl(), &held, &others]),
        crl(&[pki.root_crl(), &revoking, &others]),
        crl(&[pki.root_crl(), &stale, &held]),
    ];
    let mut draw = Draw(1);
    let (mut tried, mut differed, mut unknown) = (0, 0, 0);
    for round in 0..if is_full { FULL } else { SAMPLE } {
        let ca = draw.one(&authorities.each_ref());
        let crl = draw.one(&revocations.each_ref());
        let hba = whole(draw.one(&[&[RULES][..], &OTHER_RULES[..]].concat()));
        let ident = draw.one(&[&[MAPPINGS][..], &OTHER_MAPPINGS[..]].concat());
        let arguments = format!(
            "ca => {}, crl => {}, hba => {}, ident => {}",
            quote(ca),
            quote(crl),
            quote(&hba),
            quote(ident)
        );
        let foretold = town.rehearsed(&arguments);

        std::fs::write(cluster.tls_path("ca.crt"), ca).unwrap();
        cluster.replace_crl_bytes(crl.as_bytes());
        let name =
            if crl.is_empty() { String::new() } else { cluster.crl_file().display().to_string() };
        cluster.set("ssl_crl_file", name);
        cluster.write_hba_whole(&hba);
        cluster.write_ident(ident);
        cluster.reload();
        let made = town.admitted();
        // Everything is as it was, so that the next change starts from there.
        std::fs::write(cluster.tls_path("ca.crt"), &all).unwrap();
        cluster.set("ssl_crl_file", "");
        cluster.write_hba_whole(&rules);
        cluster.write_ident(MAPPINGS);
        cluster.reload();
        assert_eq!(foretold.len(), made.len(), "{foretold:?}");
        for (role, admitted) in made {
            let (now, after) = &foretold[&role];
            assert_eq!(now, "admitted", "{role}");
            tried += 1;
            if after == "unknown" {
                // The only thing that is not known is whether she sends what the server has.
                assert_eq!(role, "dora", "round {round}: {arguments}");
                unknown += 1;
                continue;
            }
            differed += usize::from(!admitted);
            assert_eq!(*after, word(admitted), "round {round}, {role}: {arguments}");
        }
    }
    println!("{tried} logins rehearsed and made, {differed} refused, {unknown} not known");
    assert!(differed > tried / 10 && tried - differed > tried / 10, "{differed} of {tried}");
}

#[test]
fn only_who_is_concerned_is_listed_and_the_summary_counts() {
    let town = Town::new();
    let admin = &town.admin;
    assert_eq!(admin.value("select count(*) from pgtls_rehearse()"), "0");
    let summary =
        |arguments: &str| admin.value(&format!("select pgtls_rehearse_summary({arguments})"));
    assert_eq!(summary(""), "7 of 7 keep working, nobody would be refused, nobody new is let in");

    // Without the line for clients that need no TLS.
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n";
    let rows = admin.rows(&format!(
        "select rolname, verdict, verdict_after, step, connected::text \
         from pgtls_rehearse(hba => {}) order by 1",
        quote(rules)
    ));
    let expected = [
        ["guest", "admitted", "refused", "client_certificate", "1"],
        ["plain", "admitted", "refused", "hba_rule", "1"],
        ["shared", "admitted", "refused", "mapping", "0"],
    ];
    assert_eq!(rows, expected.map(|row| row.map(|cell| Some(cell.to_owned())).to_vec()));
    assert_eq!(
        summary(&format!("hba => {}", quote(rules))),
        "4 of 7 keep working, 3 would be refused (2 connected), nobody new is let in"
    );

    // A CA that is taken away, and a date.
    let root = quote(&pem([Pki::standard().root()]));
    let rows = admin.rows(&format!(
        "select identity, rolname, verdict_after, step, reason from pgtls_rehearse(ca => {root}) order by 2"
    ));
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(
        rows[0][..4],
        ["/CN=carol", "carol", "refused", "chain"].map(|cell| Some(cell.to_owned()))
    );
    // Her intermediate is one that the server has itself.
    assert_eq!(
        rows[1][..3],
        ["/O=Acme/CN=dora", "dora", "unknown"].map(|cell| Some(cell.to_owned()))
    );
    let row = admin.row(
        "select count(*)::text, min(step), bool_and(rolname = 'bob')::text \
         from pgtls_rehearse(at => now() + interval '330 days')",
    );
    assert_eq!(row, ["1", "validity", "true"].map(|cell| Some(cell.to_owned())));
    // Nothing has happened.
    assert!(town.admitted().values().all(|admitted| *admitted));
}

#[test]
fn what_a_reload_would_not_take_is_refused_and_nothing_else_is_read() {
    let town = Town::new();
    let error = |arguments: &str| {
        let error = town.admin.error(&format!("select * from pgtls_rehearse({arguments})"));
        (error.sqlstate, error.message)
    };
    let secret = town.cluster.dir().join("secret");
    std::fs::write(&secret, "all").unwrap();
    let include = if town.cluster.version() < 16 { "host @" } else { "include " };
    let cases = [
        ("ca => 'nonsense'".to_owned(), "the server would not load argument \"ca\": "),
        ("crl => 'nonsense'".to_owned(), "the server would not load argument \"crl\": "),
        (
            "hba => E'local all all trust\\nhostssl all all all certificate'".to_owned(),
            "the server would not load argument \"hba\": argument hba:2: ",
        ),
        ("hba => ''".to_owned(), "the server would not load argument \"hba\": it holds no rule"),
        (
            "ident => 'map /( x'".to_owned(),
            "the server would not load argument \"ident\": argument ident:1: ",
        ),
        (
            format!("hba => {}", quote(&format!("{include}{}", secret.display()))),
            "line 1 of argument \"hba\" includes another file",
        ),
        (
            format!("ident => {}", quote(&format!("\n@{}", secret.display()))),
            "line 2 of argument \"ident\" includes another file",
        ),
    ];
    for (arguments, message) in cases {
        let (sqlstate, said) = error(&arguments);
        assert_eq!(sqlstate, "22023", "{arguments}: {said}");
        assert!(said.starts_with(message), "{arguments}: {said}");
    }
    // Rules of the server can be learned from it.
    town.cluster.sql("grant pg_monitor to alice");
    let alice = login(&town.cluster, &town.people[0]).login();
    for call in ["* from pgtls_rehearse()", "pgtls_rehearse_summary()"] {
        assert_eq!(alice.error(&format!("select {call}")).sqlstate, "42501");
    }
    town.cluster.sql("grant execute on function pgtls_rehearse_summary to alice");
    assert!(alice.value("select pgtls_rehearse_summary()").starts_with("7 of 7 keep working"));
}
