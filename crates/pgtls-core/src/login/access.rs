//! What `pg_hba.conf` and `pg_ident.conf` have in common: tokens, and how the server compares them.
//!
//! Owns the comparison of one token with one role or database name. Everything is bytes: the server
//! compares them before it knows of any encoding. What has to be asked of a running server is
//! behind the traits.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::login::server_version::ServerVersion;
use crate::text;

/// One word of a rule or mapping.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    text: Vec<u8>,
    quoted: bool,
    /// Not a word of a file, so it has no meaning but itself.
    literal: bool,
}

impl Token {
    /// A word without its quotes, and whether it began with one.
    pub fn new(text: impl Into<Vec<u8>>, quoted: bool) -> Self {
        Self { text: text.into(), quoted, literal: false }
    }

    /// A name that the server made, which it takes for nothing but a name, whatever it begins with.
    pub(crate) fn literal(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), quoted: true, literal: true }
    }

    /// The word without quotes.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The regular expression, if the word is one; quotes do not matter.
    pub fn pattern(&self) -> Option<&[u8]> {
        if self.literal { None } else { self.text.strip_prefix(b"/") }
    }

    /// The group whose members are meant, if the word is `+group`.
    fn group(&self) -> Option<&[u8]> {
        if self.quoted { None } else { self.text.strip_prefix(b"+") }
    }

    /// Whether it is this keyword, which a quoted word never is.
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword.as_bytes()
    }
}

/// As a file has it, in double quotes if it was quoted.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = text::lossless(&self.text);
        match self.quoted {
            true => write!(f, "\"{}\"", text.replace('"', "\"\"")),
            false => f.write_str(&text),
        }
    }
}

/// The server's regular expressions: unanchored, advanced syntax, C collation, on bytes.
pub trait Patterns {
    /// Looks for the first match in `subject`.
    ///
    /// # Errors
    /// If the pattern is invalid or the search gives up; the server's words for it.
    fn search(&self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String>;

    /// Whether the pattern is valid.
    ///
    /// # Errors
    /// If it is not; the server's words for it.
    fn check(&self, pattern: &[u8]) -> Result<(), String>;
}

/// A match of a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The bytes of the first group; `None` if there is no group or it took no part.
    pub group: Option<Range<usize>>,
}

/// Who is a member of whom.
pub trait Roles {
    /// Whether `role` exists and is `group` or a member of it, directly or not; being superuser
    /// does not count.
    fn is_member(&self, role: &[u8], group: &[u8]) -> bool;
}

/// Names of hosts and addresses of the server.
pub trait Network {
    /// The name that an address resolves to.
    fn name_of(&self, address: IpAddr) -> Option<Vec<u8>>;

    /// The addresses that a name resolves to.
    fn addresses_of(&self, name: &[u8]) -> Vec<IpAddr>;

    /// The server's own addresses, each with the mask of its network.
    fn interfaces(&self) -> Vec<(IpAddr, IpAddr)>;
}

/// The server that a question is about.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Its major version.
    pub version: ServerVersion,
    /// Its regular expressions.
    pub patterns: &'a dyn Patterns,
    /// Its roles.
    pub roles: &'a dyn Roles,
    /// Its network.
    pub network: &'a dyn Network,
}

