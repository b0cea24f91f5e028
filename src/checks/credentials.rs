//! What the certificates of sessions and of the inventory are worth now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use pgtls_core::time::UnixTime;
use pgtls_core::value::Value;
use pgtls_core::verify::credential::{Assessment, Standing};
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::x509::bundle::certificates_from_openssl;
use pgtls_core::x509::certificate::Certificate;

use crate::pg::datum::time;
use crate::pg::openssl::trust_store::{Settings, TrustStore};
use crate::pg::openssl::verify::{self, Policy};
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::server::guc;

/// What is worked out about a chain.
#[derive(Clone)]
pub(crate) struct Credential {
    /// The columns of the client's certificate; `None` if there is none, or none was recorded.
    pub(crate) certificate: Option<Rc<Vec<(&'static str, Value)>>>,
    /// Its subject, as `/CN=alice`.
    pub(crate) subject: Option<Rc<str>>,
    pub(crate) assessment: Assessment,
}

/// Evaluates chains against today's files, each distinct one once.
///
/// What OpenSSL says of a chain is kept from query to query, as long as the files are the same and no certificate or list
/// begins or ends: judging takes about half a millisecond, and there may be thousands of chains.
pub(crate) struct Evaluator {
    /// What the files trust and how it is asked, or why they cannot be used; `None` until somebody asks.
    trust: Option<Result<(TrustStore, Policy), String>>,
    now: UnixTime,
    renewal_window: i64,
    known: BTreeMap<Vec<u8>, Judged>,
}

/// A chain and what OpenSSL said of it.
struct Judged {
    chain: Vec<Certificate>,
    verdict: Result<Verdict, String>,
    /// The seconds, both included, for which it holds.
    holds: RangeInclusive<i64>,
    credential: Credential,
}

/// Most chains that are kept from query to query; some kilobytes each.
const KEPT_CHAINS: usize = 2_000;

/// What is kept, and for which files and policy.
type Kept = (TrustStore, Policy, BTreeMap<Vec<u8>, Judged>);

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

impl Evaluator {
    pub(crate) fn new() -> Self {
        let (now, renewal_window) = (time::clock(), guc::renewal_window());
        Self { trust: None, now, renewal_window, known: BTreeMap::new() }
    }

    /// The credential of a session.
    pub(crate) fn of_session(&mut self, recorded: &Recorded) -> Credential {
        if recorded.chain_length == 0 {
            let assessment = Assessment::plain(Standing::None);
            return Credential { certificate: None, subject: None, assessment };
        }
        self.of_chain(&recorded.chain)
    }

    /// The credential of a chain: DER of its certificates, leaf first, one after the other. Empty if the first of them
    /// was too large to be recorded.
    pub(crate) fn of_chain(&mut self, chain: &[u8]) -> Credential {
        pgrx::check_for_interrupts!();
        self.load();
        let now = self.now.0;
        if let Some(known) = self.known.get(chain).filter(|known| known.holds.contains(&now)) {
            return known.credential.clone();
        }
        let judged = self.judge(chain);
        let credential = judged.credential.clone();
        self.known.insert(chain.to_vec(), judged);
        credential
    }

    /// Reads the files at the first call, and takes over what was kept if they are those that it was worked out from.
    fn load(&mut self) {
        if self.trust.is_some() {
            return;
        }
        let read = || Ok((Settings::current().store()?, Policy::at(self.now)?));
        let trust: Result<(TrustStore, Policy), String> = read();
        if let (Ok((store, policy)), Some(kept)) = (&trust, KEPT.take())
            && store.is(&kept.0)
            && policy.is_like(kept.1)
        {
            self.known = kept.2;
            self.assess_again();
        }
        self.trust = Some(trust);
    }

    /// The verdicts are those of earlier, but dates and renewal window count now.
    fn assess_again(&mut self) {
        for known in self.known.values_mut() {
            let (now, window) = (self.now, self.renewal_window);
            if let Some(assessment) = Assessment::of(&known.chain, &known.verdict, now, window) {
                known.credential.assessment = assessment;
            }
        }
    }

    fn judge(&self, der: &[u8]) -> Judged {
        let chain = certificates_from_openssl(der).unwrap_or_default();
        let (verdict, holds) = match &self.trust {
            Some(Ok((store, policy))) => {
                (verify::judge(store, &chain, *policy), self.span(store, &chain))
            }
            Some(Err(why)) => (Err(why.clone()), self.now.0..=self.now.0),
            None => (Err("nothing was read".to_owned()), self.now.0..=self.now.0),
        };
        let too_large = || Assessment {
            standing: Standing::Unknown,
            detail: Some("the certificate was too large to be recorded".to_owned()),
        };
        let assessment = Assessment::of(&chain, &verdict, self.now, self.renewal_window);
        let leaf = chain.first();
        let credential = Credential {
            certificate: leaf.map(|leaf| Rc::new(leaf.columns())),
            subject: leaf.map(|leaf| leaf.subject().oneline().into()),
            assessment: assessment.unwrap_or_else(too_large),
        };
        Judged { chain, verdict, holds, credential }
    }

    /// The time around now in which neither a certificate of the chain nor anything in the store begins or ends.
    fn span(&self, store: &TrustStore, chain: &[Certificate]) -> RangeInclusive<i64> {
        let now = self.now;
        let Some(changes) = store.changes() else { return now.0..=now.0 };
        let own = chain.iter().flat_map(|c| [c.not_before(), c.not_after()]).flatten();
        let changes = || changes.iter().copied().chain(own.clone());
        let last = changes().filter(|change| *change <= now).max();
        let next = changes().filter(|change| *change >= now).min();
        let after = last.map_or(i64::MIN, |change| change.0.saturating_add(1));
        let before = next.map_or(i64::MAX, |change| change.0.saturating_sub(1));
        // In the very second of a change, what is said of it holds for no other.
        if after <= now.0 && now.0 <= before { after..=before } else { now.0..=now.0 }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        if let Some(Ok((store, policy))) = self.trust.take()
            && store.changes().is_some()
        {
            while self.known.len() > KEPT_CHAINS {
                self.known.pop_last();
            }
            KEPT.set(Some((store, policy, std::mem::take(&mut self.known))));
        }
    }
}

/// The recorded sessions whose certificate a login would be refused for now.
pub(crate) fn invalid_sessions() -> Vec<(Recorded, Credential)> {
    let mut evaluator = Evaluator::new();
    sessions::recorded()
        .into_iter()
        .map(|recorded| {
            let credential = evaluator.of_session(&recorded);
            (recorded, credential)
        })
        .filter(|(_, credential)| credential.assessment.standing.is_invalid())
        .collect()
}
