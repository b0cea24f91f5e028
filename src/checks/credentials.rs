//! What the certificates of sessions and of the inventory are worth now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::thread::LocalKey;

use pgtls_core::time::UnixTime;
use pgtls_core::value::Value;
use pgtls_core::verify::credential::{Assessment, Standing};
use pgtls_core::verify::verdict::Verdict;
use pgtls_core::work;
use pgtls_core::x509::bundle::certificates_from_openssl;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::basis::{self, Basis, TlsConfiguration};
use crate::checks::configuration;
use crate::pg::datum::time;
use crate::pg::memory;
use crate::pg::openssl::trust_store::TrustStore;
use crate::pg::openssl::verify::{self, Policy};
use crate::pg::recorder::sessions::{self, Recorded};
use crate::pg::recorder::verdicts::{self, Known, Verdicts};
use crate::pg::recorder::{in_force, inventory};
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

/// Evaluates chains by one configuration, each distinct one once.
///
/// What OpenSSL says of a chain is kept from query to query, as long as the configuration is the
/// same and no certificate or list begins or ends: judging takes about half a millisecond, and
/// there may be thousands of chains. What another process has written down of a chain is taken as
/// it is, and then the configuration need not be loaded.
pub(crate) struct Evaluator {
    basis: Basis,
    /// Of what is in force, if that is the basis.
    numbers: Option<in_force::Numbers>,
    written: Option<Rc<Verdicts>>,
    /// What is trusted and how it is asked, or why that cannot be used; `None` until somebody asks.
    trust: Option<Result<(TrustStore, Policy), String>>,
    /// Whether what was kept of earlier queries has been looked at.
    begun: bool,
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

/// What chains were judged by.
enum Source {
    /// What was in force when it had these numbers.
    InForce(in_force::Numbers),
    /// What this process has loaded.
    Loaded(TrustStore, Policy),
}

/// What is kept, and what it was judged by.
type Kept = (Source, BTreeMap<Vec<u8>, Judged>);

thread_local! {
    static IN_FORCE: RefCell<Option<Kept>> = const { RefCell::new(None) };
    static ON_FILE: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

impl Evaluator {
    pub(crate) fn new(basis: Basis) -> Self {
        let numbers = match basis {
            Basis::InForce => in_force::numbers(),
            Basis::OnFile => None,
        };
        let written = numbers.and_then(verdicts::written);
        Self::with(basis, numbers, written)
    }

    fn with(
        basis: Basis,
        numbers: Option<in_force::Numbers>,
        written: Option<Rc<Verdicts>>,
    ) -> Self {
        let (now, renewal_window) = (time::clock(), guc::renewal_window());
        let known = BTreeMap::new();
        Self { basis, numbers, written, trust: None, begun: false, now, renewal_window, known }
    }

    /// What was kept of earlier queries.
    fn kept(&self) -> &'static LocalKey<RefCell<Option<Kept>>> {
        match self.basis {
            Basis::InForce => &IN_FORCE,
            Basis::OnFile => &ON_FILE,
        }
    }

    /// The credential of a session.
    pub(crate) fn of_session(&mut self, recorded: &Recorded) -> Credential {
        if recorded.chain_length == 0 {
            let assessment = Assessment::plain(Standing::None);
            return Credential { certificate: None, subject: None, assessment };
        }
        self.of_chain(&recorded.chain)
    }

    /// The credential of a chain: DER of its certificates, leaf first, one after the other. Empty
    /// if the first of them was too large to be recorded.
    pub(crate) fn of_chain(&mut self, chain: &[u8]) -> Credential {
        memory::check_for_interrupts();
        self.begin();
        let now = self.now.0;
        if let Some(known) = self.known.get(chain).filter(|known| known.holds.contains(&now)) {
            return known.credential.clone();
        }
        let judged = self.judge(chain);
        let credential = judged.credential.clone();
        if self.known.len() < KEPT_CHAINS {
            self.known.insert(chain.to_vec(), judged);
        }
        credential
    }

    /// At the first call, takes over what was kept if it was worked out from the same.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Some((source, known)) = self.kept().take() else { return };
        let is_same = match &source {
            Source::InForce(numbers) => self.numbers.as_ref() == Some(numbers),
            Source::Loaded(store, policy) => {
                let current = self.load().as_ref();
                current.is_ok_and(|current| current.0.is(store) && current.1.is_like(*policy))
            }
        };
        if is_same {
            self.known = known;
            self.assess_again();
        }
    }

