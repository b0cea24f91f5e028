//! The file that keeps the recorder's memory over a restart.
//!
//! ```text
//! magic "PGTLSEXT" | version u32 | records | 0 u32 | SHA-256 of everything before it
//! record: length u32 of what follows | kind u8 | content
//! ```
//!
//! Numbers are little-endian, and texts and lists have their length in front. Reasons are saved by
//! name, and a record of an unknown kind is passed over, so a version that knows more or fewer of
//! them reads the file. Anything else than a file of this version that is whole is refused.
//!
//! The file may have half a gigabyte, so it is neither made nor read as a whole: both ends have one
//! buffer of [`BUFFER`] bytes. What a reader gives may be of a damaged file until it has come to
//! the end; who cares reads twice.

use std::io::{self, Read, Write};

use openssl::sha::Sha256;

const MAGIC: &[u8; 8] = b"PGTLSEXT";
/// The version of the format: whatever changes the records' content changes this.
const VERSION: u32 = 2;
/// Bytes of the checksum.
const SUM: usize = 32;

/// Bytes of the buffer, and more than a record may have.
pub const BUFFER: usize = 64 * 1024;

const EVICTED: u8 = 1;
const FAILURE: u8 = 2;
const CERTIFICATE: u8 = 3;

/// Something that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// How many client certificates were forgotten for want of room.
    Evicted(u64),
    /// Failures for one reason.
    Failure(SavedCount<'a>),
    /// A client certificate. The most recently seen one comes first.
    Certificate(SavedCertificate<'a>),
}

/// A client certificate of the inventory. Times are in the unit of whoever saves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedCertificate<'a> {
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
    pub address: &'a [u8],
    /// DER of its chain, as far as it was kept.
    pub chain: &'a [u8],
    /// The roles it logged in as, each ended by a NUL.
    pub roles: &'a [u8],
    /// The databases it logged in to, each ended by a NUL.
    pub databases: &'a [u8],
}

/// How often one reason occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedCount<'a> {
    /// The reason's label.
    pub reason: &'a str,
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
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Something else is missing, such as memory: nothing is known of the file, which may be read
    /// later.
    #[error("{0}")]
    NotNow(String),
}

impl From<io::Error> for StateError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::NotNow("out of memory".to_owned()),
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

fn buffer() -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(BUFFER).map_err(|_| io::ErrorKind::OutOfMemory)?;
    Ok(buffer)
}

/// Writes a file.
pub struct Writer<W> {
    out: W,
    sum: Sha256,
    /// What has not been written yet; never longer than [`BUFFER`].
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// If there is no memory for the buffer, or what writing says.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self { out, sum: Sha256::new(), buffer: buffer()? };
        writer.put(&[MAGIC, &VERSION.to_le_bytes()])?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If it is longer than any that is read, or what writing says.
    pub fn add(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record {
            Record::Evicted(count) => self.record(EVICTED, &[&count.to_le_bytes()]),
            Record::Failure(failure) => self.record(
                FAILURE,
                &[
                    &failure.count.to_le_bytes(),
                    &failure.last.to_le_bytes(),
                    &length(failure.reason.as_bytes()),
                    failure.reason.as_bytes(),
                ],
            ),
            Record::Certificate(certificate) => self.record(
                CERTIFICATE,
                &[
                    &certificate.fingerprint,
                    &certificate.first_seen.to_le_bytes(),
                    &certificate.last_seen.to_le_bytes(),
                    &certificate.logins.to_le_bytes(),
                    &certificate.failed_logins.to_le_bytes(),
                    &length(certificate.address),
                    certificate.address,
                    &length(certificate.chain),
                    certificate.chain,
                    &length(certificate.roles),
                    certificate.roles,
                    &length(certificate.databases),
                    certificate.databases,
                ],
            ),
        }
    }

