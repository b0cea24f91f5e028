//! Why a login over TLS failed: a closed list of reasons, and how they are told apart.
//!
//! Nothing here but the hint allocates or can panic: the server asks while it is turning a client away, in a
//! process that must not do more than copy and count.

/// Why a connection did not become a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client's certificate leads to no certificate of `ssl_ca_file`.
    UnknownCa,
    /// The client's certificate is signed by itself and is not in `ssl_ca_file`.
    SelfSigned,
    /// A certificate of the chain is past its end.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// A certificate of the chain is revoked.
    Revoked,
    /// A CA of the chain has no usable CRL, while CRLs are checked.
    CrlMissing,
    /// The CRL of a CA of the chain is past its next update.
    CrlExpired,
    /// A certificate of the chain must not be used for this: a server's as a client's, an end
    /// entity's as a CA's.
    BadPurpose,
    /// A signature of the chain or of a CRL does not verify.
    BadSignature,
    /// The rule of pg_hba.conf demands a certificate and the client has none.
    NoClientCertificate,
    /// The certificate's name is not the role's, and the rule has no map.
    NameMismatch,
    /// The rule's map does not lead from the certificate's name to the role.
    NoMapping,
    /// A rule of pg_hba.conf says `reject`.
    HbaReject,
    /// No rule of pg_hba.conf fits the connection.
    HbaNoEntry,
    /// Client and server have no TLS version in common.
    UnsupportedProtocol,
    /// Client and server have no cipher suite, group or signature algorithm in common.
    NoSharedCipher,
    /// The client did not agree on PostgreSQL's application protocol.
    NoAlpn,
    /// The client did not accept the server's certificate.
    ClientRejectedServer,
    /// The connection is not encrypted, and `pgtls_ext.require_tls` is on.
    PlaintextRefused,
    /// The certificate has no usable name: none at all, one with a NUL in it, or one that the
    /// server cannot write down.
    BadName,
    /// The client hung up in mid-handshake.
    Eof,
    /// Anything else.
    Other,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::UnknownCa,
        Self::SelfSigned,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::CrlMissing,
        Self::CrlExpired,
        Self::BadPurpose,
        Self::BadSignature,
        Self::NoClientCertificate,
        Self::NameMismatch,
        Self::NoMapping,
        Self::HbaReject,
        Self::HbaNoEntry,
        Self::UnsupportedProtocol,
        Self::NoSharedCipher,
        Self::NoAlpn,
        Self::ClientRejectedServer,
        Self::PlaintextRefused,
        Self::BadName,
        Self::Eof,
        Self::Other,
    ];

    /// The word for it in SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownCa => "unknown_ca",
            Self::SelfSigned => "self_signed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::CrlMissing => "crl_missing",
            Self::CrlExpired => "crl_expired",
            Self::BadPurpose => "bad_purpose",
            Self::BadSignature => "bad_signature",
            Self::NoClientCertificate => "no_client_certificate",
            Self::NameMismatch => "name_mismatch",
            Self::NoMapping => "no_mapping",
            Self::HbaReject => "hba_reject",
            Self::HbaNoEntry => "hba_no_entry",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoAlpn => "no_alpn",
            Self::ClientRejectedServer => "client_rejected_server",
            Self::PlaintextRefused => "plaintext_refused",
            Self::BadName => "bad_name",
            Self::Eof => "eof",
            Self::Other => "other",
        }
    }

    /// What to do about it, and by whom, given the names in the certificate that offends; `None` if
    /// that depends on more. Allocates, and so is not for where a client is turned away.
    /// `offered` is what the client offered, if it came that far.
    pub fn hint(
        self,
        subject: Option<&str>,
        issuer: Option<&str>,
        offered: Option<&str>,
    ) -> Option<String> {
        let subject = subject.unwrap_or("the certificate");
        let issuer = issuer.unwrap_or("its CA");
        Some(match self {
            Self::UnknownCa => format!(
                "The client has to send the certificate of {issuer}, too (in the file of \
                 sslcert), or the server has to trust that CA (ssl_ca_file)."
            ),
            Self::SelfSigned => "The client needs a certificate of a CA that the server trusts, \
                 or its own has to be added to ssl_ca_file."
                .to_owned(),
            Self::Expired => format!("{subject} has expired and has to be issued anew."),
            Self::NotYetValid => {
                format!("{subject} begins in the future: compare the clocks of server and CA.")
            }
            Self::Revoked => format!("{issuer} has revoked {subject}: a new one has to be issued."),
            Self::CrlMissing => format!(
                "The server has no usable CRL of {issuer}: add it to ssl_crl_file or ssl_crl_dir \
                 and reload. pgtls_crl_coverage has every CA."
            ),
            Self::CrlExpired => format!(
                "The CRL of {issuer} has expired: put the current one in its place and reload. \
                 Until then every client of this CA is refused."
            ),
            Self::BadPurpose => format!(
                "{subject} may not be used for this: for a client it needs the extended key usage \
                 clientAuth, for a CA basic constraints and the key usage keyCertSign."
            ),
            Self::BadSignature => format!(
                "A signature of {issuer} does not verify: the certificate or the CRL is damaged, \
                 or of a CA of the same name with another key."
            ),
            Self::NoClientCertificate => {
                "The client has to send a certificate: sslcert and sslkey \
                 name it and its key."
                    .to_owned()
            }
            Self::NameMismatch => {
                "The client has to log in as the name in its certificate, or the \
                 rule needs a map: pgtls_explain_login() says which."
                    .to_owned()
            }
            Self::NoMapping => "The map of the rule needs a line for this certificate and role: \
                 pgtls_explain_login() says which."
                .to_owned(),
            Self::HbaReject => "The first rule for this client rejects it: pgtls_explain_login() \
                 says which."
                .to_owned(),
            Self::HbaNoEntry => {
                "No rule of pg_hba.conf is for this client, with or without TLS as \
                 it comes: pgtls_explain_login() has an example."
                    .to_owned()
            }
            Self::UnsupportedProtocol => "The client has to be updated, or \
                 ssl_min_protocol_version and ssl_max_protocol_version let its TLS version in."
                .to_owned(),
            Self::NoSharedCipher => "Compare ssl_ciphers and ssl_ecdh_curve (from 18 ssl_groups) \
                 with what the client offers."
                .to_owned(),
            Self::NoAlpn => {
                "The client speaks another protocol than PostgreSQL's to this port.".to_owned()
            }
            Self::ClientRejectedServer => "The client does not trust the server's certificate: it \
                 needs the server's CA (sslrootcert). pgtls_server_certificates has what the \
                 server sends."
                .to_owned(),
            Self::PlaintextRefused => {
                "The client has to connect with sslmode=require, or better verify-full.".to_owned()
            }
            Self::BadName => {
                "The certificate has to be issued with a name that the server can read.".to_owned()
            }
            Self::Eof if offered.is_none() => "The client hung up before it had said anything of \
                 TLS: most are checks whether the port is open."
                .to_owned(),
            Self::Eof => "The client began with TLS and hung up without an alert when it had seen \
                 the server's certificate: it ran out of time, was ended, or found no key of its \
                 own to go on with. Its own log says which."
                .to_owned(),
            Self::Other => return None,
        })
    }

    /// Its place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        // `Other` is the last, so the fallback is never taken.
        Self::ALL.iter().position(|reason| *reason == self).unwrap_or(0)
    }

    /// The reason at a place of [`ALL`](Self::ALL).
    pub fn at(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// What a result of `SSL_get_verify_result` means; `None` for 0, which says nothing against a
    /// certificate.
    ///
    /// The numbers are those of `openssl/x509_vfy.h`; they are part of OpenSSL's binary interface.
    pub fn of_verify_result(result: i64) -> Option<Self> {
        use crate::verify::verify_error::code::*;
        let Ok(result) = i32::try_from(result) else { return Some(Self::Other) };
        Some(match result {
            0 => return None,
            UNABLE_TO_GET_ISSUER_CERT
            | UNABLE_TO_GET_ISSUER_CERT_LOCALLY
            | UNABLE_TO_VERIFY_LEAF_SIGNATURE
            | SELF_SIGNED_CERT_IN_CHAIN
            | CERT_CHAIN_TOO_LONG
            | CERT_UNTRUSTED
            | CERT_REJECTED => Self::UnknownCa,
            DEPTH_ZERO_SELF_SIGNED_CERT => Self::SelfSigned,
            CERT_HAS_EXPIRED => Self::Expired,
            CERT_NOT_YET_VALID => Self::NotYetValid,
            CERT_REVOKED => Self::Revoked,
            UNABLE_TO_GET_CRL
            | CRL_NOT_YET_VALID
            | UNABLE_TO_GET_CRL_ISSUER
            | KEYUSAGE_NO_CRL_SIGN
            | UNHANDLED_CRITICAL_CRL_EXTENSION
            | DIFFERENT_CRL_SCOPE
            | CRL_PATH_VALIDATION_ERROR
            | ERROR_IN_CRL_LAST_UPDATE_FIELD
            | ERROR_IN_CRL_NEXT_UPDATE_FIELD => Self::CrlMissing,
            CRL_HAS_EXPIRED => Self::CrlExpired,
            PATH_LENGTH_EXCEEDED | INVALID_PURPOSE | KEYUSAGE_NO_CERTSIGN | INVALID_CA => {
                Self::BadPurpose
            }
            UNABLE_TO_DECRYPT_CERT_SIGNATURE
            | UNABLE_TO_DECRYPT_CRL_SIGNATURE
            | UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY
            | CERT_SIGNATURE_FAILURE
            | CRL_SIGNATURE_FAILURE => Self::BadSignature,
            _ => Self::Other,
        })
    }

    /// What OpenSSL's description of a failed handshake means.
    pub fn of_handshake_text(text: &[u8]) -> Self {
        const WORDS: &[(&[u8], Reason)] = &[
            (b"unsupported protocol", Reason::UnsupportedProtocol),
            (b"alert protocol version", Reason::UnsupportedProtocol),
            (b"version too low", Reason::UnsupportedProtocol),
            (b"no protocols available", Reason::UnsupportedProtocol),
            (b"no shared cipher", Reason::NoSharedCipher),
            (b"no shared group", Reason::NoSharedCipher),
            (b"no suitable key share", Reason::NoSharedCipher),
            (b"no suitable groups", Reason::NoSharedCipher),
            (b"no suitable signature algorithm", Reason::NoSharedCipher),
            (b"no shared signature algorithms", Reason::NoSharedCipher),
            (b"no application protocol", Reason::NoAlpn),
            (b"alert unknown ca", Reason::ClientRejectedServer),
            (b"alert bad certificate", Reason::ClientRejectedServer),
            (b"alert unsupported certificate", Reason::ClientRejectedServer),
            (b"alert certificate", Reason::ClientRejectedServer),
            (b"unexpected eof", Reason::Eof),
        ];
        WORDS
            .iter()
            .find(|(words, _)| contains(text, words))
            .map_or(Self::Other, |(_, reason)| *reason)
    }
}

