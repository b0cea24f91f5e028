//! One step of a login, what client and log are told, and the explanation that the steps make.

use std::fmt;

use crate::value::Value;

/// What is looked at in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Whether the files are what the server has loaded.
    Configuration,
    /// Whether the client gets the encryption it wants.
    Tls,
    /// What a client that verifies the server makes of its certificate.
    ServerCertificate,
    /// Issuers, signatures and constraints of the chain.
    Chain,
    /// What the certificates may be used for.
    Purpose,
    /// Revocation.
    Revocation,
    /// Dates of the certificates.
    Validity,
    /// Whether the client's key can be used with what the server offers.
    Key,
    /// Whether the server can take the certificate's subject.
    Subject,
    /// The rule of `pg_hba.conf`.
    HbaRule,
    /// Whether the rule's demand for a certificate is met.
    ClientCertificate,
    /// The authentication method.
    Authentication,
    /// The name that is taken from the certificate.
    Identity,
    /// Whether that name may be the role.
    Mapping,
    /// Whether the extension itself refuses connections without TLS.
    RequireTls,
    /// The role.
    Role,
    /// Free connections.
    ConnectionSlots,
    /// Whether the role may replicate.
    Replication,
    /// The database.
    Database,
    /// Whether the server can show the certificate in `pg_stat_ssl`.
    Reporting,
    /// All in all.
    Verdict,
}

/// The word in the column `check_name`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Tls => "tls",
            Self::ServerCertificate => "server_certificate",
            Self::Chain => "chain",
            Self::Purpose => "purpose",
            Self::Revocation => "revocation",
            Self::Validity => "validity",
            Self::Key => "key",
            Self::Subject => "subject",
            Self::HbaRule => "hba_rule",
            Self::ClientCertificate => "client_certificate",
            Self::Authentication => "authentication",
            Self::Identity => "identity",
            Self::Mapping => "mapping",
            Self::RequireTls => "require_tls",
            Self::Role => "role",
            Self::ConnectionSlots => "connection_slots",
            Self::Replication => "replication",
            Self::Database => "database",
            Self::Reporting => "reporting",
            Self::Verdict => "verdict",
        })
    }
}

/// How a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing against the login.
    Ok,
    /// The login fails here.
    Failed,
    /// It cannot be told from here.
    Unknown,
    /// There is nothing to look at.
    Skipped,
    /// Something the reader should know.
    Warning,
    /// The verdict: let in.
    Admitted,
    /// The verdict: kept out.
    Refused,
}

/// The word in the column `outcome`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        })
    }
}

/// One step of the login, or the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is looked at.
    pub check: Check,
    /// How it ends.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// Where it was found: a file and line, a catalogue.
    pub source: Option<String>,
    /// What to do about it, and by whom.
    pub hint: Option<String>,
    /// What follows from a failure.
    pub words: Option<Words>,
}

impl Step {
    /// The columns of `pgtls_explain_login` but for the number of the step.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let words = self.words.as_ref().filter(|_| self.check == Check::Verdict);
        vec![
            ("check_name", self.check.to_string().into()),
            ("outcome", self.outcome.to_string().into()),
            ("detail", self.detail.clone().into()),
            ("hint", self.hint.clone().into()),
            ("source", self.source.clone().into()),
            ("client_sees", words.map(|words| words.client.clone()).into()),
            ("server_logs", words.and_then(|words| words.log.clone()).into()),
        ]
    }
}

/// What client and log are told of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What the client sees.
    pub client: String,
    /// What the server logs; `None` if nothing.
    pub log: Option<String>,
}

impl Words {
    /// A `FATAL` that both see, after what is only logged.
    pub(super) fn fatal(message: String, before: Option<String>, detail: Option<String>) -> Self {
        let client = format!("FATAL: {message}");
        let mut log = before.map_or_else(String::new, |line| format!("LOG: {line}\n"));
        log.push_str(&client);
        if let Some(detail) = detail {
            log.push_str("\nDETAIL: ");
            log.push_str(&detail);
        }
        Self { client, log: Some(log) }
    }
}

/// The steps of a login; the verdict is the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub(super) steps: Vec<Step>,
    /// Whether the rule asks for a password.
    pub(super) asks_password: bool,
}

impl Explanation {
    /// The steps, the verdict last.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it depends on a password, which is taken to be right.
    pub fn asks_password(&self) -> bool {
        self.asks_password
    }

    /// Whether the client gets in; `None` if that cannot be told from here.
    pub fn admitted(&self) -> Option<bool> {
        match self.steps.last()?.outcome {
            Outcome::Admitted => Some(true),
            Outcome::Refused => Some(false),
            _ => None,
        }
    }
}
