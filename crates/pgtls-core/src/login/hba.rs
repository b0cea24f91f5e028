//! The rules of `pg_hba.conf`, and which of them a connection falls under.
//!
//! Owns the rules as data and the choice of the first that matches (`check_hba`). Reading the file
//! is the server's own business; secrets of external methods never get here.

use std::fmt;
use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::login::access::{Network, Surroundings, Token};
use crate::text;
use crate::value::Value;
use crate::work;

/// What was read from one place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The file; rules may stand in included ones.
    pub file: String,
    /// The line, from 1; `None` if the file as a whole is meant.
    pub number: Option<u32>,
    /// The rule, if there is one.
    pub rule: Option<Rule>,
    /// What the server says against it. With a rule it is a remark, without one an error.
    pub problem: Option<String>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which connections it is for.
    pub connection: Connection,
    /// Which databases.
    pub databases: Vec<Token>,
    /// Which roles.
    pub roles: Vec<Token>,
    /// Which clients; of no meaning for local connections.
    pub address: Address,
    /// How the client is authenticated.
    pub method: Method,
    /// What is asked of the client certificate, besides what TLS asks.
    pub client_certificate: ClientCertificate,
    /// Which name of the certificate is compared.
    pub client_name: ClientName,
    /// The map of `pg_ident.conf` to compare by.
    pub map: Option<Vec<u8>>,
}

/// The first word of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connection {
    /// Unix socket.
    Local,
    /// TCP.
    Host,
    /// TCP with TLS.
    HostSsl,
    /// TCP without TLS.
    HostNoSsl,
    /// TCP with GSSAPI encryption.
    HostGss,
    /// TCP without GSSAPI encryption.
    HostNoGss,
}

/// The word in the file.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Host => "host",
            Self::HostSsl => "hostssl",
            Self::HostNoSsl => "hostnossl",
            Self::HostGss => "hostgssenc",
            Self::HostNoGss => "hostnogssenc",
        })
    }
}

/// Which addresses a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// All of them.
    All,
    /// A network.
    Network {
        /// Its address.
        address: IpAddr,
        /// Its mask, of the same family.
        mask: IpAddr,
    },
    /// A host name, or the end of one if it starts with a dot.
    Name(Vec<u8>),
    /// The server's own addresses.
    SameHost,
    /// The networks the server is in.
    SameNet,
}

/// How a rule has the client authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all: refused.
    Reject,
    /// Not at all: let in.
    Trust,
    /// Password, sent as it is.
    Password,
    /// Password, MD5 or SCRAM by how it is stored.
    Md5,
    /// Password, SCRAM.
    Scram,
    /// Client certificate.
    Cert,
    /// By asking something outside the server, here with the name of the method.
    External(&'static str),
}

/// By its name.
impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom("unknown authentication method"))
    }
}

impl Method {
    /// The methods that ask something outside the server.
    const EXTERNAL: &'static [&'static str] =
        &["ident", "gss", "sspi", "pam", "bsd", "ldap", "radius", "peer", "oauth"];

    /// By the name that the server has for it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "reject" => Self::Reject,
            "trust" => Self::Trust,
            "password" => Self::Password,
            "md5" => Self::Md5,
            "scram-sha-256" => Self::Scram,
            "cert" => Self::Cert,
            _ => Self::External(Self::EXTERNAL.iter().find(|known| **known == name)?),
        })
    }

    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Trust => "trust",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Scram => "scram-sha-256",
            Self::Cert => "cert",
            Self::External(name) => name,
        }
    }
}

/// The option `clientcert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientCertificate {
    /// None is asked for.
    Optional,
    /// There has to be one (`verify-ca`).
    Required,
    /// There has to be one, and its name is compared with the role's (`verify-full`).
    RequiredAndNamed,
}

/// The option `clientname`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientName {
    /// The first common name.
    CommonName,
    /// The whole subject, in RFC 2253 form.
    Subject,
}

