//! What a reader of `pg_hba.conf` and `pg_ident.conf` should know of a line that the server takes
//! without a word: a rule that is never reached, a map that nobody has written, a pattern that
//! matches more than it seems to, or nothing.
//!
//! What is said is certain: a rule that two earlier ones take together is not called shadowed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::login::access::{Surroundings, Token};
use crate::login::hba::{self, Address, Connection, Rule};
use crate::login::ident;
use crate::text::lossless;
use crate::work;

/// The words that mean something in the database column unless they are quoted.
const DATABASE_KEYWORDS: [&str; 5] = ["all", "sameuser", "samerole", "samegroup", "replication"];

/// For each line, where the first earlier rule stands that takes every connection that it is for.
pub fn shadowed_by(lines: &[hba::Line]) -> Vec<Option<String>> {
    // A rule can only be taken by one for all roles, or for its first role.
    let mut for_all: Vec<usize> = Vec::new();
    let mut by_role: HashMap<String, Vec<usize>> = HashMap::new();
    let mut shadows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(rule) = &line.rule else {
            work::push(&mut shadows, None);
            continue;
        };
        let first = rule.roles.first().map(Token::to_string).unwrap_or_default();
        let same_role = by_role.get(&first).map(Vec::as_slice).unwrap_or_default();
        let earlier = for_all.iter().chain(same_role).inspect(|_| work::between());
        let found = earlier.copied().filter(|earlier| {
            let earlier = lines.get(*earlier).and_then(|line| line.rule.as_ref());
            earlier.is_some_and(|earlier| takes(earlier, rule))
        });
        let found = found.min().and_then(|earlier| lines.get(earlier));
        work::push(&mut shadows, found.map(hba::Line::place));
        if rule.roles.iter().any(|role| role.is_keyword("all")) {
            work::push(&mut for_all, index);
        } else {
            for role in &rule.roles {
                work::push(by_role.entry(role.to_string()).or_default(), index);
            }
        }
    }
    shadows
}

/// Whether an earlier rule takes every connection that a later one is for.
fn takes(earlier: &Rule, later: &Rule) -> bool {
    takes_connections(earlier.connection, later.connection)
        && (later.connection == Connection::Local
            || takes_addresses(&earlier.address, &later.address))
        && later.databases.iter().all(|database| {
            earlier.databases.iter().any(|taken| {
                taken == database
                    || (taken.is_keyword("all") && !database.is_keyword("replication"))
            })
        })
        && later
            .roles
            .iter()
            .all(|role| earlier.roles.iter().any(|taken| taken == role || taken.is_keyword("all")))
}

fn takes_connections(earlier: Connection, later: Connection) -> bool {
    use Connection::{Host, HostGss, HostNoGss, HostNoSsl, HostSsl, Local};
    match (earlier, later) {
        (Local, later) => later == Local,
        (_, Local) => false,
        (Host, _) => true,
        // TLS and GSSAPI encryption exclude each other.
        (HostNoGss, HostSsl) | (HostNoSsl, HostGss) => true,
        (earlier, later) => earlier == later,
    }
}

fn takes_addresses(earlier: &Address, later: &Address) -> bool {
    match (earlier, later) {
        (Address::All, _) => true,
        (
            Address::Network { address: wide, mask: wide_mask },
            Address::Network { address: narrow, mask: narrow_mask },
        ) => match (bits(*wide), bits(*wide_mask), bits(*narrow), bits(*narrow_mask)) {
            (Some(wide), Some(wide_mask), Some(narrow), Some(narrow_mask)) => {
                wide.1 == narrow.1
                    && wide_mask.0 & narrow_mask.0 == wide_mask.0
                    && (wide.0 ^ narrow.0) & wide_mask.0 == 0
            }
            _ => false,
        },
        (Address::SameNet, Address::SameHost) => true,
        (earlier, later) => earlier == later,
    }
}

/// An address as a number, and whether it is one of IPv6.
fn bits(address: IpAddr) -> Option<(u128, bool)> {
    Some(match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), false),
        IpAddr::V6(address) => (address.to_bits(), true),
    })
}

/// What the notes on single lines depend on.
#[derive(Debug, Default)]
pub struct Review<'l> {
    /// Maps that `pg_ident.conf` has a line of.
    written: HashSet<&'l [u8]>,
    /// Maps that a rule names.
    used: HashSet<&'l [u8]>,
    has_ca_file: bool,
}

impl<'l> Review<'l> {
    /// Of these two files, and a server that has `ssl_ca_file` or not.
    pub fn new(rules: &'l [hba::Line], mappings: &'l [ident::Line], has_ca_file: bool) -> Self {
        let written = mappings.iter().filter_map(|line| Some(&*line.mapping.as_ref()?.map));
        let used = rules.iter().filter_map(|line| line.rule.as_ref()?.map.as_deref());
        let (mut review, between) =
            (Self { has_ca_file, ..Self::default() }, |_: &&[u8]| work::between());
        review.written.extend(written.inspect(between));
        review.used.extend(used.inspect(between));
        review
    }

