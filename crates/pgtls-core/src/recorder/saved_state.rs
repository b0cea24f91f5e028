//! The file that keeps the recorder's memory over a restart.
//!
//! ```text
//! magic "PGTLSEXT" | version u32 | length of the body u64 | SHA-256 of the body | body
//! ```
//!
//! Numbers are little-endian; texts and lists have their length in front. Reasons are saved by name, so a version that
//! knows more or fewer of them reads the file. Anything else than a file of this version that is whole is refused.

use openssl::sha::sha256;

const MAGIC: &[u8; 8] = b"PGTLSEXT";
/// The version of the format: whatever changes the body changes this.
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8 + 32;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// How many client certificates were forgotten for want of room.
    pub evicted: u64,
    /// The client certificates, the least recently seen first.
    pub certificates: Vec<SavedCertificate>,
    /// Failures by reason.
    pub failures: Vec<SavedCount>,
}

/// A client certificate of the inventory. Times are in the unit of whoever saves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedCertificate {
    /// SHA-256 of its DER.
    pub fingerprint: [u8; 32],
    /// When it was first seen.
    pub first_seen: i64,
    /// When it was last seen.
    pub last_seen: i64,
    /// Logins.
    pub logins: u64,
    /// Failed logins.
    pub failed_logins: u64,
    /// The last client's address: none, 4 or 16 bytes.
    pub address: Vec<u8>,
    /// DER of its chain, as far as it was kept.
    pub chain: Vec<u8>,
    /// The roles it logged in as, each ended by a NUL.
    pub roles: Vec<u8>,
    /// The databases it logged in to, each ended by a NUL.
    pub databases: Vec<u8>,
}

/// How often one reason occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedCount {
    /// The reason's label.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When last; 0 for never.
    pub last: i64,
}

/// Why a file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It is something else.
    #[error("it is no state file of pgtls_ext")]
    Foreign,
    /// It is of another version of pgtls_ext.
    #[error("it has version {0} of the format, not {VERSION}")]
    Version(u32),
    /// It is not whole, or not what was written.
    #[error("it is damaged")]
    Damaged,
}

impl State {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_number(&mut body, self.evicted);
        put_length(&mut body, self.certificates.len());
        for certificate in &self.certificates {
            body.extend_from_slice(&certificate.fingerprint);
            put_number(&mut body, certificate.first_seen.cast_unsigned());
            put_number(&mut body, certificate.last_seen.cast_unsigned());
            put_number(&mut body, certificate.logins);
            put_number(&mut body, certificate.failed_logins);
            for bytes in [
                &certificate.address,
                &certificate.chain,
                &certificate.roles,
                &certificate.databases,
            ] {
                put_bytes(&mut body, bytes);
            }
        }
        put_length(&mut body, self.failures.len());
        for failure in &self.failures {
            put_bytes(&mut body, failure.reason.as_bytes());
            put_number(&mut body, failure.count);
            put_number(&mut body, failure.last.cast_unsigned());
        }
        let mut file = Vec::with_capacity(HEADER.saturating_add(body.len()));
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        put_length(&mut file, body.len());
        file.extend_from_slice(&sha256(&body));
        file.extend_from_slice(&body);
        file
    }

    /// Reads the bytes of a file.
    pub fn decode(file: &[u8]) -> Result<Self, StateError> {
        let rest = file.strip_prefix(MAGIC).ok_or(StateError::Foreign)?;
        let (version, rest) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let mut header = Cursor(rest);
        let length = header.number().ok_or(StateError::Damaged)?;
        let sum = header.take(32).ok_or(StateError::Damaged)?;
        let body = header.0;
        if u64::try_from(body.len()) != Ok(length) || sha256(body) != sum {
            return Err(StateError::Damaged);
        }
        Self::body(&mut Cursor(body)).ok_or(StateError::Damaged)
    }

    fn body(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut state = Self { evicted: cursor.number()?, ..Self::default() };
        for _ in 0..cursor.number()? {
            state.certificates.push(SavedCertificate {
                fingerprint: cursor.take(32)?.try_into().ok()?,
                first_seen: cursor.number()?.cast_signed(),
                last_seen: cursor.number()?.cast_signed(),
                logins: cursor.number()?,
                failed_logins: cursor.number()?,
                address: cursor.bytes()?.to_vec(),
                chain: cursor.bytes()?.to_vec(),
                roles: cursor.bytes()?.to_vec(),
                databases: cursor.bytes()?.to_vec(),
            });
        }
        for _ in 0..cursor.number()? {
            state.failures.push(SavedCount {
                reason: String::from_utf8(cursor.bytes()?.to_vec()).ok()?,
                count: cursor.number()?,
                last: cursor.number()?.cast_signed(),
            });
        }
        cursor.0.is_empty().then_some(state)
    }
}

fn put_number(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(&number.to_le_bytes());
}

fn put_length(into: &mut Vec<u8>, length: usize) {
    put_number(into, u64::try_from(length).unwrap_or(u64::MAX));
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_length(into, bytes.len());
    into.extend_from_slice(bytes);
}

/// What has not been read yet.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let certificate = SavedCertificate {
            fingerprint: [7; 32],
            first_seen: -1,
            last_seen: i64::MAX,
            logins: 3,
            failed_logins: 1,
            address: vec![127, 0, 0, 1],
            chain: vec![0x30, 0],
            roles: b"alice\0bob\0".to_vec(),
            databases: Vec::new(),
        };
        State {
            evicted: 9,
            certificates: vec![certificate, SavedCertificate::default()],
            failures: vec![SavedCount { reason: "revoked".to_owned(), count: 5, last: 6 }],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for state in [state(), State::default()] {
            assert_eq!(State::decode(&state.encode()), Ok(state));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let file = state().encode();
        for length in 0..file.len() {
            assert!(State::decode(&file[..length]).is_err(), "{length}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(State::decode(&damaged).is_err(), "{at}");
        }
        assert_eq!(State::decode(b"something"), Err(StateError::Foreign));
        let mut newer = file.clone();
        newer[8] = 2;
        assert_eq!(State::decode(&newer), Err(StateError::Version(2)));
        let mut longer = file;
        longer.push(0);
        assert_eq!(State::decode(&longer), Err(StateError::Damaged));
    }
}