    /// Ends the file, and gives back what it was written to.
    ///
    /// # Errors
    /// What writing says.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&[&0_u32.to_le_bytes()])?;
        self.flush()?;
        self.out.write_all(&self.sum.finish())?;
        Ok(self.out)
    }

    fn record(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let size = parts.iter().fold(1_usize, |size, part| size.saturating_add(part.len()));
        let length = u32::try_from(size).ok().filter(|_| size <= BUFFER);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        self.put(&[&length.to_le_bytes(), &[kind]])?;
        self.put(parts)
    }

    fn put(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                if self.buffer.len() == BUFFER {
                    self.flush()?;
                }
                let room = BUFFER.saturating_sub(self.buffer.len());
                let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
                self.buffer.extend_from_slice(now);
                rest = later;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sum.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The length in front of a text or list.
fn length(bytes: &[u8]) -> [u8; 4] {
    // What is too long for a record is found out there.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Reads a file.
pub struct Reader<R> {
    input: R,
    sum: Sha256,
    buffer: Vec<u8>,
    /// What of the buffer has been handed out.
    used: usize,
    is_at_end: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// If it is no file of this version, or why it cannot be read.
    pub fn new(input: R) -> Result<Self, StateError> {
        let (sum, buffer) = (Sha256::new(), buffer()?);
        let mut reader = Self { input, sum, buffer, used: 0, is_at_end: false };
        match reader.take(MAGIC.len()) {
            Ok(magic) if magic == MAGIC => {}
            Ok(_) | Err(StateError::Damaged) => return Err(StateError::Foreign),
            Err(error) => return Err(error),
        }
        match reader.number()? {
            VERSION => Ok(reader),
            other => Err(StateError::Version(other)),
        }
    }

    /// The next record; `None` at the end of a file that is whole. To be called until then.
    ///
    /// # Errors
    /// If the file is damaged, or why it cannot be read.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, StateError> {
        while !self.is_at_end {
            let length = usize::try_from(self.number()?).map_err(|_| StateError::Damaged)?;
            if length == 0 {
                self.end()?;
                break;
            }
            if length > BUFFER {
                return Err(StateError::Damaged);
            }
            self.fill(length)?;
            let (start, end) = (self.used, self.used.saturating_add(length));
            self.sum.update(self.buffer.get(start..end).unwrap_or_default());
            self.used = end;
            // The kind decides whether the record is given out; asked for first, because what is
            // given out borrows.
            let known = [EVICTED, FAILURE, CERTIFICATE];
            if self.buffer.get(start).is_some_and(|kind| known.contains(kind)) {
                let record = self.buffer.get(start..end).unwrap_or_default();
                return Record::decode(record).ok_or(StateError::Damaged).map(Some);
            }
        }
        Ok(None)
    }

    /// Checks what comes after the records.
    fn end(&mut self) -> Result<(), StateError> {
        let expected = self.sum.clone().finish();
        let is_right = self.take(SUM)? == expected;
        if !is_right || self.used < self.buffer.len() || self.input.read(&mut [0])? > 0 {
            return Err(StateError::Damaged);
        }
        self.is_at_end = true;
        Ok(())
    }

    fn number(&mut self) -> Result<u32, StateError> {
        let bytes = self.take(4)?.try_into().map_err(|_| StateError::Damaged)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The next bytes.
    fn take(&mut self, length: usize) -> Result<&[u8], StateError> {
        self.fill(length)?;
        let (start, end) = (self.used, self.used.saturating_add(length));
        self.used = end;
        let bytes = self.buffer.get(start..end).ok_or(StateError::Damaged)?;
        self.sum.update(bytes);
        Ok(bytes)
    }

    /// Has at least this many bytes in the buffer that have not been handed out.
    fn fill(&mut self, length: usize) -> Result<(), StateError> {
        if self.buffer.len().saturating_sub(self.used) >= length {
            return Ok(());
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        while self.buffer.len() < length {
            let before = self.buffer.len();
            self.buffer.resize(BUFFER, 0);
            let read = self.input.read(self.buffer.get_mut(before..).unwrap_or_default());
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                // Nothing more, though more was promised.
                Ok(0) => return Err(StateError::Damaged),
                read => read,
            };
            self.buffer.truncate(before.saturating_add(read?));
        }
        Ok(())
    }
}

impl<'a> Record<'a> {
    fn decode(record: &'a [u8]) -> Option<Self> {
        let (kind, content) = record.split_first()?;
        let mut cursor = Cursor(content);
        let record = match *kind {
            EVICTED => Self::Evicted(cursor.number()?),
            FAILURE => Self::Failure(SavedCount {
                count: cursor.number()?,
                last: cursor.number()?.cast_signed(),
                reason: std::str::from_utf8(cursor.bytes()?).ok()?,
            }),
            CERTIFICATE => Self::Certificate(SavedCertificate {
                fingerprint: cursor.take(32)?.try_into().ok()?,
                first_seen: cursor.number()?.cast_signed(),
                last_seen: cursor.number()?.cast_signed(),
                logins: cursor.number()?,
                failed_logins: cursor.number()?,
                address: cursor.bytes()?,
                chain: cursor.bytes()?,
                roles: cursor.bytes()?,
                databases: cursor.bytes()?,
            }),
            _ => return None,
        };
        cursor.0.is_empty().then_some(record)
    }
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
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some records, more than fit into the buffer.
    fn records() -> Vec<Record<'static>> {
        let certificate = SavedCertificate {
            fingerprint: [7; 32],
            first_seen: -1,
            last_seen: i64::MAX,
            logins: 3,
            failed_logins: 1,
            address: &[127, 0, 0, 1],
            chain: &[0x30; 4000],
            roles: b"alice\0bob\0",
            databases: &[],
        };
        let mut records = vec![
            Record::Evicted(9),
            Record::Failure(SavedCount { reason: "revoked", count: 5, last: -6 }),
        ];
        for logins in 0..40 {
            records.push(Record::Certificate(SavedCertificate { logins, ..certificate.clone() }));
            records.push(Record::Certificate(SavedCertificate::default()));
        }
        records
    }

    fn written(records: &[Record<'_>]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for record in records {
            writer.add(record).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Reads to the end, and hands each record on.
    fn read(
        file: impl Read,
        mut take: impl FnMut(usize, &Record<'_>),
    ) -> Result<usize, StateError> {
        let mut reader = Reader::new(file)?;
        let mut count = 0;
        while let Some(record) = reader.read()? {
            take(count, &record);
            count += 1;
        }
        assert_eq!(reader.read(), Ok(None));
        Ok(count)
    }

    fn error(file: &[u8]) -> StateError {
        read(file, |_, _| ()).unwrap_err()
    }

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = into.len().min(self.0.len()).min(13);
            let (now, later) = self.0.split_at(length);
            into[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let records = records();
        let file = written(&records);
        assert!(file.len() > 2 * BUFFER);
        let same = |at: usize, record: &Record<'_>| assert_eq!(*record, records[at]);
        assert_eq!(read(&file[..], same), Ok(records.len()));
        assert_eq!(read(Trickle(&file), same), Ok(records.len()));
        assert_eq!(read(&written(&[])[..], |_, _| ()), Ok(0));
    }

    #[test]
    fn a_record_of_a_later_version_is_passed_over() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.record(200, &[b"something new"]).unwrap();
        writer.add(&Record::Evicted(1)).unwrap();
        let file = writer.finish().unwrap();
        assert_eq!(read(&file[..], |_, record| assert_eq!(*record, Record::Evicted(1))), Ok(1));
    }

    #[test]
    fn anything_else_is_refused() {
        let file = written(&records()[..4]);
        for length in 0..file.len() {
            read(&file[..length], |_, _| ()).unwrap_err();
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            error(&damaged);
        }
        assert_eq!(error(b"something"), StateError::Foreign);
        assert_eq!(error(b""), StateError::Foreign);
        let mut newer = file.clone();
        newer[8] = 3;
        assert_eq!(error(&newer), StateError::Version(3));
        let mut longer = file;
        longer.push(0);
        assert_eq!(error(&longer), StateError::Damaged);
    }

    #[test]
    fn no_record_is_longer_than_the_buffer() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let chain = vec![0; BUFFER];
        let record = Record::Certificate(SavedCertificate { chain: &chain, ..Default::default() });
        assert!(writer.add(&record).is_err());
        let mut file = Vec::new();
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&u32::MAX.to_le_bytes());
        file.resize(4 * BUFFER, 0);
        assert_eq!(error(&file), StateError::Damaged);
    }
}