    /// The configuration, loaded when it is first asked for.
    fn load(&mut self) -> &Result<(TrustStore, Policy), String> {
        let (basis, now) = (self.basis, self.now);
        self.trust.get_or_insert_with(|| TlsConfiguration::of(basis).trust(now))
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

    fn judge(&mut self, der: &[u8]) -> Judged {
        let chain = certificates_from_openssl(der).unwrap_or_default();
        let (verdict, holds) = self.verdict(der, &chain);
        let too_large = || Assessment::unknown("the certificate was too large to be recorded");
        let assessment = Assessment::of(&chain, &verdict, self.now, self.renewal_window);
        let leaf = chain.first();
        let credential = Credential {
            certificate: leaf.map(|leaf| Rc::new(leaf.columns())),
            subject: leaf.map(|leaf| leaf.subject().oneline().into()),
            assessment: assessment.unwrap_or_else(too_large),
        };
        Judged { chain, verdict, holds, credential }
    }

    /// What is said of a chain, and for which seconds it holds.
    fn verdict(
        &mut self,
        der: &[u8],
        chain: &[Certificate],
    ) -> (Result<Verdict, String>, RangeInclusive<i64>) {
        let now = self.now;
        let written = self.written.as_ref().and_then(|written| written.of(der, now.0));
        if let Some((verdict, holds)) = written {
            return (Ok(verdict), holds);
        }
        match self.load() {
            Ok((store, policy)) => (verify::judge(store, chain, *policy), span(now, store, chain)),
            Err(why) => (Err(why.clone()), now.0..=now.0),
        }
    }
}

/// The time around now in which neither a certificate of the chain nor anything in the store begins
/// or ends.
fn span(now: UnixTime, store: &TrustStore, chain: &[Certificate]) -> RangeInclusive<i64> {
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

impl Drop for Evaluator {
    fn drop(&mut self) {
        let trust = self.trust.take();
        let may_change = |store: &TrustStore| store.changes().is_none();
        let source = match (self.numbers, trust) {
            (_, Some(Ok((store, _)))) if may_change(&store) => return,
            (Some(numbers), Some(Ok(_)) | None) if self.begun => Source::InForce(numbers),
            (None, Some(Ok((store, policy)))) => Source::Loaded(store, policy),
            _ => return,
        };
        self.kept().set(Some((source, std::mem::take(&mut self.known))));
    }
}

/// Of how many chains it is written down what is said of them; a reader has all of it in memory.
const WRITTEN_CHAINS: usize = 10_000;

/// Judges every chain that is known by what is in force, and writes down what was said, for all
/// processes.
pub(crate) fn write_verdicts() -> Result<(), String> {
    let Some(numbers) = in_force::numbers() else { return Ok(()) };
    let mut evaluator = Evaluator::with(Basis::InForce, None, None);
    verdicts::write(numbers, known_chains(), |chain| {
        work::between();
        let judged = evaluator.judge(chain);
        let lasts = judged.holds.start() < judged.holds.end();
        match judged.verdict {
            Ok(verdict) if lasts => Known { verdict: Some(verdict), holds: judged.holds },
            // That it cannot be said once for all is true until something else comes into force.
            _ => Known { verdict: None, holds: i64::MIN..=i64::MAX },
        }
    })
}

/// Whether it is written down of every chain that is known what is said of it now.
pub(crate) fn are_verdicts_written() -> bool {
    let written = in_force::numbers().and_then(verdicts::written);
    let now = time::clock().0;
    known_chains().all(|chain| written.as_ref().is_some_and(|it| it.has(&chain, now)))
}

/// The chains of all sessions and of the inventory.
fn known_chains() -> impl Iterator<Item = Vec<u8>> {
    let sessions = sessions::recorded().into_iter().map(|recorded| recorded.chain);
    let inventory = inventory::known().into_iter().flatten().map(|known| known.chain);
    sessions.chain(inventory).filter(|chain| !chain.is_empty()).take(WRITTEN_CHAINS)
}

/// Evaluates chains by what is in force and by the files.
pub(crate) struct Evaluators {
    in_force: Evaluator,
    /// `None` if the files are known to hold what is in force.
    on_file: Option<Evaluator>,
}

impl Evaluators {
    pub(crate) fn new() -> Self {
        let is_same = match basis::in_force() {
            Ok(Some(in_force)) => configuration::files_are_in_force(&in_force),
            Ok(None) => true,
            Err(_) => false,
        };
        let on_file = (!is_same).then(|| Evaluator::new(Basis::OnFile));
        Self { in_force: Evaluator::new(Basis::InForce), on_file }
    }

    /// The credential of a session, and what it is worth by the files.
    pub(crate) fn of_session(&mut self, recorded: &Recorded) -> (Credential, Standing) {
        let credential = self.in_force.of_session(recorded);
        let on_file = self.on_file.as_mut().map(|on_file| on_file.of_session(recorded));
        let standing = on_file.as_ref().unwrap_or(&credential).assessment.standing;
        (credential, standing)
    }

    /// The same of a chain.
    pub(crate) fn of_chain(&mut self, chain: &[u8]) -> (Credential, Standing) {
        let credential = self.in_force.of_chain(chain);
        let on_file = self.on_file.as_mut().map(|on_file| on_file.of_chain(chain));
        let standing = on_file.as_ref().unwrap_or(&credential).assessment.standing;
        (credential, standing)
    }
}

/// Sessions with a certificate, by what it is worth.
pub(crate) struct Sessions {
    /// How many there are.
    pub(crate) count: usize,
    /// Those whose certificate a login would be refused for.
    pub(crate) invalid: Vec<(Recorded, Credential)>,
}

impl Sessions {
    /// Those that are recorded now.
    pub(crate) fn judged(basis: Basis) -> Self {
        let mut evaluator = Evaluator::new(basis);
        let recorded = sessions::recorded().into_iter();
        let mut sessions = Self { count: 0, invalid: Vec::new() };
        for recorded in recorded.filter(|recorded| recorded.chain_length > 0) {
            sessions.count += 1;
            let credential = evaluator.of_session(&recorded);
            if credential.assessment.standing.is_invalid() {
                work::push(&mut sessions.invalid, (recorded, credential));
            }
        }
        sessions
    }

    /// Whether so many are invalid that a CA or CRL file is more likely wrong than they are: more
    /// than a few, and more than this share of all, in percent.
    pub(crate) fn are_too_many(&self, max_share: usize) -> bool {
        let invalid = self.invalid.len();
        invalid > FEW && invalid.saturating_mul(100) > self.count.saturating_mul(max_share)
    }
}

/// As many sessions can be invalid at once without a fault in the files.
const FEW: usize = 5;
