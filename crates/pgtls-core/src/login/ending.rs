//! Until when will this certificate do, and what ends it?

use std::fmt;

use crate::login::facts::RoleFacts;
use crate::login::step::Explanation;
use crate::time::UnixTime;
use crate::value::Value;
use crate::x509::certificate::Certificate;

/// What ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client's own certificate.
    Certificate,
    /// A certificate between that and the root.
    Intermediate,
    /// The certificate in `ssl_ca_file` that the chain ends in.
    Root,
    /// `VALID UNTIL` of the role, which limits its password.
    Password,
    /// Nothing that is looked at ever ends.
    Nothing,
    /// The login is refused already.
    Refused,
}

/// The word in the column `cause`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Intermediate => "intermediate",
            Self::Root => "root",
            Self::Password => "password",
            Self::Nothing => "nothing",
            Self::Refused => "refused",
        })
    }
}

/// The end of the time in which logins succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The first moment at which the login is refused; `None` if it is refused already, or nothing
    /// ends.
    pub at: Option<UnixTime>,
    /// What ends it.
    pub cause: Cause,
    /// Which one that is.
    pub detail: String,
}

impl Ending {
    /// The columns of `pgtls_login_ends_at`.
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("ends_at", self.at.into()),
            ("cause", self.cause.to_string().into()),
            ("detail", self.detail.clone().into()),
        ]
    }
}

/// What ends a login that was explained; `path` is the chain that the server builds, or nothing if
/// it sees no certificate.
pub fn ending(explanation: &Explanation, path: &[Certificate], role: Option<&RoleFacts>) -> Ending {
    let verdict = explanation.steps().last();
    if explanation.admitted() == Some(false) {
        let detail = verdict.map_or_else(String::new, |verdict| verdict.detail.clone());
        return Ending { at: None, cause: Cause::Refused, detail };
    }
    let password = role
        .filter(|_| explanation.asks_password())
        .and_then(|role| role.valid_until)
        .map(|until| (until, Cause::Password, "VALID UNTIL of the role".to_owned()));
    let first = first_of(path).into_iter().chain(password).min_by_key(|(at, ..)| *at);
    match first {
        Some((at, cause, detail)) => Ending { at: Some(at), cause, detail },
        None => {
            let detail = "neither a certificate nor a limited password is asked for".to_owned();
            Ending { at: None, cause: Cause::Nothing, detail }
        }
    }
}

/// The certificate of a chain that ends first, with its part in the chain and a description.
fn first_of(path: &[Certificate]) -> Option<(UnixTime, Cause, String)> {
    let last = path.len().saturating_sub(1);
    let ends = path.iter().enumerate().filter_map(|(depth, certificate)| {
        let cause = match depth {
            0 => Cause::Certificate,
            _ if depth == last => Cause::Root,
            _ => Cause::Intermediate,
        };
        let (subject, serial) = (certificate.subject(), certificate.serial());
        let described = format!("{} (serial {})", subject.oneline(), serial.decimal());
        Some((certificate.not_after()?, cause, described))
    });
    ends.min_by_key(|(at, ..)| *at)
}

/// When the first certificate of a chain ends.
pub fn first_end(path: &[Certificate]) -> Option<UnixTime> {
    path.iter().filter_map(Certificate::not_after).min()
}