/// The word in the file.
impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommonName => "CN",
            Self::Subject => "DN",
        })
    }
}

/// A connection that looks for its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its address; `None` over the Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it uses TLS.
    pub tls: bool,
    /// The role it asks for.
    pub role: &'a [u8],
    /// The database it asks for; `None` for physical replication.
    pub database: Option<&'a [u8]>,
}

/// The rule that a connection falls under, with its line; `None` if there is none.
pub fn first_match<'l>(
    lines: &'l [Line],
    client: &Client<'_>,
    around: &Surroundings<'_>,
) -> Option<(&'l Line, &'l Rule)> {
    lines
        .iter()
        .inspect(|_| work::between())
        .filter_map(|line| Some((line, line.rule.as_ref()?)))
        .find(|(_, rule)| rule.matches(client, around))
}

/// Why the server does not take the file; `None` if it does. A file without any rule is none to
/// take.
pub fn problem(lines: &[Line]) -> Option<String> {
    let broken = lines.iter().find(|line| line.rule.is_none());
    match broken {
        Some(line) => Some(format!(
            "{}: {}",
            place(&line.file, line.number),
            line.problem.as_deref().unwrap_or("invalid line")
        )),
        None => lines.is_empty().then(|| "it holds no rule".to_owned()),
    }
}

/// `file:line`.
pub(crate) fn place(file: &str, line: Option<u32>) -> String {
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}

impl Line {
    /// `file:line`.
    pub fn place(&self) -> String {
        place(&self.file, self.number)
    }

    /// The columns of `pgtls_hba_rules` but for the number of the rule.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let rule = self.rule.as_ref();
        let tokens = |tokens: &[Token]| tokens.iter().map(Token::to_string).collect::<Vec<_>>();
        let named = rule.filter(|rule| rule.client_certificate != ClientCertificate::Optional);
        let compared = rule.filter(|rule| rule.compares_name());
        vec![
            ("file_name", self.file.clone().into()),
            ("line_number", self.number.map(i64::from).into()),
            ("type", rule.map(|rule| rule.connection.to_string()).into()),
            ("database", rule.map(|rule| tokens(&rule.databases)).into()),
            ("user_name", rule.map(|rule| tokens(&rule.roles)).into()),
            ("address", rule.and_then(Rule::address_text).into()),
            ("netmask", rule.and_then(Rule::mask_text).into()),
            ("auth_method", rule.map(|rule| rule.method.name()).into()),
            ("clientcert", named.map(|rule| rule.client_certificate_text()).into()),
            ("clientname", compared.map(|rule| rule.client_name.to_string()).into()),
            ("map_name", rule.and_then(Rule::map_text).into()),
            ("error", self.problem.clone().into()),
        ]
    }
}

/// The rule in the file's own words, of the options only those about certificates and names.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens =
            |tokens: &[Token]| tokens.iter().map(Token::to_string).collect::<Vec<_>>().join(",");
        let (databases, roles) = (tokens(&self.databases), tokens(&self.roles));
        write!(f, "{} {databases} {roles}", self.connection)?;
        if let Some(address) = self.address_text() {
            write!(f, " {address}")?;
            match (&self.address, self.mask_text()) {
                (Address::Network { mask, .. }, _) if prefix_length(*mask).is_some() => {
                    write!(f, "/{}", prefix_length(*mask).unwrap_or_default())?;
                }
                (_, Some(mask)) => write!(f, " {mask}")?,
                (_, None) => {}
            }
        }
        write!(f, " {}", self.method.name())?;
        // The method implies it, and the server takes no other value with it.
        if self.method != Method::Cert && self.client_certificate != ClientCertificate::Optional {
            write!(f, " clientcert={}", self.client_certificate_text())?;
        }
        if self.client_name == ClientName::Subject {
            f.write_str(" clientname=DN")?;
        }
        match self.map_text() {
            Some(map) => write!(f, " map={map}"),
            None => Ok(()),
        }
    }
}

