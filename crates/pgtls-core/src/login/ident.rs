//! The mappings of `pg_ident.conf`, and whom they let an identity be.
//!
//! Owns the mappings as data and the search of one map (`check_usermap`). A search is in two parts,
//! because one identity is asked about many roles: which lines are for the identity, then which of
//! those admits a role.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::login::access::{Surroundings, Token};
use crate::login::hba::place;
use crate::text;
use crate::value::Value;
use crate::work;

/// What was read from one place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The file; mappings may stand in included ones.
    pub file: String,
    /// The line, from 1; `None` if the file as a whole is meant.
    pub number: Option<u32>,
    /// The mapping, if there is one.
    pub mapping: Option<Mapping>,
    /// What the server says against it.
    pub problem: Option<String>,
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The map it belongs to.
    pub map: Vec<u8>,
    /// The identity, or a regular expression for identities.
    pub identity: Token,
    /// The role they may be; may hold `\1`.
    pub role: Token,
}

/// A line of the map that is for the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'l> {
    /// The line.
    pub line: &'l Line,
    /// Whom it makes of the identity; or why the server gives up here.
    pub role: Result<Cow<'l, Token>, String>,
}

/// What a map says of an identity that wants to be a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'l> {
    /// It may, by this line.
    Admitted(&'l Line),
    /// No line says so.
    NoMatch,
    /// The server gives up at this line, for this reason.
    Failed(&'l Line, String),
}

/// A line of the map, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'l> {
    /// The line; `None` if there is no map and the names are compared.
    pub line: Option<&'l Line>,
    /// Whether it admits the identity as the role.
    pub matched: bool,
    /// Whom it makes of the identity; `None` if it is not for it.
    pub maps_to: Option<String>,
    /// What else there is to know.
    pub note: Option<String>,
}

/// The lines of a map that are for an identity, up to the first where the server gives up.
pub fn candidates<'l>(
    lines: &'l [Line],
    map: &[u8],
    identity: &[u8],
    around: &Surroundings<'_>,
) -> Vec<Candidate<'l>> {
    let mut candidates = Vec::new();
    for (line, mapping) in of_map(lines, map) {
        let Some(role) = mapping.role_of(identity, around) else { continue };
        let gives_up = role.is_err();
        work::push(&mut candidates, Candidate { line, role });
        if gives_up {
            break;
        }
    }
    candidates
}

/// What the candidates for an identity say of one role.
pub fn decide<'l>(
    candidates: &[Candidate<'l>],
    role: &[u8],
    around: &Surroundings<'_>,
) -> Decision<'l> {
    for candidate in candidates {
        work::between();
        match &candidate.role {
            Err(reason) => return Decision::Failed(candidate.line, reason.clone()),
            Ok(token) if around.mapping_names_role(token, role) => {
                return Decision::Admitted(candidate.line);
            }
            Ok(_) => {}
        }
    }
    Decision::NoMatch
}

/// Whether an identity may be a role: by a map, or without one if they are the same.
pub fn admits(
    lines: &[Line],
    map: Option<&[u8]>,
    identity: &[u8],
    role: &[u8],
    around: &Surroundings<'_>,
) -> bool {
    match map.filter(|map| !map.is_empty()) {
        None => identity == role,
        Some(map) => {
            let candidates = candidates(lines, map, identity, around);
            matches!(decide(&candidates, role, around), Decision::Admitted(_))
        }
    }
}

/// Every line of a map, with what it makes of the identity and whether the server gets to it.
pub fn explain<'l>(
    lines: &'l [Line],
    map: Option<&[u8]>,
    identity: &[u8],
    role: &[u8],
    around: &Surroundings<'_>,
) -> Vec<Explained<'l>> {
    let Some(map) = map.filter(|map| !map.is_empty()) else {
        return vec![Explained {
            line: None,
            matched: identity == role,
            maps_to: Some(text::lossless(identity).into_owned()),
            note: Some("without a map, the identity has to be the name of the role".to_owned()),
        }];
    };
    let mut ended: Option<&str> = None;
    let mut explained = Vec::new();
    for (line, mapping) in of_map(lines, map) {
        let role_of = mapping.role_of(identity, around);
        let not_reached = ended.map(str::to_owned);
        explained.push(match role_of {
            None => {
                Explained { line: Some(line), matched: false, maps_to: None, note: not_reached }
            }
            Some(Err(reason)) => {
                let note = not_reached
                    .unwrap_or_else(|| format!("the server gives up at this line: {reason}"));
                ended = ended.or(Some("not reached: the server gives up before this line"));
                Explained { line: Some(line), matched: false, maps_to: None, note: Some(note) }
            }
            Some(Ok(token)) => {
                let matched = around.mapping_names_role(&token, role);
                if matched && ended.is_none() {
                    ended = Some("not reached: a line before this one admits the identity");
                }
                Explained {
                    line: Some(line),
                    matched,
                    maps_to: Some(token.to_string()),
                    note: not_reached,
                }
            }
        });
    }
    explained
}

