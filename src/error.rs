//! The one place where a Rust error becomes a PostgreSQL error: SQLSTATE, message, detail, hint.
//!
//! Messages are in the server's style: lower case, no full stop. Hints are whole sentences and say
//! what to do. None of them carries key material or the content of a file.

use std::fmt;

use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{PgLogLevel, PgSqlErrorCode};
use pgtls_core::error::{Error as CoreError, OtherInput};
use pgtls_core::pem;
use pgtls_core::x509::request;

/// Whatever can go wrong in a function of this extension.
#[derive(Debug, Clone)]
pub(crate) enum Error {
    /// An argument of the SQL function is not what the function takes.
    Argument {
        /// Whether the argument is `text` or `bytea`: they have different SQLSTATEs.
        form: Form,
        /// What is wrong with it.
        source: CoreError,
    },
    /// The certificate of this session cannot be read.
    SessionCertificate(CoreError),
    /// A revocation list that OpenSSL holds for this session cannot be read.
    SessionCrl(CoreError),
    /// A name that is no attribute type of a distinguished name.
    UnknownFieldName(String),
    /// An address that is no single host's.
    NotOneAddress(String),
    /// A fingerprint that is none.
    NotAFingerprint,
    /// A moment that no certificate can name.
    MomentOutOfRange,
    /// A configuration file that the server does not load as it is.
    AuthFile {
        /// The setting that names the file.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A text that is given for a configuration file, and that the server would not take.
    NotTaken {
        /// The argument.
        argument: &'static str,
        /// What the server has against it.
        problem: String,
    },
    /// A text that is given for a configuration file has the server read another file.
    Inclusion {
        /// The argument.
        argument: &'static str,
        /// The line, counted from 1.
        line: usize,
    },
    /// The server was built without OpenSSL.
    ServerWithoutOpenSsl,
    /// The server and this library use two different copies of libssl.
    OtherLibssl {
        /// Where the server's is, if the dynamic linker knows.
        server: String,
        /// Where ours is.
        ours: String,
    },
    /// An argument that has to be one of some words is none of them.
    UnknownWord {
        /// What it is.
        word: String,
        /// The name of the argument.
        argument: &'static str,
        /// The hint, which has the words.
        words: &'static str,
    },
    /// A client came over TCP without TLS while that is not allowed.
    PlaintextRefused,
    /// Something only the recorder knows, and it is not there.
    NotPreloaded,
    /// The operating system refuses memory.
    OutOfMemory,
    /// A defect of the extension.
    Internal(String),
}

/// The detail of [`Error::OutOfMemory`].
pub(crate) const NO_MORE_MEMORY: &str = "The operating system gave pgtls_ext no more memory.";

/// The message of [`Error::PlaintextRefused`].
pub(crate) use pgtls_core::login::explain::PLAINTEXT_REFUSED;

/// The SQL type that an argument came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `text`, holding PEM.
    Text,
    /// `bytea`, holding DER or PEM.
    Binary,
}