/// The number of one bits, if they all stand at the front of the mask.
fn prefix_length(mask: IpAddr) -> Option<u32> {
    match mask {
        IpAddr::V4(mask) => {
            let bits = mask.to_bits();
            (bits.leading_ones() + bits.trailing_zeros() == u32::BITS || bits == 0)
                .then(|| bits.leading_ones())
        }
        IpAddr::V6(mask) => {
            let bits = mask.to_bits();
            (bits.leading_ones() + bits.trailing_zeros() == u128::BITS || bits == 0)
                .then(|| bits.leading_ones())
        }
    }
}

impl Rule {
    /// Whether the certificate's name is compared with the role's (`CheckCertAuth`).
    pub fn compares_name(&self) -> bool {
        self.method == Method::Cert
            || self.client_certificate == ClientCertificate::RequiredAndNamed
    }

    /// Why the server would not load the rule: a regular expression that is none.
    pub fn invalid_pattern(&self, around: &Surroundings<'_>) -> Option<String> {
        let tokens = self.databases.iter().chain(&self.roles);
        around.first_invalid(tokens.filter_map(|token| around.pattern(token)))
    }

    /// The map as text; `None` if there is none.
    pub fn map_text(&self) -> Option<String> {
        self.map.as_deref().map(|map| text::lossless(map).into_owned())
    }

    fn client_certificate_text(&self) -> &'static str {
        match self.client_certificate {
            ClientCertificate::Optional => "",
            ClientCertificate::Required => "verify-ca",
            ClientCertificate::RequiredAndNamed => "verify-full",
        }
    }

    fn address_text(&self) -> Option<String> {
        match &self.address {
            _ if self.connection == Connection::Local => None,
            Address::All => Some("all".to_owned()),
            Address::Network { address, .. } => Some(address.to_string()),
            Address::Name(name) => Some(text::lossless(name).into_owned()),
            Address::SameHost => Some("samehost".to_owned()),
            Address::SameNet => Some("samenet".to_owned()),
        }
    }

    fn mask_text(&self) -> Option<String> {
        match &self.address {
            Address::Network { mask, .. } if self.connection != Connection::Local => {
                Some(mask.to_string())
            }
            _ => None,
        }
    }

    fn matches(&self, client: &Client<'_>, around: &Surroundings<'_>) -> bool {
        self.matches_connection(client)
            && client.address.is_none_or(|address| self.matches_address(address, around.network))
            && self.databases.iter().any(|token| match client.database {
                Some(database) => around.rule_names_database(token, database, client.role),
                None => Surroundings::rule_names_replication(token),
            })
            && self.roles.iter().any(|token| around.rule_names_role(token, client.role))
    }

    fn matches_connection(&self, client: &Client<'_>) -> bool {
        match (self.connection, client.address) {
            (Connection::Local, address) => address.is_none(),
            (_, None) => false,
            (Connection::Host | Connection::HostNoGss, Some(_)) => true,
            (Connection::HostSsl, Some(_)) => client.tls,
            (Connection::HostNoSsl, Some(_)) => !client.tls,
            // GSSAPI encryption and TLS exclude each other, and a question is about TLS or neither.
            (Connection::HostGss, Some(_)) => false,
        }
    }

    fn matches_address(&self, client: IpAddr, network: &dyn Network) -> bool {
        let in_network = |(address, mask): (IpAddr, IpAddr)| is_within(client, address, mask);
        match &self.address {
            Address::All => true,
            Address::Network { address, mask } => is_within(client, *address, *mask),
            Address::SameHost => {
                network.interfaces().into_iter().any(|(address, _)| address == client)
            }
            Address::SameNet => network.interfaces().into_iter().any(in_network),
            Address::Name(pattern) => network.name_of(client).is_some_and(|name| {
                is_host_name(pattern, &name) && network.addresses_of(&name).contains(&client)
            }),
        }
    }
}