/// What one of the server's messages says of a login, by the untranslated text that identifies it
/// in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The handshake failed; why is in the TLS layer or in the text.
    Handshake,
    /// The connection ends for this reason, and nothing else will be said.
    Final(Reason),
    /// The connection is going to fail for this reason: the authentication hook is called next.
    Ahead(Reason),
}

impl Message {
    /// `None` for a message that says nothing of a login over TLS.
    pub fn of_id(id: &[u8]) -> Option<Self> {
        const MESSAGES: &[(&[u8], Message)] = &[
            (b"could not accept SSL connection: EOF detected", Message::Final(Reason::Eof)),
            (b"could not accept SSL connection: %m", Message::Final(Reason::Eof)),
            (b"could not accept SSL connection: %s", Message::Handshake),
            (b"could not initialize SSL connection: %s", Message::Final(Reason::Other)),
            (
                b"could not initialize SSL connection: SSL context not set up",
                Message::Final(Reason::Other),
            ),
            (b"could not set SSL socket: %s", Message::Final(Reason::Other)),
            (b"unrecognized SSL error code: %d", Message::Final(Reason::Other)),
            (
                b"SSL certificate's common name contains embedded null",
                Message::Final(Reason::BadName),
            ),
            (
                b"SSL certificate's distinguished name contains embedded null",
                Message::Final(Reason::BadName),
            ),
            // Said of a certificate that is refused (since 16), or is going to be shown in
            // pg_stat_ssl.
            (b"could not get NID for ASN1_OBJECT object", Message::Final(Reason::BadName)),
            (
                b"received SSL connection request with unexpected ALPN protocol",
                Message::Final(Reason::NoAlpn),
            ),
            (
                b"received direct SSL connection request without ALPN protocol negotiation extension",
                Message::Final(Reason::NoAlpn),
            ),
            (
                b"buffered unencrypted data remains after negotiating SSL connection",
                Message::Final(Reason::Other),
            ),
            (b"received unencrypted data after SSL request", Message::Final(Reason::Other)),
            (
                b"client certificates can only be checked if a root certificate store is available",
                Message::Final(Reason::NoClientCertificate),
            ),
            (
                b"connection requires a valid client certificate",
                Message::Final(Reason::NoClientCertificate),
            ),
            (
                b"provided user name (%s) and authenticated user name (%s) do not match",
                Message::Ahead(Reason::NameMismatch),
            ),
        ];
        const BEGINNINGS: &[(&[u8], Message)] = &[
            (b"pg_hba.conf rejects ", Message::Final(Reason::HbaReject)),
            (b"no pg_hba.conf entry for ", Message::Final(Reason::HbaNoEntry)),
            (b"no match in usermap ", Message::Ahead(Reason::NoMapping)),
            (b"regular expression match for ", Message::Ahead(Reason::NoMapping)),
            (
                b"certificate validation (clientcert=verify-full) failed for user ",
                Message::Ahead(Reason::NameMismatch),
            ),
        ];
        if let Some((_, message)) = MESSAGES.iter().find(|(text, _)| *text == id) {
            return Some(*message);
        }
        if id.starts_with(b"certificate authentication failed for user ") {
            let nameless = contains(id, b"contains no user name")
                || contains(id, b"unable to retrieve subject DN");
            return nameless.then_some(Self::Ahead(Reason::BadName));
        }
        if id.starts_with(b"regular expression ") && contains(id, b"has no subexpressions") {
            return Some(Self::Ahead(Reason::NoMapping));
        }
        BEGINNINGS.iter().find(|(text, _)| id.starts_with(text)).map(|(_, message)| *message)
    }
}

