//! What an exporter is given: the names of all metrics, what they mean, and their labels.
//!
//! The names follow Prometheus' rules: base units, times as seconds of Unix time, `_total` for what
//! only grows. Metrics that always have the same label sets make a group, which SQL shows as one
//! flat view; the name of a metric is the prefix of its group and the name of its column there.

use std::collections::HashSet;

use crate::work;

/// How a metric changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Up, until the server restarts or somebody resets it.
    Counter,
}

impl Kind {
    /// The word of Prometheus' `# TYPE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// Metrics with the same labels. The view is `pgtls_metrics_` and the name of the group.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// What the names of its metrics begin with, without the `_` that follows.
    pub prefix: &'static str,
    /// The labels, all of which are always there.
    pub labels: &'static [&'static str],
    /// The metrics.
    pub columns: &'static [Column],
}

/// One metric of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name after the prefix.
    pub name: &'static str,
    /// How it changes.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Gauge, help }
}

const fn counter(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Counter, help }
}

const CERTIFICATE: &[&str] = &["role", "subject_cn", "issuer_cn", "serial_number", "fingerprint"];
const CRL: &[&str] = &["issuer_cn", "crl_number", "file_name", "position"];
const CA: &[&str] = &["subject_cn", "fingerprint"];

/// All groups.
pub static GROUPS: [Group; 21] = [
    Group {
        name: "certificate",
        prefix: "pgtls_certificate",
        labels: CERTIFICATE,
        columns: &[
            gauge(
                "not_after_timestamp_seconds",
                "End of validity of a certificate of the server: its own, one it sends along, or a CA it trusts.",
            ),
            gauge(
                "not_before_timestamp_seconds",
                "Start of validity of a certificate of the server.",
            ),
            gauge("on_file", "Whether the configured files hold the certificate."),
        ],
    },
    Group {
        name: "certificate_in_force",
        prefix: "pgtls_certificate",
        labels: CERTIFICATE,
        columns: &[gauge("in_force", "Whether new logins meet the certificate.")],
    },
    Group {
        name: "key_matches",
        prefix: "pgtls_certificate",
        labels: CERTIFICATE,
        columns: &[gauge(
            "key_matches",
            "Whether ssl_key_file holds the key of the server's certificate.",
        )],
    },
    Group {
        name: "crl",
        prefix: "pgtls_crl",
        labels: CRL,
        columns: &[
            gauge("current", "Whether a CRL is within its dates and signed by its issuer."),
            gauge("revoked_certificates", "Certificates that a CRL revokes."),
            gauge("on_file", "Whether the configured files hold the CRL."),
        ],
    },
    Group {
        name: "crl_next_update",
        prefix: "pgtls_crl",
        labels: CRL,
        columns: &[gauge(
            "next_update_timestamp_seconds",
            "When the next CRL of this issuer is due.",
        )],
    },
    Group {
        name: "crl_in_force",
        prefix: "pgtls_crl",
        labels: CRL,
        columns: &[gauge("in_force", "Whether new logins are checked by the CRL.")],
    },
    Group {
        name: "ca",
        prefix: "pgtls_ca",
        labels: CA,
        columns: &[gauge(
            "clients_refused",
            "Whether all clients of a CA are refused now because of its CRLs.",
        )],
    },
    Group {
        name: "ca_on_file",
        prefix: "pgtls_ca",
        labels: CA,
        columns: &[gauge(
            "clients_refused_on_file",
            "Whether all clients of a CA would be refused after a reload.",
        )],
    },
    Group {
        name: "configuration",
        prefix: "pgtls_configuration",
        labels: &["item"],
        columns: &[gauge("in_force", "Whether the value or content on file is in force.")],
    },
    Group {
        name: "reload",
        prefix: "pgtls_reload",
        labels: &[],
        columns: &[
            gauge("success", "Whether the last reload of the configuration took."),
            gauge("last_timestamp_seconds", "When the configuration was last reloaded."),
        ],
    },
    Group {
        name: "connections",
        prefix: "pgtls_tcp",
        labels: &["encryption", "version", "cipher"],
        columns: &[gauge("connections", "Clients that are connected over TCP, by encryption.")],
    },
    Group {
        name: "sessions",
        prefix: "pgtls_session",
        labels: &["status"],
        columns: &[gauge(
            "credentials",
            "Sessions with a client certificate, by what it is worth now.",
        )],
    },
    Group {
        name: "client_certificates",
        prefix: "pgtls_client",
        labels: &["status"],
        columns: &[gauge(
            "certificates",
            "Client certificates in the inventory that are not superseded, by what they are worth now.",
        )],
    },
    Group {
        name: "client_certificates_expiring",
        prefix: "pgtls_client_certificates",
        labels: &["within"],
        columns: &[gauge(
            "expiring",
            "Client certificates in use whose chain ends within that time.",
        )],
    },
    Group {
        name: "client_certificates_end",
        prefix: "pgtls_client_certificates",
        labels: &[],
        columns: &[gauge(
            "soonest_end_timestamp_seconds",
            "When the first chain of a client certificate in use ends.",
        )],
    },
    Group {
        name: "login_failures",
        prefix: "pgtls_login",
        labels: &["reason"],
        columns: &[counter("failures_total", "Logins that failed, by reason.")],
    },
    Group {
        name: "logins",
        prefix: "pgtls",
        labels: &["version", "cipher", "client_certificate"],
        columns: &[counter(
            "logins_total",
            "Logins over TCP that succeeded; version is none without TLS.",
        )],
    },
    Group {
        name: "recorder",
        prefix: "pgtls_recorder",
        labels: &[],
        columns: &[
            gauge("tracking", "Whether logins are recorded (pgtls_ext.track)."),
            gauge("inventory_entries", "Client certificates in the inventory."),
            gauge("inventory_room", "Places in the inventory (pgtls_ext.max_client_certificates)."),
            counter("evictions_total", "Client certificates that were forgotten for want of room."),
            counter("dropped_records_total", "Records that were lost by an error of the recorder."),
            gauge("in_force_known", "Whether it is known what new logins are judged by."),
        ],
    },
    Group {
        name: "worker",
        prefix: "pgtls_worker",
        labels: &[],
        columns: &[
            gauge("up", "Whether the background worker is running."),
            counter(
                "sessions_terminated_total",
                "Sessions that were ended because of their certificate.",
            ),
            gauge(
                "termination_held_back_timestamp_seconds",
                "When the worker last ended nobody because it would have been too many; 0 for never.",
            ),
        ],
    },
    Group {
        name: "collection",
        prefix: "pgtls_collection",
        labels: &["source"],
        columns: &[gauge(
            "error",
            "Whether something of this source could not be collected; see pgtls_collection_errors.",
        )],
    },
    Group {
        name: "info",
        prefix: "pgtls_build",
        labels: &["version", "openssl", "preloaded"],
        columns: &[gauge("info", "Versions of the extension and of the OpenSSL that runs.")],
    },
];

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its group.
    pub group: &'static Group,
    /// Its column of the group.
    pub column: &'static Column,
    /// The values of the group's labels, in their order.
    pub labels: Vec<String>,
    /// The value, which is a number.
    pub value: f64,
}