impl Surroundings<'_> {
    /// The pattern that a word of a rule, or the target of a mapping, is in this version.
    pub(crate) fn pattern<'t>(&self, token: &'t Token) -> Option<&'t [u8]> {
        token.pattern().filter(|_| self.version.has_rich_names())
    }

    /// What is wrong with the first invalid one of some patterns, in the server's words.
    pub(crate) fn first_invalid<'p>(
        &self,
        patterns: impl IntoIterator<Item = &'p [u8]>,
    ) -> Option<String> {
        patterns.into_iter().find_map(|pattern| {
            let reason = self.patterns.check(pattern).err()?;
            let pattern = text::lossless(pattern);
            Some(format!("invalid regular expression \"{pattern}\": {reason}"))
        })
    }

    /// Whether a role in a rule means this role (`check_role`).
    pub(crate) fn rule_names_role(&self, token: &Token, role: &[u8]) -> bool {
        if let Some(group) = token.group() {
            return self.roles.is_member(role, group);
        }
        token.is_keyword("all") || self.matches(token, role)
    }

    /// Whether a database in a rule means physical replication (`check_db`).
    pub(crate) fn rule_names_replication(token: &Token) -> bool {
        token.is_keyword("replication")
    }

    /// Whether a database in a rule means this database (`check_db`), for a client that has one.
    pub(crate) fn rule_names_database(&self, token: &Token, database: &[u8], role: &[u8]) -> bool {
        if token.is_keyword("all") {
            true
        } else if token.is_keyword("sameuser") {
            database == role
        } else if token.is_keyword("samegroup") || token.is_keyword("samerole") {
            self.roles.is_member(role, database)
        } else {
            !token.is_keyword("replication") && self.matches(token, database)
        }
    }

    /// Whether the target of a mapping means this role: a plain name before PostgreSQL 16, as in a
    /// rule since then.
    pub(crate) fn mapping_names_role(&self, token: &Token, role: &[u8]) -> bool {
        match self.version.has_rich_names() {
            true => self.rule_names_role(token, role),
            false => token.text == role,
        }
    }

    /// Whether the target of a mapping has a meaning of its own, in which `\1` is not replaced.
    pub(crate) fn is_special_target(&self, token: &Token) -> bool {
        self.version.has_rich_names() && (token.group().is_some() || token.pattern().is_some())
    }

    /// A regular expression or a plain name; a search that fails is no match, as for the server.
    fn matches(&self, token: &Token, name: &[u8]) -> bool {
        match self.pattern(token) {
            Some(pattern) => matches!(self.patterns.search(pattern, name), Ok(Some(_))),
            None => token.text == name,
        }
    }
}

/// The surroundings that unit tests ask.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// Patterns are plain text, of which `(x)` is a group; everybody is a member of `staff`; one
    /// host.
    pub(crate) struct Fake;

    impl Patterns for Fake {
        fn search(&self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String> {
            self.check(pattern)?;
            if pattern == b"give up" {
                return Err("out of memory".to_owned());
            }
            let Some(open) = pattern.iter().position(|byte| *byte == b'(') else {
                let found = subject.windows(pattern.len()).any(|window| window == pattern);
                return Ok(found.then_some(Found { group: None }));
            };
            // `prefix(.*)`: the rest after the prefix.
            let prefix = &pattern[..open];
            let at = subject.windows(prefix.len()).position(|window| window == prefix);
            Ok(at.map(|at| Found { group: Some(at + prefix.len()..subject.len()) }))
        }

        fn check(&self, pattern: &[u8]) -> Result<(), String> {
            if pattern == b"(" { Err("parentheses () not balanced".to_owned()) } else { Ok(()) }
        }
    }

    impl Roles for Fake {
        fn is_member(&self, role: &[u8], group: &[u8]) -> bool {
            role == group || group == b"staff"
        }
    }

    impl Network for Fake {
        fn name_of(&self, address: IpAddr) -> Option<Vec<u8>> {
            match address.to_string().as_str() {
                "10.0.0.1" => Some(b"One.Example.com".to_vec()),
                "10.0.0.2" => Some(b"liar.example.com".to_vec()),
                _ => None,
            }
        }

        fn addresses_of(&self, name: &[u8]) -> Vec<IpAddr> {
            let honest = name.eq_ignore_ascii_case(b"one.example.com");
            vec![if honest { "10.0.0.1" } else { "10.9.9.9" }.parse().unwrap()]
        }

        fn interfaces(&self) -> Vec<(IpAddr, IpAddr)> {
            vec![("192.168.1.7".parse().unwrap(), "255.255.255.0".parse().unwrap())]
        }
    }

    pub(crate) fn surroundings(version: u32) -> Surroundings<'static> {
        Surroundings {
            version: ServerVersion(version),
            patterns: &Fake,
            roles: &Fake,
            network: &Fake,
        }
    }
}
