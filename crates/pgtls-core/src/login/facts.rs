//! What a what-if login is asked with: the question, and what is known of the server.

use std::net::IpAddr;

use crate::login::{hba, ident};
use crate::time::UnixTime;
use crate::verify::judgement::Judgement;
use crate::x509::certificate::Certificate;

/// Who wants in.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the client sends: its own certificate first. Empty if it has none.
    pub certificates: &'a [Certificate],
    /// The role it asks for.
    pub role: &'a [u8],
    /// The database it asks for; empty for physical replication.
    pub database: &'a [u8],
    /// Where it comes from; `None` over the Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it uses TLS.
    pub tls: bool,
    /// The only protocol version that it speaks, as in the settings of the server; `None` if it
    /// speaks those of libpq.
    pub protocol_version: Option<&'a str>,
    /// The host name that it connects to; `None` if that is not asked about.
    pub host: Option<&'a str>,
    /// When.
    pub at: UnixTime,
    /// What the CRLs are then.
    pub crls: Crls,
    /// Whether the connection is one for replication.
    pub replication: Replication,
}

/// What kind of connection is asked for (`replication` of the startup packet).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replication {
    /// An ordinary one, because nobody said otherwise.
    #[default]
    NotSaid,
    /// An ordinary one.
    No,
    /// Physical replication, which has no database.
    Physical,
    /// Logical replication, which has one.
    Logical,
}

impl Replication {
    /// Whether the server makes a walsender of it (`am_walsender`).
    pub(super) fn is_walsender(self) -> bool {
        matches!(self, Self::Physical | Self::Logical)
    }
}

/// What the CRLs are taken to be at another moment than now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Crls {
    /// Those that are there now, which end at their own time.
    #[default]
    AsTheyAre,
    /// CRLs that say the same and have not ended: whoever asks about the future will have renewed
    /// them by then.
    AsIfRenewed,
}

impl Crls {
    /// By the word of the argument.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"as_they_are" => Some(Self::AsTheyAre),
            b"as_if_renewed" => Some(Self::AsIfRenewed),
            _ => None,
        }
    }
}

/// What is known of the server.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The content of `pg_hba.conf`.
    pub rules: &'a [hba::Line],
    /// The content of `pg_ident.conf`.
    pub mappings: &'a [ident::Line],
    /// How it does TLS.
    pub tls: TlsFacts,
    /// `pgtls_ext.require_tls`, where the library is preloaded.
    pub require_tls: bool,
    /// How the server refuses the protocol version that the client speaks, if it does.
    pub version_refusal: Option<HandshakeRefusal>,
    /// The certificate that the server shows, or why that is not known; `None` if no host name is
    /// asked about.
    pub server_certificate: Option<Result<Certificate, String>>,
    /// What OpenSSL says of the chain, or why it cannot be asked; `None` if there is no chain.
    pub trust: Option<Result<Judgement, String>>,
    /// Whether the client can use its key with what the server offers; `None` if that is not known
    /// or need not be asked.
    pub key_use: Option<KeyUse>,
    /// The role; `None` if it does not exist.
    pub role: Option<RoleFacts>,
    /// The database; `None` if it does not exist.
    pub database: Option<DatabaseFacts>,
    /// What that database cannot show of the names in the certificate, if anything.
    pub untranslatable: Untranslatable,
    /// Whether there is room for one more connection.
    pub slots: SlotFacts,
    /// Whether limits on connections hold for walsenders, too: until the minor releases of February
    /// 2025.
    pub limits_walsenders: bool,
    /// Files that may differ from what is in force.
    pub remarks: Vec<Remark>,
}

/// What becomes of a client's key in a handshake with what the server offers, of a client that
/// leaves the choice to the same OpenSSL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUse {
    /// It signs the handshake.
    Usable,
    /// No signature algorithm that both know goes with it: the client sends no certificate.
    NotSent,
    /// The server refuses it.
    Refused(HandshakeRefusal),
}

/// How the server ends a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeRefusal {
    /// The TLS alert that the client is sent, with its number.
    pub alert: (String, u8),
    /// What the server logs behind `could not accept SSL connection: `.
    pub logged: String,
}

/// How the server does TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `ssl = on`.
    pub enabled: bool,
    /// `ssl_ca_file`; without one, no client is asked for a certificate.
    pub ca_file: Option<String>,
    /// `ssl_crl_file` and `ssl_crl_dir`, as far as they are set.
    pub crls: Vec<String>,
    /// `ssl_min_protocol_version` and `ssl_max_protocol_version`; empty if there is no limit.
    pub protocol_limits: [String; 2],
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleFacts {
    /// `LOGIN`.
    pub may_log_in: bool,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// How its password is kept.
    pub password: Password,
    /// `VALID UNTIL`, if that is a moment.
    pub valid_until: Option<UnixTime>,
    /// Whether the limit on its connections is used up.
    pub limit_reached: bool,
    /// Whether it may use the connections of `reserved_connections`.
    pub may_use_reserved: bool,
}

/// The names in a certificate that the encoding of a database cannot show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untranslatable {
    /// The encoding.
    pub encoding: String,
    /// The first character of the subject that it lacks.
    pub in_subject: Option<char>,
    /// The first character of the issuer that it lacks.
    pub in_issuer: Option<char>,
}

/// How a role's password is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Password {
    /// There is none.
    #[default]
    None,
    /// As an MD5 hash.
    Md5,
    /// As a SCRAM secret.
    Scram,
}

/// A database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Whether it was left behind by an interrupted `DROP DATABASE`.
    pub invalid: bool,
    /// `ALLOW_CONNECTIONS`.
    pub allows_connections: bool,
    /// Whether the role has the privilege `CONNECT`.
    pub role_may_connect: bool,
    /// Whether the limit on its connections is used up.
    pub limit_reached: bool,
}

/// Free connections, apart from the ones kept for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotFacts {
    /// For superusers.
    pub for_superusers: bool,
    /// For roles with the privileges of `pg_use_reserved_connections`.
    pub for_reserved: bool,
    /// For everybody.
    pub for_everybody: bool,
}

impl SlotFacts {
    /// Room for everybody.
    pub const PLENTY: Self = Self { for_superusers: true, for_reserved: true, for_everybody: true };
}

/// A file that may differ from what the server has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What is to be said about it.
    pub detail: String,
    /// The file.
    pub source: String,
}