    /// What there is to know of a rule; `None` if nothing.
    pub fn note_of_rule(&self, rule: &Rule, around: &Surroundings<'_>) -> Option<String> {
        let mut notes = Vec::new();
        let asks = rule.client_certificate != hba::ClientCertificate::Optional;
        if asks && !self.has_ca_file {
            notes.push("ssl_ca_file is not set: the rule admits nobody".to_owned());
        }
        let map = rule.map.as_deref().filter(|map| !map.is_empty());
        if let Some(map) = map.filter(|map| !self.written.contains(map)) {
            notes.push(format!(
                "no line of pg_ident.conf is of the map {}: the rule admits nobody",
                lossless(map)
            ));
        }
        let databases = rule.databases.iter().map(|it| (it, "database", &DATABASE_KEYWORDS[..]));
        let roles = rule.roles.iter().map(|it| (it, "role", &["all"][..]));
        for (token, kind, keywords) in databases.chain(roles) {
            let text = lossless(token.text());
            if token.to_string().starts_with('"') && keywords.contains(&&*text) {
                notes.push(format!("\"{text}\" in quotes is the name of a {kind}, and no keyword"));
            }
            notes.extend(around.pattern(token).and_then(note_of_pattern));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// What there is to know of a mapping; `None` if nothing.
    pub fn note_of_mapping(&self, mapping: &ident::Mapping) -> Option<String> {
        let mut notes = Vec::new();
        if !self.used.contains(&*mapping.map) {
            notes.push("no rule of pg_hba.conf names this map".to_owned());
        }
        notes.extend(mapping.identity.pattern().and_then(note_of_pattern));
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// What a regular expression matches besides what it seems to: the server looks for it anywhere in
/// the name.
fn note_of_pattern(pattern: &[u8]) -> Option<String> {
    let text = lossless(pattern);
    if pattern.ends_with(b"$/") {
        return Some(format!(
            "the expression {text} can never match: the slash at its end is part of it, and \
             nothing comes after $"
        ));
    }
    let starts = pattern.starts_with(b"^");
    let before = pattern.strip_suffix(b"$");
    let escapes =
        before.unwrap_or_default().iter().rev().take_while(|byte| **byte == b'\\').count();
    let ends = before.is_some() && escapes.is_multiple_of(2);
    let (missing, also) = match (starts, ends) {
        (true, true) => return None,
        (true, false) => ("$ at its end", "names that go on behind it"),
        (false, true) => ("^ at its start", "names that have something before it"),
        (false, false) => ("^ at its start and $ at its end", "longer names that hold it"),
    };
    Some(format!("the expression {text} has no {missing}: it also matches {also}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_match_more_or_nothing_are_told() {
        for (pattern, note) in [
            (r"^(.*)@example\.com$", None),
            (r"^(.*)@example\.com", Some("has no $ at its end")),
            (r"^(.*)@example\.com\$", Some("has no $ at its end")),
            (r"(.*)\.example\.com$", Some("has no ^ at its start")),
            ("joe", Some("has no ^ at its start and $ at its end")),
            (r"^(.*)\.example\.com$/", Some("can never match")),
        ] {
            let found = note_of_pattern(pattern.as_bytes());
            match note {
                None => assert_eq!(found, None, "{pattern}"),
                Some(note) => assert!(found.is_some_and(|it| it.contains(note)), "{pattern}"),
            }
        }
    }

    #[test]
    fn kinds_of_connections_that_take_others() {
        use Connection::*;
        let all = [Local, Host, HostSsl, HostNoSsl, HostGss, HostNoGss];
        let taken =
            |earlier| all.into_iter().filter(move |later| takes_connections(earlier, *later));
        for (earlier, later) in [
            (Local, vec![Local]),
            (Host, vec![Host, HostSsl, HostNoSsl, HostGss, HostNoGss]),
            (HostSsl, vec![HostSsl]),
            (HostNoSsl, vec![HostNoSsl, HostGss]),
            (HostGss, vec![HostGss]),
            (HostNoGss, vec![HostSsl, HostNoGss]),
        ] {
            assert_eq!(taken(earlier).collect::<Vec<_>>(), later, "{earlier}");
        }
    }

    #[test]
    fn networks_that_hold_others() {
        let network = |address: &str, mask: &str| Address::Network {
            address: address.parse().unwrap(),
            mask: mask.parse().unwrap(),
        };
        let ten = network("10.0.0.0", "255.0.0.0");
        for (earlier, later, expected) in [
            (&Address::All, &ten, true),
            (&ten, &network("10.1.0.0", "255.255.0.0"), true),
            (&ten, &network("11.1.0.0", "255.255.0.0"), false),
            (&network("10.1.0.0", "255.255.0.0"), &ten, false),
            (&ten, &Address::All, false),
            (&network("0.0.0.0", "0.0.0.0"), &network("::", "::"), false),
            (&network("::", "::"), &network("2001:db8::", "ffff:ffff::"), true),
            (&Address::SameNet, &Address::SameHost, true),
            (&Address::SameHost, &Address::SameNet, false),
        ] {
            assert_eq!(takes_addresses(earlier, later), expected, "{earlier:?} {later:?}");
        }
    }
}
