//! `hba` and `ident`: rules, mappings and what is made of them hold together.

use std::net::IpAddr;
use std::ops::Range;

use pgtls_core::login::access::{Found, Network, Patterns, Roles, Surroundings, Token};
use pgtls_core::login::explain;
use pgtls_core::login::facts::{
    Crls, Facts, Question, Replication, RoleFacts, SlotFacts, TlsFacts, Untranslatable,
};
use pgtls_core::login::hba::{
    self, Address, Client, ClientCertificate, ClientName, Connection, Method, Rule,
};
use pgtls_core::login::ident::{self, Decision, Mapping};
use pgtls_core::login::server_version::ServerVersion;
use pgtls_core::login::step::{Check, Outcome};
use pgtls_core::time::UnixTime;

/// A server whose patterns are plain text with the rest as a group after `(`, and fail after `?`.
struct Server;

impl Patterns for Server {
    fn search(&self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String> {
        self.check(pattern)?;
        if pattern.contains(&b'?') {
            return Err("gives up".to_owned());
        }
        let (text, has_group) = match pattern.strip_suffix(b"(") {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let at = match text {
            [] => Some(0),
            _ => subject.windows(text.len()).position(|window| window == text),
        };
        let group = |at: usize| -> Range<usize> { at + text.len()..subject.len() };
        Ok(at.map(|at| Found { group: has_group.then(|| group(at)) }))
    }

    fn check(&self, pattern: &[u8]) -> Result<(), String> {
        if pattern.starts_with(b"*") {
            Err("quantifier operand invalid".to_owned())
        } else {
            Ok(())
        }
    }
}

impl Roles for Server {
    fn is_member(&self, role: &[u8], group: &[u8]) -> bool {
        role == group || role.first() == group.first()
    }
}

impl Network for Server {
    fn name_of(&self, address: IpAddr) -> Option<Vec<u8>> {
        address.is_ipv4().then(|| format!("host{}.example", address).into_bytes())
    }

    fn addresses_of(&self, name: &[u8]) -> Vec<IpAddr> {
        let text = String::from_utf8_lossy(name);
        let digits = text.trim_start_matches("host").trim_end_matches(".example");
        digits.parse().into_iter().collect()
    }

    fn interfaces(&self) -> Vec<(IpAddr, IpAddr)> {
        vec![(IpAddr::from([127, 0, 0, 1]), IpAddr::from([255, 0, 0, 0]))]
    }
}

/// Surroundings of the version that a byte stands for.
fn surroundings(version: u8) -> Surroundings<'static> {
    Surroundings {
        version: ServerVersion(15 + u32::from(version % 4)),
        patterns: &Server,
        roles: &Server,
        network: &Server,
    }
}

/// A word of a line; one that starts with `'` is a quoted one. As in a file, it holds no null byte.
fn token(word: &[u8]) -> Token {
    let word: Vec<u8> = word.iter().copied().filter(|byte| *byte != 0).collect();
    match word.strip_prefix(b"'") {
        Some(quoted) => Token::new(quoted, true),
        None => Token::new(word, false),
    }
}

fn address(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A rule of a line of words: kind, databases, roles, address, mask, method, map.
fn rule(line: &[u8]) -> Option<Rule> {
    let mut words = line.split(|byte| *byte == b' ');
    let kind = *words.next()?.first()?;
    let mut tokens = || -> Option<Vec<Token>> {
        Some(words.next()?.split(|byte| *byte == b',').map(token).collect())
    };
    let (databases, roles) = (tokens()?, tokens()?);
    let (place, mask) = (words.next()?, words.next()?);
    let method = Method::from_name(std::str::from_utf8(words.next()?).ok()?)?;
    Some(Rule {
        connection: match kind % 6 {
            0 => Connection::Local,
            1 => Connection::Host,
            2 => Connection::HostSsl,
            3 => Connection::HostNoSsl,
            4 => Connection::HostGss,
            _ => Connection::HostNoGss,
        },
        databases,
        roles,
        address: match (place, address(place), address(mask)) {
            (b"all", ..) => Address::All,
            (b"samehost", ..) => Address::SameHost,
            (b"samenet", ..) => Address::SameNet,
            (_, Some(address), Some(mask)) => Address::Network { address, mask },
            (name, ..) => Address::Name(name.to_vec()),
        },
        client_certificate: match kind >> 6 {
            0 => ClientCertificate::RequiredAndNamed,
            1 => ClientCertificate::Optional,
            _ => ClientCertificate::Required,
        },
        client_name: ClientName::CommonName,
        method,
        map: words.next().map(<[u8]>::to_vec),
    })
}

/// Text as a question and rules: the first rule that matches alone is the one that matches, and a
/// login explained by it is in order.
pub fn hba(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(question) = lines.next() else { return };
    let words: Vec<_> = question.split(|byte| *byte == b' ').collect();
    let [[flags], role, database, place] = words[..] else { return };
    let around = surroundings(*flags);
    // Without a database it is physical replication.
    let database = Some(database).filter(|name| !name.is_empty());
    let client = Client { address: address(place), tls: flags & 4 != 0, role, database };
    let lines: Vec<hba::Line> = lines
        .zip(1..)
        .map(|(line, number)| {
            let rule = rule(line);
            let problem = match &rule {
                Some(rule) => rule.invalid_pattern(&around),
                None => Some("no rule".to_owned()),
            };
            let rule = rule.filter(|_| problem.is_none());
            hba::Line { file: "hba".to_owned(), number: Some(number), rule, problem }
        })
        .collect();
    let found = hba::first_match(&lines, &client, &around).map(|(line, _)| line.number);
    let alone = lines
        .iter()
        .find(|line| hba::first_match(std::slice::from_ref(line), &client, &around).is_some());
    assert_eq!(found, alone.map(|line| line.number));
    assert_eq!(
        hba::problem(&lines).is_some(),
        lines.is_empty() || lines.iter().any(|line| line.rule.is_none())
    );
    for line in &lines {
        assert_eq!(line.columns().len(), 12);
    }
    explain(&client, &lines, &around);
}

/// A login of a client without a certificate: steps in order, and a verdict that follows from them.
fn explain(client: &Client<'_>, rules: &[hba::Line], around: &Surroundings<'_>) {
    let question = Question {
        certificates: &[],
        role: client.role,
        database: client.database.unwrap_or_default(),
        address: client.address,
        tls: client.tls,
        protocol_version: None,
        host: None,
        at: UnixTime(0),
        crls: Crls::AsTheyAre,
        replication: match client.database {
            Some(_) => Replication::No,
            None => Replication::Physical,
        },
    };
    let facts = Facts {
        rules,
        mappings: &[],
        tls: TlsFacts { enabled: true, ..TlsFacts::default() },
        require_tls: false,
        version_refusal: None,
        server_certificate: None,
        trust: None,
        key_use: None,
        role: Some(RoleFacts { may_log_in: true, ..RoleFacts::default() }),
        database: None,
        untranslatable: Untranslatable::default(),
        slots: SlotFacts::PLENTY,
        limits_walsenders: false,
        remarks: Vec::new(),
    };
    let explanation = explain::explain(&question, &facts, around);
    let (verdict, steps) = explanation.steps().split_last().expect("there is a verdict");
    assert_eq!(verdict.check, Check::Verdict);
    let failed = steps.iter().find(|step| step.outcome == Outcome::Failed);
    let failed = failed.expect("there is no such database, and the role may not replicate");
    assert_eq!(verdict.outcome, Outcome::Refused);
    assert_eq!(verdict.words, failed.words);
    assert_eq!(explanation.admitted(), Some(false));
}

/// Text as a question and mappings: all ways to ask agree.
pub fn ident(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(question) = lines.next() else { return };
    let words: Vec<_> = question.split(|byte| *byte == b' ').collect();
    let [[flags], map, identity, role] = words[..] else { return };
    let around = surroundings(*flags);
    let mut lines: Vec<ident::Line> = lines
        .zip(1..)
        .map(|(line, number)| {
            let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
            let mapping = match words[..] {
                [map, identity, role, ..] => Some(Mapping {
                    map: map.to_vec(),
                    identity: token(identity),
                    role: token(role),
                }),
                _ => None,
            };
            ident::Line { file: "ident".to_owned(), number: Some(number), mapping, problem: None }
        })
        .collect();
    let before = ident::admits(&lines, Some(map), identity, role, &around);
    let explained = ident::explain(&lines, Some(map), identity, role, &around);
    let reached = explained.iter().find(|line| line.matched && line.note.is_none());
    if map.is_empty() {
        assert_eq!(before, identity == role);
        return;
    }
    let candidates = ident::candidates(&lines, map, identity, &around);
    match ident::decide(&candidates, role, &around) {
        Decision::Admitted(line) => {
            assert!(before);
            assert_eq!(reached.and_then(|reached| reached.line), Some(line));
        }
        Decision::NoMatch | Decision::Failed(..) => {
            assert!(!before);
            assert_eq!(reached, None);
        }
    }
    // Lines of other maps and lines that are none make no difference.
    let others = lines.iter().filter(|line| line.mapping.as_ref().is_some_and(|m| m.map == map));
    let others: Vec<_> = others.cloned().collect();
    assert_eq!(ident::admits(&others, Some(map), identity, role, &around), before);

    // A line that the server would not load never admits anybody: the search gives up there at the
    // latest.
    ident::check_patterns(&mut lines, &around);
    for line in &lines {
        assert_eq!(line.columns().len(), 6);
        assert!(line.mapping.is_some() || ident::problem(&lines).is_some());
    }
}
