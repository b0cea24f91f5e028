//! What differs between the versions of the server.

/// Major version of a server, such as 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// Whether roles and databases in rules, and roles in mappings, may be regular expressions, and
    /// roles in mappings `all` or `+group`.
    pub(super) fn has_rich_names(self) -> bool {
        self >= Self(16)
    }

    /// Whether a line of the files can have the server read another one (`include`).
    pub(super) fn has_include_directives(self) -> bool {
        self >= Self(16)
    }

    /// Whether the log says which certificate was refused and why.
    pub(crate) fn logs_certificate_errors(self) -> bool {
        self >= Self(16)
    }

    /// What a client is told when only the connections kept for superusers are free.
    pub(crate) fn reserved_for_superusers(self) -> &'static str {
        match self {
            Self(..16) => {
                "remaining connection slots are reserved for non-replication superuser connections"
            }
            Self(_) => {
                "remaining connection slots are reserved for roles with the SUPERUSER attribute"
            }
        }
    }

    /// What a client is told that wants to replicate and may not, and the detail in the log.
    pub(crate) fn may_not_replicate(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self(..16) => ("must be superuser or replication role to start walsender", None),
            Self(_) => (
                "permission denied to start WAL sender",
                Some("Only roles with the REPLICATION attribute may start a WAL sender process."),
            ),
        }
    }

    /// Whether `pg_stat_ssl` is filled in before the database is looked at.
    pub(crate) fn reports_tls_before_database(self) -> bool {
        self >= Self(18)
    }
}
