//! What a client offered in its ClientHello: protocol versions and groups.
//!
//! Owns the names of groups that an OpenSSL may not know yet (IANA's registry of TLS supported
//! groups) and the words for what is known of the versions. OpenSSL keeps the legacy version, the cipher suites and the groups of a
//! ClientHello, and not the list of versions: TLS 1.3 is known by its cipher suites (RFC 8446,
//! section B.4), which no earlier version has.

/// Numbers of cipher suites of TLS 1.3 begin with this octet.
const TLS13_SUITES: u8 = 0x13;

/// The legacy version of a client that speaks TLS 1.2 or later (RFC 8446, section 4.1.2).
const TLS12: u16 = 0x0303;

/// Names of groups by their numbers.
const GROUPS: &[(u16, &str)] = &[
    (0x001f, "brainpoolP256r1tls13"),
    (0x0020, "brainpoolP384r1tls13"),
    (0x0021, "brainpoolP512r1tls13"),
    (0x0200, "MLKEM512"),
    (0x0201, "MLKEM768"),
    (0x0202, "MLKEM1024"),
    (0x11eb, "SecP256r1MLKEM768"),
    (0x11ec, "X25519MLKEM768"),
    (0x11ed, "SecP384r1MLKEM1024"),
];

/// The name of a group that OpenSSL does not know: its number in hexadecimal if it has none; `None`
/// if it stands for no group.
pub fn group_name(group: u16) -> Option<String> {
    let known = GROUPS.iter().find(|(number, _)| *number == group);
    let name = || known.map_or_else(|| format!("0x{group:04x}"), |(_, name)| (*name).to_owned());
    (!is_grease(group)).then(name)
}

/// Values that a client sends to see whether servers ignore what they do not know (RFC 8701).
fn is_grease(group: u16) -> bool {
    let [high, low] = group.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// The newest protocol version that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// This one, as its number in the protocol.
    Version(u16),
    /// TLS 1.2, or a later one: the handshake ended before more was known.
    Tls12OrLater,
    /// TLS 1.3.
    Tls13,
}

impl Newest {
    /// From the legacy version and the cipher suites of a ClientHello, two octets each; `None` if
    /// there was no ClientHello.
    pub fn of(legacy_version: u16, cipher_suites: &[u8]) -> Option<Self> {
        match legacy_version {
            0x0300..TLS12 => Some(Self::Version(legacy_version)),
            TLS12 if cipher_suites.is_empty() => Some(Self::Tls12OrLater),
            TLS12 => {
                let mut suites = cipher_suites.chunks_exact(2);
                let has_tls13 = suites.any(|suite| suite.first() == Some(&TLS13_SUITES));
                Some(if has_tls13 { Self::Tls13 } else { Self::Version(TLS12) })
            }
            _ => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Version(0x0300) => "SSLv3".to_owned(),
            Self::Version(0x0301) => "up to TLSv1".to_owned(),
            Self::Version(0x0302) => "up to TLSv1.1".to_owned(),
            Self::Version(_) => "up to TLSv1.2".to_owned(),
            Self::Tls12OrLater => "TLSv1.2 or later".to_owned(),
            Self::Tls13 => "up to TLSv1.3".to_owned(),
        }
    }
}

/// In words, such as `up to TLSv1.3; groups x25519, secp256r1`.
pub fn describe(newest: Newest, groups: &[String]) -> String {
    match groups.is_empty() {
        true => newest.words(),
        false => format!("{}; groups {}", newest.words(), groups.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_what_is_kept() {
        for (legacy, suites, words) in [
            (0x0301, &[0x00, 0x2f][..], Some("up to TLSv1")),
            (0x0302, &[], Some("up to TLSv1.1")),
            (0x0303, &[], Some("TLSv1.2 or later")),
            (0x0303, &[0xc0, 0x2b, 0x00, 0xff], Some("up to TLSv1.2")),
            (0x0303, &[0xc0, 0x13, 0x00, 0xff], Some("up to TLSv1.2")),
            (0x0303, &[0xc0, 0x2b, 0x13, 0x01], Some("up to TLSv1.3")),
            (0x0000, &[], None),
            (0x7f1c, &[], None),
        ] {
            let newest = Newest::of(legacy, suites);
            assert_eq!(newest.map(Newest::words).as_deref(), words, "{legacy:x} {suites:?}");
        }
    }

    #[test]
    fn groups_have_their_names() {
        let groups = [0x2a2a, 0x11ec, 0x6399, 0xfafa, 0xfa0a];
        let groups: Vec<String> = groups.into_iter().filter_map(group_name).collect();
        assert_eq!(
            describe(Newest::Tls13, &groups),
            "up to TLSv1.3; groups X25519MLKEM768, 0x6399, 0xfa0a"
        );
        assert_eq!(describe(Newest::Version(0x0303), &[]), "up to TLSv1.2");
    }
}
