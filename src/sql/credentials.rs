//! What the certificates of sessions and of the inventory are worth now, and what is done about those that are worth
//! nothing any more: `pgtls_terminate_invalid` and the worker's check.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgtls_core::column::Value;
use pgtls_core::credential::{Assessment, Standing};
use pgtls_core::{UnixTime, parse_certificates};

use crate::error::Error;
use crate::pg::backends::{self, Backend};
use crate::pg::guc::{self, Action};
use crate::pg::rows::{Row, Rows};
use crate::pg::slots::{self, Recorded};
use crate::pg::trust_store::{Settings, TrustStore};
use crate::pg::verify::{self, Policy};
use crate::pg::{status, time};

/// What is worked out about a chain.
#[derive(Clone)]
pub(super) struct Credential {
    /// The columns of the client's certificate; `None` if there is none, or none was recorded.
    pub(super) certificate: Option<Rc<Vec<(&'static str, Value)>>>,
    /// Its subject, as `/CN=alice`.
    pub(super) subject: Option<Rc<str>>,
    pub(super) assessment: Assessment,
}

/// Evaluates chains against today's files, each distinct one once.
pub(super) struct Evaluator {
    /// What the files trust and how it is asked, or why they cannot be used; `None` until somebody asks.
    trust: Option<Result<(TrustStore, Policy), String>>,
    now: UnixTime,
    renewal_window: i64,
    known: HashMap<Vec<u8>, Credential>,
}

impl Evaluator {
    pub(super) fn new() -> Self {
        let (now, renewal_window) = (time::clock(), guc::renewal_window());
        Self { trust: None, now, renewal_window, known: HashMap::new() }
    }

    /// The credential of a session.
    pub(super) fn of_session(&mut self, recorded: &Recorded) -> Credential {
        if recorded.chain_length == 0 {
            let assessment = Assessment::plain(Standing::None);
            return Credential { certificate: None, subject: None, assessment };
        }
        self.of_chain(&recorded.chain)
    }

    /// The credential of a chain: DER of its certificates, leaf first, one after the other. Empty if the first of them
    /// was too large to be recorded.
    pub(super) fn of_chain(&mut self, chain: &[u8]) -> Credential {
        if let Some(known) = self.known.get(chain) {
            return known.clone();
        }
        let credential = self.evaluate(chain);
        self.known.insert(chain.to_vec(), credential.clone());
        credential
    }

    fn evaluate(&mut self, chain: &[u8]) -> Credential {
        let chain = parse_certificates(chain).unwrap_or_default();
        let now = self.now;
        let trust =
            self.trust.get_or_insert_with(|| Ok((Settings::current().store()?, Policy::at(now)?)));
        let verdict = match trust {
            Ok((store, policy)) => verify::judge(store, &chain, *policy),
            Err(why) => Err(why.clone()),
        };
        let too_large = || Assessment {
            standing: Standing::Unknown,
            detail: Some("the certificate was too large to be recorded".to_owned()),
        };
        let leaf = chain.first();
        Credential {
            certificate: leaf.map(|leaf| Rc::new(leaf.columns())),
            subject: leaf.map(|leaf| leaf.subject().oneline().into()),
            assessment: Assessment::of(&chain, &verdict, now, self.renewal_window)
                .unwrap_or_else(too_large),
        }
    }
}

/// The recorded sessions whose certificate a login would be refused for now.
fn invalid_sessions() -> Vec<(Recorded, Credential)> {
    let mut evaluator = Evaluator::new();
    slots::recorded()
        .into_iter()
        .map(|recorded| {
            let credential = evaluator.of_session(&recorded);
            (recorded, credential)
        })
        .filter(|(_, credential)| credential.assessment.standing.is_invalid())
        .collect()
}

#[pg_extern(sql = false)]
fn pgtls_terminate_invalid(dry_run: bool) -> Result<Rows, ErrorReport> {
    if status::recorder().is_none() {
        return Err(Error::NotPreloaded.into());
    }
    let backends: HashMap<(i32, i64), Backend> =
        backends::all().into_iter().map(|backend| (backend.key(), backend)).collect();
    let row = |(recorded, credential): (Recorded, Credential)| -> Row {
        let backend = backends.get(&recorded.key());
        // One's own session is shown, but has to finish the statement.
        let end = !dry_run && !slots::is_own(&recorded);
        vec![
            ("pid".into(), Value::Int(recorded.pid.into())),
            ("usename".into(), backend.and_then(Backend::role_name).into()),
            ("credential_status".into(), credential.assessment.standing.label().into()),
            ("credential_detail".into(), credential.assessment.detail.into()),
            ("terminated".into(), Value::Bool(end && slots::terminate(&recorded))),
        ]
    };
    Ok(invalid_sessions().into_iter().map(row).collect())
}

thread_local! {
    /// The sessions that the worker has spoken of, and as what.
    static REPORTED: RefCell<HashSet<(i32, i64, Standing)>> = RefCell::default();
}

/// What the worker does at every interval: says which sessions have a certificate that is not good any more, each once,
/// and ends them if `credential_action` says so.
pub(crate) fn check_credentials() {
    let invalid = invalid_sessions();
    let mut reported = REPORTED.take();
    let mut now_invalid = HashSet::new();
    for (recorded, credential) in invalid {
        let standing = credential.assessment.standing;
        let key = (recorded.pid, recorded.started, standing);
        let terminated =
            guc::credential_action() == Action::Terminate && slots::terminate(&recorded);
        if terminated || !reported.remove(&key) {
            report(&recorded, &credential, terminated);
        }
        now_invalid.insert(key);
    }
    REPORTED.set(now_invalid);
}

fn report(recorded: &Recorded, credential: &Credential, terminated: bool) {
    let done = if terminated { ", terminating its session" } else { "" };
    pgrx::log!(
        "client certificate \"{}\" of process {} is {}{done}: {}",
        credential.subject.as_deref().unwrap_or_default().escape_debug(),
        recorded.pid,
        credential.assessment.standing.label(),
        credential.assessment.detail.as_deref().unwrap_or_default(),
    );
}

/// The columns of a credential's certificate under these names. A certificate that was not recorded is at least named by its
/// fingerprint.
pub(super) fn certificate_columns<'a>(
    credential: &'a Credential,
    fingerprint: Option<&'a [u8; 32]>,
    names: impl Iterator<Item = &'static str> + 'a,
) -> impl Iterator<Item = (Cow<'static, str>, Value)> + 'a {
    names.enumerate().map(move |(place, name)| {
        let value = match &credential.certificate {
            Some(columns) => columns.get(place).map_or(Value::Null, |(_, value)| value.clone()),
            None if name.ends_with("fingerprint") && !name.ends_with("spki_fingerprint") => {
                fingerprint.map(super::hex).into()
            }
            None => Value::Null,
        };
        (Cow::Borrowed(name), value)
    })
}