impl Sample {
    /// The whole name of the metric.
    pub fn name(&self) -> String {
        format!("{}_{}", self.group.prefix, self.column.name)
    }
}

/// Samples, no two of a metric with the same labels: of such, an exporter would lose all.
#[derive(Debug, Default)]
pub struct Samples {
    list: Vec<Sample>,
    known: HashSet<(&'static str, Vec<String>)>,
}

impl Samples {
    /// Adds a row of a group: its labels, and the values of all of its columns. What there was with
    /// these labels stays.
    ///
    /// # Panics
    /// If there is no such group, or the row has not its form: a defect of the caller.
    pub fn add(&mut self, group: &'static str, labels: &[&str], values: &[f64]) {
        let group = GROUPS.iter().find(|known| known.name == group).unwrap_or(&GROUPS[0]);
        assert!(group.labels.len() == labels.len() && group.columns.len() == values.len());
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if values.iter().any(|value| !value.is_finite())
            || !self.known.insert((group.name, labels.clone()))
        {
            return;
        }
        for (column, value) in group.columns.iter().zip(values) {
            let sample = Sample { group, column, labels: labels.clone(), value: *value };
            work::push(&mut self.list, sample);
        }
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Sample> {
        self.list
    }
}

/// 1 for true.
pub fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rules_of_prometheus() {
        let mut names = HashSet::new();
        let mut groups = HashSet::new();
        for group in &GROUPS {
            assert!(groups.insert(group.name));
            for column in group.columns {
                let name = format!("{}_{}", group.prefix, column.name);
                let is_total = name.ends_with("_total");
                assert_eq!(is_total, column.kind == Kind::Counter, "{name}");
                assert!(
                    !name.ends_with("_count") && !name.ends_with("_info") || group.name == "info"
                );
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                assert!(column.help.ends_with('.') && names.insert(name));
            }
        }
    }

    #[test]
    fn the_same_labels_are_taken_once_and_what_is_no_number_never() {
        let mut samples = Samples::default();
        samples.add("reload", &[], &[1.0, 2.0]);
        samples.add("reload", &[], &[0.0, 3.0]);
        samples.add("sessions", &["valid"], &[f64::NAN]);
        samples.add("sessions", &["valid"], &[2.0]);
        let list = samples.into_list();
        let seen: Vec<_> = list.iter().map(|one| (one.name(), one.value)).collect();
        let expected = [
            ("pgtls_reload_success", 1.0),
            ("pgtls_reload_last_timestamp_seconds", 2.0),
            ("pgtls_session_credentials", 2.0),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