/// The first run of digits in a text: the depth in the server's explanation of a failed
/// verification, in any language.
pub fn first_number(text: &[u8]) -> Option<i64> {
    let mut digits = text.iter().skip_while(|byte| !byte.is_ascii_digit());
    let mut number = i64::from(digits.next()?.saturating_sub(b'0'));
    for byte in digits.take_while(|byte| byte.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add(i64::from(byte.saturating_sub(b'0')));
    }
    Some(number)
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len().max(1)).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_label() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(Reason::at(index), Some(reason));
            let same = Reason::ALL.iter().filter(|other| other.label() == reason.label());
            assert_eq!(same.count(), 1, "{reason:?}");
        }
        assert_eq!(Reason::at(Reason::ALL.len()), None);
    }

    #[test]
    fn handshake_texts_of_openssl_are_told_apart() {
        for (text, reason) in [
            ("could not accept SSL connection: unsupported protocol", Reason::UnsupportedProtocol),
            ("could not accept SSL connection: no shared cipher", Reason::NoSharedCipher),
            (
                "could not accept SSL connection: tlsv1 alert unknown ca",
                Reason::ClientRejectedServer,
            ),
            (
                "could not accept SSL connection: sslv3 alert certificate expired",
                Reason::ClientRejectedServer,
            ),
            ("could not accept SSL connection: unexpected eof while reading", Reason::Eof),
            ("could not accept SSL connection: http request", Reason::Other),
            ("", Reason::Other),
        ] {
            assert_eq!(Reason::of_handshake_text(text.as_bytes()), reason, "{text}");
        }
    }

    #[test]
    fn messages_are_known_by_their_identity() {
        for (id, message) in [
            ("could not accept SSL connection: %s", Some(Message::Handshake)),
            (
                "certificate authentication failed for user \"%s\": client certificate contains no user name",
                Some(Message::Ahead(Reason::BadName)),
            ),
            ("certificate authentication failed for user \"%s\"", None),
            (
                "no pg_hba.conf entry for replication connection from host \"%s\", user \"%s\", %s",
                Some(Message::Final(Reason::HbaNoEntry)),
            ),
            (
                "regular expression \"%s\" has no subexpressions as requested by backreference in \"%s\"",
                Some(Message::Ahead(Reason::NoMapping)),
            ),
            ("password authentication failed for user \"%s\"", None),
            ("", None),
        ] {
            assert_eq!(Message::of_id(id.as_bytes()), message, "{id}");
        }
    }

    #[test]
    fn the_depth_is_the_first_number() {
        let detail = "Client certificate verification failed at depth 12: certificate revoked (3).";
        assert_eq!(first_number(detail.as_bytes()), Some(12));
        assert_eq!(first_number(b"none"), None);
        assert_eq!(first_number("9".repeat(40).as_bytes()), Some(i64::MAX));
    }
}