/// The result of anything in this crate that can fail.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names the argument's form for an error of the core.
    pub(crate) fn argument(form: Form) -> impl Fn(CoreError) -> Self {
        move |source| Self::Argument { form, source }
    }

    /// Raises the error as a PostgreSQL `ERROR`.
    pub(crate) fn raise(self) -> ! {
        std::result::Result::<(), ErrorReport>::Err(self.into()).unwrap_or_report();
        unreachable!("an error report never returns")
    }

    /// Raises the error as `FATAL`, which ends this process.
    pub(crate) fn end_the_connection(self) {
        ErrorReport::from(self).report(PgLogLevel::FATAL);
    }

    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode::*;
        match self {
            Self::Argument { source: CoreError::OutOfMemory, .. }
            | Self::SessionCertificate(CoreError::OutOfMemory)
            | Self::SessionCrl(CoreError::OutOfMemory) => ERRCODE_OUT_OF_MEMORY,
            Self::Argument { source: CoreError::TooLarge { .. }, .. } => {
                ERRCODE_PROGRAM_LIMIT_EXCEEDED
            }
            Self::Argument { form: Form::Text, .. } => ERRCODE_INVALID_TEXT_REPRESENTATION,
            Self::Argument { form: Form::Binary, .. } => ERRCODE_INVALID_BINARY_REPRESENTATION,
            Self::SessionCertificate(_) | Self::SessionCrl(_) => ERRCODE_DATA_CORRUPTED,
            Self::UnknownFieldName(_) => ERRCODE_INVALID_PARAMETER_VALUE,
            Self::NotOneAddress(_) | Self::UnknownWord { .. } | Self::NotAFingerprint => {
                ERRCODE_INVALID_PARAMETER_VALUE
            }
            Self::MomentOutOfRange => ERRCODE_DATETIME_FIELD_OVERFLOW,
            Self::AuthFile { .. } => ERRCODE_CONFIG_FILE_ERROR,
            Self::NotTaken { .. } | Self::Inclusion { .. } => ERRCODE_INVALID_PARAMETER_VALUE,
            Self::ServerWithoutOpenSsl => ERRCODE_FEATURE_NOT_SUPPORTED,
            Self::OtherLibssl { .. } => ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::PlaintextRefused => ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            Self::NotPreloaded => ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::OutOfMemory => ERRCODE_OUT_OF_MEMORY,
            Self::Internal(_) => ERRCODE_INTERNAL_ERROR,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::OtherLibssl { server, ours } => Some(format!(
                "The server's functions come from \"{server}\", those of pgtls_ext from \"{ours}\"."
            )),
            Self::OutOfMemory
            | Self::Argument { source: CoreError::OutOfMemory, .. }
            | Self::SessionCertificate(CoreError::OutOfMemory)
            | Self::SessionCrl(CoreError::OutOfMemory) => Some(NO_MORE_MEMORY.to_owned()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Argument { form: Form::Text, source: CoreError::NoPemBlock { expected } }
                if *expected == pem::CRL.expected =>
            {
                "Pass PEM text, which starts with a line such as \"-----BEGIN X509 CRL-----\"; for DER use the function's bytea form."
            }
            Self::Argument { form: Form::Text, source: CoreError::NoPemBlock { expected } }
                if *expected == request::EXPECTED =>
            {
                "Pass PEM text, which starts with a line such as \"-----BEGIN CERTIFICATE REQUEST-----\"; for DER use the function's bytea form."
            }
            Self::Argument { source: CoreError::OtherInput { found, .. }, .. } => match found {
                OtherInput::FileName => {
                    "Pass what is in the file: in psql, \\set pem `cat file`, then the argument :'pem'."
                }
                OtherInput::SingleLine => {
                    "Pass the text with real line ends; in SQL, E'...\\n...' makes them."
                }
                OtherInput::Certificate => "Use pgtls_parse_certificates.",
                OtherInput::Crl => "Use pgtls_parse_crls.",
                OtherInput::PrivateKey => {
                    "A private key belongs on no server but its own: take this one for disclosed if the statement was logged."
                }
                _ => return None,
            },
            Self::Argument { form: Form::Text, source: CoreError::NoPemBlock { .. } } => {
                "Pass PEM text, which starts with a line such as \"-----BEGIN CERTIFICATE-----\"; for DER use the function's bytea form."
            }
            Self::Argument {
                source: CoreError::OutOfMemory | CoreError::TooLarge { .. }, ..
            } => {
                return None;
            }
            Self::Argument { form: Form::Binary, .. } => "Pass DER, one after the other, or PEM.",
            Self::UnknownFieldName(_) => {
                "Use a short name such as \"CN\", a long name such as \"commonName\", or a dotted OID such as \"2.5.4.3\"."
            }
            Self::UnknownWord { words, .. } => words,
            Self::NotOneAddress(_) => "Pass an address without a netmask.",
            Self::NotAFingerprint => {
                "Pass what the column \"fingerprint\" of pgtls_client_certificates has: 64 hexadecimal digits."
            }
            Self::AuthFile { .. } => {
                "See the column \"error\" of pgtls_hba_rules and pgtls_ident_mappings. Until the file is repaired and reloaded, the server keeps what it had."
            }
            Self::NotTaken { .. } => {
                "A reload would not take it, and everybody would be judged as before."
            }
            Self::Inclusion { .. } => "Put the content of the other file in its place.",
            Self::ServerWithoutOpenSsl => {
                "pgtls_ext needs a PostgreSQL built with OpenSSL (configure --with-ssl=openssl)."
            }
            Self::OtherLibssl { .. } => {
                "Build pgtls_ext on the system it runs on, against the OpenSSL that this PostgreSQL was built with."
            }
            Self::PlaintextRefused => {
                "The server demands TLS (pgtls_ext.require_tls): connect with sslmode=require or stronger."
            }
            Self::NotPreloaded => {
                "Add pgtls_ext to shared_preload_libraries and restart the server."
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { source, .. } => source.fmt(f),
            Self::SessionCertificate(CoreError::OutOfMemory)
            | Self::SessionCrl(CoreError::OutOfMemory) => CoreError::OutOfMemory.fmt(f),
            Self::SessionCertificate(source) => {
                write!(f, "could not read a certificate of this session: {source}")
            }
            Self::SessionCrl(source) => {
                write!(f, "could not read a revocation list of this session: {source}")
            }
            Self::UnknownFieldName(name) => write!(f, "invalid X.509 field name: \"{name}\""),
            Self::NotOneAddress(address) => write!(f, "\"{address}\" is a network, not an address"),
            Self::UnknownWord { word, argument, .. } => {
                write!(f, "invalid value for argument \"{argument}\": \"{word}\"")
            }
            Self::NotAFingerprint => f.write_str("this is no SHA-256 fingerprint"),
            Self::MomentOutOfRange => f.write_str("the time is outside the years 0 to 9999"),
            Self::AuthFile { setting, problem } => {
                write!(f, "the server does not load the file of \"{setting}\" as it is: {problem}")
            }
            Self::NotTaken { argument, problem } => {
                write!(f, "the server would not load argument \"{argument}\": {problem}")
            }
            Self::Inclusion { argument, line } => {
                write!(f, "line {line} of argument \"{argument}\" includes another file")
            }
            Self::ServerWithoutOpenSsl => {
                f.write_str("this PostgreSQL server was built without OpenSSL")
            }
            Self::OtherLibssl { .. } => {
                f.write_str("pgtls_ext is linked against another libssl than the server")
            }
            Self::PlaintextRefused => f.write_str(PLAINTEXT_REFUSED),
            Self::NotPreloaded => {
                f.write_str("pgtls_ext must be loaded via \"shared_preload_libraries\"")
            }
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Internal(problem) => f.write_str(problem),
        }
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        let mut report = Self::new(error.sqlstate(), error.to_string(), "pgtls_ext");
        if let Some(detail) = error.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = error.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}