/// Why the server does not take the file; `None` if it does. A file without any mapping is one to
/// take.
pub fn problem(lines: &[Line]) -> Option<String> {
    let broken = lines.iter().find(|line| line.mapping.is_none())?;
    let reason = broken.problem.as_deref().unwrap_or("invalid line");
    Some(format!("{}: {reason}", broken.place()))
}

/// Turns every mapping with an invalid regular expression into a problem, as it is for the server.
pub fn check_patterns(lines: &mut [Line], around: &Surroundings<'_>) {
    for line in lines {
        work::between();
        let problem = line.mapping.as_ref().and_then(|mapping| mapping.invalid_pattern(around));
        if problem.is_some() {
            line.problem = problem;
            line.mapping = None;
        }
    }
}

fn of_map<'l>(lines: &'l [Line], map: &[u8]) -> impl Iterator<Item = (&'l Line, &'l Mapping)> {
    lines
        .iter()
        .inspect(|_| work::between())
        .filter_map(|line| Some((line, line.mapping.as_ref()?)))
        .filter(move |(_, mapping)| mapping.map == map)
}

impl Line {
    /// `file:line`.
    pub fn place(&self) -> String {
        place(&self.file, self.number)
    }

    /// The columns of `pgtls_ident_mappings` but for the number of the mapping.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let mapping = self.mapping.as_ref();
        let text = |bytes: &[u8]| text::lossless(bytes).into_owned();
        vec![
            ("file_name", self.file.clone().into()),
            ("line_number", self.number.map(i64::from).into()),
            ("map_name", mapping.map(|mapping| text(&mapping.map)).into()),
            ("sys_name", mapping.map(|mapping| text(mapping.identity.text())).into()),
            ("pg_username", mapping.map(|mapping| mapping.role.to_string()).into()),
            ("error", self.problem.clone().into()),
        ]
    }
}

impl<'l> Explained<'l> {
    /// A line that is no mapping, which keeps the server from loading the file.
    pub fn broken(line: &'l Line) -> Self {
        let problem = line.problem.as_deref().unwrap_or("invalid line");
        let note = format!("the server does not load the file because of this line: {problem}");
        Self { line: Some(line), matched: false, maps_to: None, note: Some(note) }
    }

    /// The columns of `pgtls_explain_mapping`.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let mapping = self.line.and_then(|line| line.mapping.as_ref());
        vec![
            ("file_name", self.line.map(|line| line.file.clone()).into()),
            ("line_number", self.line.and_then(|line| line.number).map(i64::from).into()),
            ("map_name", mapping.map(|mapping| text::lossless(&mapping.map).into_owned()).into()),
            (
                "pattern",
                mapping.map(|mapping| text::lossless(mapping.identity.text()).into_owned()).into(),
            ),
            ("target", mapping.map(|mapping| mapping.role.to_string()).into()),
            ("matched", self.matched.into()),
            ("maps_to", self.maps_to.clone().into()),
            ("note", self.note.clone().into()),
        ]
    }
}

impl Mapping {
    /// Why the server would not load the mapping: a regular expression that is none.
    fn invalid_pattern(&self, around: &Surroundings<'_>) -> Option<String> {
        let patterns = self.identity.pattern().into_iter().chain(around.pattern(&self.role));
        around.first_invalid(patterns)
    }