/// Whether a name is the one meant, or ends in it if that starts with a dot.
fn is_host_name(pattern: &[u8], name: &[u8]) -> bool {
    let compared = match pattern.first() {
        Some(b'.') => name.len().checked_sub(pattern.len()).and_then(|start| name.get(start..)),
        _ => Some(name),
    };
    compared.is_some_and(|name| name.eq_ignore_ascii_case(pattern))
}

/// Whether an address is in a network; not if the families differ.
fn is_within(client: IpAddr, network: IpAddr, mask: IpAddr) -> bool {
    match (client, network, mask) {
        (IpAddr::V4(client), IpAddr::V4(network), IpAddr::V4(mask)) => {
            (client.to_bits() ^ network.to_bits()) & mask.to_bits() == 0
        }
        (IpAddr::V6(client), IpAddr::V6(network), IpAddr::V6(mask)) => {
            (client.to_bits() ^ network.to_bits()) & mask.to_bits() == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::access::fake::surroundings;

    fn token(text: &str) -> Token {
        match text.strip_prefix('\'') {
            Some(quoted) => Token::new(quoted, true),
            None => Token::new(text, false),
        }
    }

    fn rule(connection: Connection, databases: &[&str], roles: &[&str], address: Address) -> Rule {
        Rule {
            connection,
            databases: databases.iter().map(|text| token(text)).collect(),
            roles: roles.iter().map(|text| token(text)).collect(),
            address,
            method: Method::Cert,
            client_certificate: ClientCertificate::RequiredAndNamed,
            client_name: ClientName::CommonName,
            map: None,
        }
    }

    fn network(address: &str, mask: &str) -> Address {
        Address::Network { address: address.parse().unwrap(), mask: mask.parse().unwrap() }
    }

    fn over_tcp(address: &str, tls: bool) -> Client<'static> {
        Client {
            address: Some(address.parse().unwrap()),
            tls,
            role: b"alice",
            database: Some(b"app"),
        }
    }

    fn matches(version: u32, rule: &Rule, client: &Client<'_>) -> bool {
        rule.matches(client, &surroundings(version))
    }

    #[test]
    fn the_kind_of_connection_decides_first() {
        let all = |connection| rule(connection, &["all"], &["all"], Address::All);
        let socket = Client { address: None, ..over_tcp("10.0.0.9", false) };
        for (connection, local, plain, tls) in [
            (Connection::Local, true, false, false),
            (Connection::Host, false, true, true),
            (Connection::HostSsl, false, false, true),
            (Connection::HostNoSsl, false, true, false),
            (Connection::HostGss, false, false, false),
            (Connection::HostNoGss, false, true, true),
        ] {
            let rule = all(connection);
            assert_eq!(matches(15, &rule, &socket), local, "{connection} socket");
            assert_eq!(matches(15, &rule, &over_tcp("10.0.0.9", false)), plain, "{connection}");
            assert_eq!(matches(15, &rule, &over_tcp("10.0.0.9", true)), tls, "{connection} tls");
        }
    }

    #[test]
    fn addresses_are_compared_within_their_family() {
        for (address, client, expected) in [
            (network("10.0.0.0", "255.0.0.0"), "10.255.1.2", true),
            (network("10.0.0.0", "255.0.0.0"), "11.0.0.1", false),
            (network("0.0.0.0", "0.0.0.0"), "::1", false),
            (network("::", "::"), "127.0.0.1", false),
            (network("2001:db8::", "ffff:ffff::"), "2001:db8::7", true),
            (network("2001:db8::", "ffff:ffff::"), "2001:db9::7", false),
            (Address::All, "::1", true),
            (Address::SameHost, "192.168.1.7", true),
            (Address::SameHost, "192.168.1.8", false),
            (Address::SameNet, "192.168.1.8", true),
            (Address::SameNet, "192.168.2.8", false),
            (Address::Name(b"one.example.COM".to_vec()), "10.0.0.1", true),
            (Address::Name(b".example.com".to_vec()), "10.0.0.1", true),
            (Address::Name(b".com".to_vec()), "10.0.0.1", true),
            (Address::Name(b"example.com".to_vec()), "10.0.0.1", false),
            (Address::Name(b".a.very.long.name.of.no.host".to_vec()), "10.0.0.1", false),
            // Its name does not resolve back to it.
            (Address::Name(b"liar.example.com".to_vec()), "10.0.0.2", false),
            (Address::Name(b"nobody".to_vec()), "10.0.0.3", false),
        ] {
            let rule = rule(Connection::Host, &["all"], &["all"], address.clone());
            assert_eq!(
                matches(15, &rule, &over_tcp(client, true)),
                expected,
                "{address:?} {client}"
            );
        }
    }

    #[test]
    fn names_are_keywords_groups_patterns_or_names() {
        for (version, databases, roles, expected) in [
            (15, "app", "alice", true),
            (15, "App", "alice", false),
            (15, "'all", "alice", false),
            (15, "all", "'all", false),
            (15, "sameuser", "all", false),
            (15, "samerole", "all", false),
            (15, "replication", "all", false),
            (15, "'replication", "all", false),
            (15, "all", "+staff", true),
            (15, "all", "'+staff", false),
            (15, "all", "+other", false),
            (15, "/ap", "all", false),
            (16, "/ap", "all", true),
            (16, "'/ap", "all", true),
            (16, "all", "/lic", true),
            (15, "all", "/lic", false),
            (16, "all", "/(", false),
        ] {
            let rule = rule(Connection::Host, &[databases], &[roles], Address::All);
            let found = matches(version, &rule, &over_tcp("10.0.0.9", true));
            assert_eq!(found, expected, "{version} {databases} {roles}");
        }
        let own = Client { database: Some(b"alice"), ..over_tcp("10.0.0.9", true) };
        for database in ["sameuser", "samerole", "samegroup", "other,alice", "'alice"] {
            let databases: Vec<&str> = database.split(',').collect();
            let rule = rule(Connection::Host, &databases, &["all"], Address::All);
            assert!(matches(15, &rule, &own), "{database}");
        }
    }

    #[test]
    fn physical_replication_has_a_keyword_of_its_own() {
        let replica = Client { database: None, ..over_tcp("10.0.0.9", true) };
        for (databases, replicates, connects) in [
            (&["replication"][..], true, false),
            (&["all"], false, true),
            (&["'replication"], false, false),
            (&["app", "replication"], true, true),
            (&["samerole"], false, false),
        ] {
            let rule = rule(Connection::Host, databases, &["alice"], Address::All);
            assert_eq!(matches(15, &rule, &replica), replicates, "{databases:?}");
            assert_eq!(matches(15, &rule, &over_tcp("10.0.0.9", true)), connects, "{databases:?}");
        }
        // A database of that name needs quotes.
        let named = Client { database: Some(b"replication"), ..replica };
        let quoted = rule(Connection::Host, &["'replication"], &["all"], Address::All);
        assert!(matches(15, &quoted, &named) && !matches(15, &quoted, &replica));
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let line = |number, rule| Line {
            file: "hba".to_owned(),
            number: Some(number),
            rule: Some(rule),
            problem: None,
        };
        let lines = [
            line(1, rule(Connection::HostNoSsl, &["all"], &["all"], Address::All)),
            line(2, rule(Connection::HostSsl, &["all"], &["bob"], Address::All)),
            line(3, rule(Connection::HostSsl, &["app"], &["alice"], Address::All)),
            line(4, rule(Connection::Host, &["all"], &["all"], Address::All)),
        ];
        let client = over_tcp("10.0.0.9", true);
        let found = first_match(&lines, &client, &surroundings(15)).unwrap();
        assert_eq!(found.0.place(), "hba:3");
        assert_eq!(first_match(&lines[..2], &client, &surroundings(15)), None);
        assert_eq!(problem(&lines), None);
        assert_eq!(problem(&[]).unwrap(), "it holds no rule");
    }
}
