//! What an exporter is given, collected source by source: one that fails takes only its own metrics
//! away, and is named.

use std::collections::BTreeMap;

use pgtls_core::metrics::{Sample, Samples, flag};
use pgtls_core::time::UnixTime;
use pgtls_core::verify::credential::Standing;
use pgtls_core::work;
use pgtls_core::x509::certificate::Certificate;

use crate::checks::basis::Basis;
use crate::checks::credentials::{Credential, Evaluator};
use crate::checks::inventory::Usage;
use crate::checks::{configuration, revocation, server_certificates};
use crate::pg::datum::time::{self, unix_microseconds};
use crate::pg::openssl::libssl;
use crate::pg::recorder::{failures, in_force, inventory, logins, sessions, status};
use crate::pg::server::{backends, guc};

/// Something that could not be collected.
pub(crate) struct Problem {
    /// Of what.
    pub(crate) source: &'static str,
    pub(crate) detail: String,
}

/// What was collected.
#[derive(Default)]
struct Collection {
    samples: Samples,
    problems: Vec<Problem>,
}

impl Collection {
    fn fails(&mut self, source: &'static str, detail: impl Into<String>) {
        work::push(&mut self.problems, Problem { source, detail: detail.into() });
    }
}

/// Where metrics come from: a name, the groups that are made of it, and how.
type Source = (&'static str, &'static [&'static str], fn(&mut Collection));

const SOURCES: [Source; 10] = [
    ("certificates", &["certificate", "certificate_in_force", "key_matches"], certificates),
    ("crls", &["crl", "crl_next_update", "crl_in_force"], crls),
    ("coverage", &["ca", "ca_on_file"], coverage),
    ("configuration", &["configuration"], files_in_force),
    ("connections", &["connections"], connections),
    ("sessions", &["sessions"], live_sessions),
    (
        "inventory",
        &["client_certificates", "client_certificates_expiring", "client_certificates_end"],
        clients,
    ),
    ("failures", &["login_failures"], login_failures),
    ("logins", &["logins"], successful_logins),
    ("recorder", &["reload", "recorder", "worker", "info"], recorder),
];

/// The samples of a group, or of all.
pub(crate) fn samples(group: Option<&str>) -> Vec<Sample> {
    let mut collection = Collection::default();
    // The errors are known only when everything has been tried.
    let all = group.is_none_or(|group| group == "collection");
    for (_, groups, collect) in &SOURCES {
        if all || group.is_some_and(|group| groups.contains(&group)) {
            collect(&mut collection);
        }
    }
    if all {
        for (source, ..) in &SOURCES {
            let failed = collection.problems.iter().any(|problem| problem.source == *source);
            collection.samples.add("collection", &[source], &[flag(failed)]);
        }
    }
    let samples = collection.samples.into_list().into_iter();
    work::collect(samples.filter(|sample| group.is_none_or(|group| sample.group.name == group)))
}

/// What could not be collected.
pub(crate) fn problems() -> Vec<Problem> {
    let mut collection = Collection::default();
    for (_, _, collect) in &SOURCES {
        collect(&mut collection);
    }
    collection.problems
}

const NOT_PRELOADED: &str = "pgtls_ext is not in shared_preload_libraries";

fn seconds(moment: UnixTime) -> f64 {
    // Seconds of these centuries are whole numbers of a double.
    moment.0 as f64
}

/// Of microseconds of the server's epoch; 0 for never.
fn server_seconds(moment: Option<i64>) -> f64 {
    moment.map_or(0.0, |moment| unix_microseconds(moment) as f64 / 1e6)
}

fn number(count: impl TryInto<u32>) -> f64 {
    count.try_into().map_or(f64::from(u32::MAX), f64::from)
}

fn common_name(certificate: &Certificate) -> [String; 2] {
    let named = |name: &pgtls_core::x509::name::Name| {
        name.common_name().unwrap_or_else(|| name.oneline().to_owned())
    };
    [named(certificate.subject()), named(certificate.issuer())]
}

fn certificates(collection: &mut Collection) {
    for one in server_certificates::all() {
        let Some(certificate) = &one.certificate else {
            let problem = one.problem.unwrap_or_default();
            let file = one.file.unwrap_or_default();
            collection.fails("certificates", format!("{file}: {problem}"));
            continue;
        };
        let [subject, issuer] = common_name(certificate);
        let serial = certificate.serial().decimal();
        let fingerprint = certificate.fingerprint();
        let labels = [one.role.as_str(), &subject, &issuer, &serial, &fingerprint];
        let samples = &mut collection.samples;
        if let (Some(begins), Some(ends)) = (certificate.not_before(), certificate.not_after()) {
            let values = [seconds(ends), seconds(begins), flag(one.on_file)];
            samples.add("certificate", &labels, &values);
        }
        if let Some(in_force) = one.in_force {
            samples.add("certificate_in_force", &labels, &[flag(in_force)]);
        }
        if let Some(matches) = one.key_matches {
            samples.add("key_matches", &labels, &[flag(matches)]);
        }
    }
}

fn crls(collection: &mut Collection) {
    for state in revocation::crls() {
        let file = state.listed.file.display().to_string();
        let Some(crl) = &state.listed.crl else {
            let problem = state.listed.problem.unwrap_or_default();
            collection.fails("crls", format!("{file}: {problem}"));
            continue;
        };
        let name = crl.issuer().common_name();
        let issuer = name.unwrap_or_else(|| crl.issuer().oneline().to_owned());
        let number_of = crl.number().map(|number| number.decimal()).unwrap_or_default();
        let position = state.listed.position.map(|place| place.to_string()).unwrap_or_default();
        let file = if state.on_file { file } else { String::new() };
        let labels = [&*issuer, &number_of, &file, &position];
        let current = state.status.is_some_and(|status| status.as_str() == "current");
        let values = [flag(current), number(crl.revoked_count()), flag(state.on_file)];
        let samples = &mut collection.samples;
        samples.add("crl", &labels, &values);
        if let pgtls_core::crl::NextUpdate::At(due) = crl.next_update() {
            samples.add("crl_next_update", &labels, &[seconds(due)]);
        }
        if let Some(in_force) = state.in_force {
            samples.add("crl_in_force", &labels, &[flag(in_force)]);
        }
    }
}

fn coverage(collection: &mut Collection) {
    for covered in revocation::coverage() {
        let Some(authority) = &covered.authority else {
            collection.fails("coverage", covered.on_file.effect);
            continue;
        };
        let [subject, _] = common_name(authority);
        let fingerprint = authority.fingerprint();
        let labels = [&*subject, &fingerprint];
        for (group, by) in [("ca", &covered.in_force), ("ca_on_file", &covered.on_file)] {
            match by.clients_refused {
                Some(refused) => collection.samples.add(group, &labels, &[flag(refused)]),
                None => collection.fails("coverage", format!("{subject}: {}", by.effect)),
            }
        }
    }
}

fn files_in_force(collection: &mut Collection) {
    for item in configuration::all_items() {
        if let Some(in_force) = item.in_force {
            collection.samples.add("configuration", &[&item.name], &[flag(in_force)]);
        }
    }
}

fn connections(collection: &mut Collection) {
    match backends::encryption() {
        Ok(counts) => {
            for one in counts {
                let encryption = if one.version.is_empty() { "none" } else { "tls" };
                let labels = [encryption, &one.version, &one.cipher];
                collection.samples.add("connections", &labels, &[number(one.count)]);
            }
        }
        Err(error) => collection.fails("connections", error.to_string()),
    }
}

/// How often each status was seen; each that can be is there.
fn count_statuses(standings: impl Iterator<Item = Standing>) -> BTreeMap<&'static str, u32> {
    let mut counts: BTreeMap<_, _> = Standing::ALL.map(|it| (it.label(), 0)).into();
    for standing in standings {
        let count = counts.entry(standing.label()).or_default();
        *count = u32::saturating_add(*count, 1);
    }
    counts.remove(Standing::None.label());
    counts
}

fn live_sessions(collection: &mut Collection) {
    if status::recorder().is_none() {
        collection.fails("sessions", NOT_PRELOADED);
        return;
    }
    let mut evaluator = Evaluator::new(Basis::InForce);
    let recorded = sessions::recorded().into_iter().filter(|one| one.chain_length > 0);
    let standings = recorded.map(|one| evaluator.of_session(&one).assessment.standing);
    for (status, count) in count_statuses(standings) {
        collection.samples.add("sessions", &[status], &[number(count)]);
    }
}

/// Days before the end of a chain in which it is counted.
const WITHIN: [(&str, i64); 3] = [("7d", 7), ("30d", 30), ("75d", 75)];
const DAY: i64 = 86_400;

fn clients(collection: &mut Collection) {
    let Some(known) = inventory::known() else {
        collection.fails("inventory", NOT_PRELOADED);
        return;
    };
    let (mut evaluator, usage) = (Evaluator::new(Basis::InForce), Usage::now());
    let current = known.filter(|known| usage.superseded_by(&known.chain).is_none());
    let judged: Vec<Credential> =
        work::collect(current.map(|known| evaluator.of_chain(&known.chain)));
    let standings = judged.iter().map(|credential| credential.assessment.standing);
    for (status, count) in count_statuses(standings) {
        collection.samples.add("client_certificates", &[status], &[number(count)]);
    }
    let now = time::now();
    let is_good = |credential: &&Credential| {
        matches!(credential.assessment.standing, Standing::Valid | Standing::RenewSoon)
    };
    let ends = judged.iter().filter(is_good).filter_map(|one| one.assessment.ends_at);
    let ends: Vec<UnixTime> = work::collect(ends);
    for (word, days) in WITHIN {
        let limit = now.0.saturating_add(days * DAY);
        let count = ends.iter().filter(|end| end.0 <= limit).count();
        collection.samples.add("client_certificates_expiring", &[word], &[number(count)]);
    }
    if let Some(soonest) = ends.iter().min() {
        collection.samples.add("client_certificates_end", &[], &[seconds(*soonest)]);
    }
}

fn successful_logins(collection: &mut Collection) {
    let Some(counts) = logins::counts() else {
        collection.fails("logins", NOT_PRELOADED);
        return;
    };
    // By less than they are counted by: equal labels are added up.
    let mut totals = BTreeMap::new();
    for logins in counts {
        let labels = match logins.kind {
            Some(kind) => [
                kind.version.unwrap_or_else(|| "none".to_owned()),
                kind.cipher.unwrap_or_default(),
                kind.has_certificate.to_string(),
            ],
            None => ["other", "", ""].map(str::to_owned),
        };
        *totals.entry(labels).or_insert(0_u64) += logins.count;
    }
    for (labels, total) in totals {
        let labels = labels.each_ref().map(String::as_str);
        collection.samples.add("logins", &labels, &[total as f64]);
    }
}

fn login_failures(collection: &mut Collection) {
    match failures::counts() {
        Some(counts) => {
            for one in counts {
                let values = [one.count as f64];
                collection.samples.add("login_failures", &[one.reason.label()], &values);
            }
        }
        None => collection.fails("failures", NOT_PRELOADED),
    }
}

fn recorder(collection: &mut Collection) {
    let recorder = status::recorder();
    let preloaded = if recorder.is_some() { "true" } else { "false" };
    let labels = [env!("CARGO_PKG_VERSION"), libssl::version(), preloaded];
    collection.samples.add("info", &labels, &[1.0]);
    let Some(recorder) = recorder else {
        collection.fails("recorder", NOT_PRELOADED);
        return;
    };
    let samples = &mut collection.samples;
    if let Some(success) = recorder.last_reload_ok {
        let at = server_seconds(recorder.last_reload);
        samples.add("reload", &[], &[flag(success), at]);
    }
    let values = [
        flag(guc::track()),
        number(recorder.certificates),
        number(recorder.certificates_room),
        recorder.evicted as f64,
        recorder.dropped as f64,
        flag(in_force::current().is_ok()),
    ];
    samples.add("recorder", &[], &values);
    let values = [
        flag(recorder.worker_pid.is_some()),
        recorder.sessions_terminated as f64,
        server_seconds(recorder.held_back),
    ];
    samples.add("worker", &[], &values);
}