    /// Whom this makes of an identity: `None` if it is not for it, an error if the server gives up.
    fn role_of(
        &self,
        identity: &[u8],
        around: &Surroundings<'_>,
    ) -> Option<Result<Cow<'_, Token>, String>> {
        let Some(pattern) = self.identity.pattern() else {
            return (self.identity.text() == identity).then_some(Ok(Cow::Borrowed(&self.role)));
        };
        let found = match around.patterns.search(pattern, identity) {
            Ok(found) => found?,
            Err(reason) => {
                let pattern = text::lossless(pattern);
                return Some(Err(format!(
                    "regular expression match for \"{pattern}\" failed: {reason}"
                )));
            }
        };
        if around.is_special_target(&self.role) {
            return Some(Ok(Cow::Borrowed(&self.role)));
        }
        let target = self.role.text();
        let Some(at) = target.windows(2).position(|pair| pair == br"\1") else {
            return Some(Ok(Cow::Borrowed(&self.role)));
        };
        let Some(group) = found.group.and_then(|group| identity.get(group)) else {
            return Some(Err(format!(
                "regular expression \"{}\" has no subexpressions as requested by backreference in \"{}\"",
                text::lossless(pattern),
                text::lossless(target),
            )));
        };
        // Only the first is replaced, and what comes of it is no keyword, group or pattern: a
        // client must not choose one.
        let role = [&target[..at], group, &target[at + 2..]].concat();
        Some(Ok(Cow::Owned(Token::literal(role))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::access::fake::surroundings;

    fn lines(text: &str) -> Vec<Line> {
        let token = |word: &str| match word.strip_prefix('\'') {
            Some(quoted) => Token::new(quoted, true),
            None => Token::new(word, false),
        };
        let line = |(index, line): (usize, &str)| {
            let mut words = line.split('|');
            let mut word = || words.next().unwrap();
            Line {
                file: "ident".to_owned(),
                number: Some(u32::try_from(index).unwrap() + 1),
                mapping: Some(Mapping {
                    map: word().into(),
                    identity: token(word()),
                    role: token(word()),
                }),
                problem: None,
            }
        };
        text.lines().enumerate().map(line).collect()
    }

    fn admitted(version: u32, map: &str, identity: &str, role: &str) -> Option<u32> {
        let lines = lines(map);
        let around = surroundings(version);
        let candidates = candidates(&lines, b"m", identity.as_bytes(), &around);
        let decision = decide(&candidates, role.as_bytes(), &around);
        let admits = admits(&lines, Some(b"m"), identity.as_bytes(), role.as_bytes(), &around);
        assert_eq!(admits, matches!(decision, Decision::Admitted(_)));
        match decision {
            Decision::Admitted(line) => line.number,
            _ => None,
        }
    }

    #[test]
    fn names_are_compared_as_they_are() {
        let map = "x|alice|root\nm|alice|bob\nm|alice|carol";
        assert_eq!(admitted(15, map, "alice", "bob"), Some(2));
        assert_eq!(admitted(15, map, "alice", "carol"), Some(3));
        assert_eq!(admitted(15, map, "alice", "root"), None);
        assert_eq!(admitted(15, map, "alice", "alice"), None);
        assert_eq!(admitted(15, map, "Alice", "bob"), None);
        let around = surroundings(15);
        assert!(super::admits(&[], None, b"alice", b"alice", &around));
        assert!(super::admits(&[], Some(b""), b"alice", b"alice", &around));
        assert!(!super::admits(&[], None, b"alice", b"bob", &around));
    }

    #[test]
    fn a_group_replaces_the_first_reference_only() {
        assert_eq!(admitted(15, r"m|/CN=(.*)|\1", "CN=alice", "alice"), Some(1));
        assert_eq!(admitted(15, r"m|/CN=(.*)|a_\1_z", "CN=alice", "a_alice_z"), Some(1));
        assert_eq!(admitted(15, r"m|/CN=(.*)|\1\1", "CN=alice", r"alice\1"), Some(1));
        assert_eq!(admitted(15, r"m|/CN=|bob", "x CN=alice", "bob"), Some(1));
        // Quoting does not keep it from being an expression.
        assert_eq!(admitted(15, r"m|'/CN=(.*)|\1", "CN=alice", "alice"), Some(1));
        // What comes of it is a name, not a keyword.
        assert_eq!(admitted(16, r"m|/CN=(.*)|\1", "CN=all", "bob"), None);
        assert_eq!(admitted(16, r"m|/CN=(.*)|\1", "CN=+staff", "bob"), None);
        assert_eq!(admitted(16, r"m|/CN=(.*)|\1", "CN=/bo", "bob"), None);
        assert_eq!(admitted(16, r"m|/CN=(.*)|\1", "CN=/bo", "/bo"), Some(1));
    }

    #[test]
    fn special_targets_came_with_version_16() {
        for (target, role) in [("all", "anybody"), ("+staff", "bob"), ("/bo", "bob")] {
            let map = format!("m|alice|{target}");
            assert_eq!(admitted(15, &map, "alice", role), None, "{target}");
            assert_eq!(admitted(15, &map, "alice", target), Some(1), "{target}");
            assert_eq!(admitted(16, &map, "alice", role), Some(1), "{target}");
        }
        for target in ["'all", "'+staff"] {
            assert_eq!(admitted(16, &format!("m|alice|{target}"), "alice", "bob"), None);
        }
        // No reference is looked for in them.
        assert_eq!(admitted(16, r"m|/alice|/\1", "alice", r"x\1"), Some(1));
    }

    #[test]
    fn the_server_gives_up_at_a_line_that_fails() {
        let map = "m|/alice|first\nm|/alice|\\1\nm|/alice|bob";
        assert_eq!(admitted(15, map, "alice", "first"), Some(1));
        assert_eq!(admitted(15, map, "alice", "bob"), None);
        assert_eq!(admitted(15, "m|/give up|x\nm|alice|bob", "alice", "bob"), None);
        let lines = lines(map);
        let around = surroundings(15);
        let explained = explain(&lines, Some(b"m"), b"alice", b"bob", &around);
        let notes: Vec<_> = explained.iter().map(|e| (e.matched, e.note.as_deref())).collect();
        assert_eq!(notes[0], (false, None));
        assert!(notes[1].1.unwrap().contains("no subexpressions"));
        assert_eq!(notes[2], (true, Some("not reached: the server gives up before this line")));
    }

    #[test]
    fn every_line_of_the_map_is_explained() {
        let lines = lines("m|bob|x\nm|alice|bob\nm|/ali|bob\nother|alice|bob");
        let around = surroundings(15);
        let explained = explain(&lines, Some(b"m"), b"alice", b"bob", &around);
        let seen: Vec<_> =
            explained.iter().map(|e| (e.matched, e.maps_to.as_deref(), e.note.is_some())).collect();
        assert_eq!(
            seen,
            [(false, None, false), (true, Some("bob"), false), (true, Some("bob"), true)]
        );
    }
}
