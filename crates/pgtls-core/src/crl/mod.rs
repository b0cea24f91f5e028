//! Certificate revocation lists (RFC 5280, section 5), of any size.
//!
//! Owns reading them: from PEM or DER, one or many per file ([`parse_crls`]), their fields and
//! extensions, the entry of a serial number, and the check of the signature. Whether a list is
//! *the* list for a certificate is for [`revocation`](crate::verify::revocation) to say.
//!
//! A list of a million entries has to cost little: the file's buffer is decoded in place and kept,
//! one walk over the DER checks it and notes where each entry starts, and everything else borrows
//! from these bytes and is decoded when asked for. What stays in memory is the DER and four bytes
//! per entry. Cloning a [`Crl`] shares them.
//!
//! Where OpenSSL is lenient (a broken extension counts as absent, a malformed date is found out
//! only when it is compared) this module is lenient in the same way, because its readers ask what
//! the server will do, and the server asks OpenSSL.
//!
//! This is one of the two parts of the core that use `openssl` (the other is `trust`): a signature
//! is good if the library that the server uses says so.

mod bundle;
mod entry;
mod index;
mod signature;

use std::ops::Range;
use std::sync::{Arc, Mutex};

pub use bundle::{Member, parse_crls};
pub use entry::{Entry, Reason};
pub use signature::SignatureCheck;

use crate::asn1::ber;
use crate::asn1::der::{self, Element, Fault, Reader};
use crate::asn1::oid::Oid;
use crate::asn1::template;
use crate::crl::entry::{Field, RawEntry};
use crate::crl::index::SerialIndex;
use crate::error::Error;
use crate::pem;
use crate::time::UnixTime;
use crate::work;
use crate::x509::algorithm::Algorithm;
use crate::x509::distribution_point::{DistributionPoint, IssuingDistributionPoint};
use crate::x509::extension::{AuthorityKeyId, RawExtension};
use crate::x509::general_name::{GeneralName, GeneralNameKind};
use crate::x509::name::Name;
use crate::x509::serial::Serial;

/// What an error calls the input of this module.
const EXPECTED: &str = pem::CRL.expected;

/// Most bytes of a list, a hundred times the largest ones that CAs publish: offsets take 32 bits.
const MAX_BYTES: usize = 0xffff_ffff;

/// OIDs of the extensions of lists, as content octets.
mod oids {
    pub(super) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
    pub(super) const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
    pub(super) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
    pub(super) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
    pub(super) const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];
}

/// A revocation list. Clones share their data.
#[derive(Debug, Clone)]
pub struct Crl(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The bytes of the whole file, PEM already decoded; shared by the lists in it.
    file: Arc<Vec<u8>>,
    /// Where this list is in `file`. All other ranges count from its start.
    list: Range<usize>,
    /// How many bytes it was read from; as BER it may have been longer.
    input: usize,
    tbs: Range<usize>,
    /// What was signed, if the list came as BER and `tbs` is not it.
    signed: Option<Box<[u8]>>,
    signature: Range<usize>,
    signature_algorithm: Range<usize>,
    tbs_signature_algorithm: Range<usize>,
    version: Option<i64>,
    issuer: Name,
    issuer_canonical: Vec<u8>,
    this_update: ListTime,
    next_update: NextUpdate,
    entries: Range<usize>,
    index: SerialIndex,
    extensions: Extensions,
    judgement: Judgement,
    /// Outcomes of the signature check by issuer key. A list is signed by one key; a few keys are
    /// room for key rollover.
    checked: Mutex<Vec<(Vec<u8>, SignatureCheck)>>,
}

/// The end of a list's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextUpdate {
    /// The list does not say, so it never gets stale.
    Never,
    /// From this second on the list is stale.
    At(UnixTime),
    /// The list's date does not have the form RFC 5280 asks for, which OpenSSL takes for an error.
    Malformed,
}

/// A date of the list.
#[derive(Debug, Clone, Copy)]
struct ListTime {
    /// The instant, in any form that OpenSSL can read.
    instant: Option<UnixTime>,
    /// Whether it has the form that `X509_cmp_time` insists on.
    is_plain: bool,
}

#[derive(Debug, Default)]
struct Extensions {
    number: Option<Serial>,
    base_number: Option<Serial>,
    authority_key_id: Option<AuthorityKeyId>,
    issuing_distribution_point: Option<IssuingDistributionPoint>,
    freshest: Option<Vec<DistributionPoint>>,
    broken: Vec<&'static str>,
}

/// What the entries mean for the list as a whole.
#[derive(Debug, Default)]
struct Judgement {
    unhandled_critical: Option<UnhandledCritical>,
    /// Where the entries are, among the others, that name another issuer, which then holds for
    /// those that follow. Not the names: there may be as many as entries.
    issuers: Vec<u32>,
    /// From this offset among the entries on OpenSSL looks at no extension of an entry, because one
    /// before it was broken.
    ignored_from: Option<usize>,
}

/// A critical extension that OpenSSL does not process, so that it makes no use of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnhandledCritical {
    /// Its type.
    pub oid: Oid<'static>,
    /// Whether an entry has it, rather than the list.
    pub in_entry: bool,
}

/// Where an entry starts; to walk over the entries of a list without borrowing it in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(usize);

impl Crl {
    /// Reads one list from its DER, and nothing behind it.
    pub fn from_der(der: Vec<u8>) -> Result<Self, Error> {
        let length = der.len();
        let crl = Self::parse(Arc::new(der), 0..length)?;
        if crl.0.input < length {
            let fault = Fault::new(crl.0.input, "bytes after the list");
            return Err(fault.into_error(EXPECTED));
        }
        Ok(crl)
    }

    /// Reads the list at the start of a range of `file`. Data behind it is ignored, as
    /// `d2i_X509_CRL` ignores it.
    fn parse(file: Arc<Vec<u8>>, range: Range<usize>) -> Result<Self, Error> {
        let bytes = file.get(range.clone()).unwrap_or_default();
        let inner = match Inner::walk(bytes) {
            Ok(mut inner) => {
                inner.list = range.start..range.start + inner.list.end;
                inner.file = file;
                Ok(inner)
            }
            Err(fault) if fault.is_ber() => Inner::from_ber(bytes),
            Err(fault) => Err(fault),
        };
        Ok(Self(Arc::new(inner.map_err(|fault| fault.into_error(EXPECTED))?)))
    }

    /// The DER of the list.
    pub fn as_der(&self) -> &[u8] {
        self.0.file.get(self.0.list.clone()).unwrap_or_default()
    }

    /// How many bytes the list was read from.
    fn input_bytes(&self) -> usize {
        self.0.input
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.as_der().get(range.clone()).unwrap_or_default()
    }

    /// The version as people count it: 1 or 2. OpenSSL takes any; `None` is one out of all
    /// proportion.
    pub fn version(&self) -> Option<i64> {
        self.0.version
    }

    /// Who issued the list.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// The issuer in the form in which equal names are equal bytes.
    pub(crate) fn issuer_canonical(&self) -> &[u8] {
        &self.0.issuer_canonical
    }

    /// The signature algorithm by OpenSSL's long name, dotted if it has none.
    pub fn signature_algorithm(&self) -> String {
        let mut parts = match Reader::new(self.signature_algorithm_der(), 0).any() {
            Ok(algorithm) => algorithm.inside(),
            Err(_) => return String::new(),
        };
        parts.any().map(|oid| Oid::borrowed(oid.content).long().into_owned()).unwrap_or_default()
    }

    /// DER of the AlgorithmIdentifier of the signature.
    fn signature_algorithm_der(&self) -> &[u8] {
        self.part(&self.0.signature_algorithm)
    }

    /// The signature, which tells this list from any other.
    pub fn signature(&self) -> &[u8] {
        // The first octet of a bit string counts unused bits.
        self.part(&self.0.signature).get(1..).unwrap_or_default()
    }

    /// When the list was made; `None` if the date is none.
    pub fn this_update(&self) -> Option<UnixTime> {
        self.0.this_update.instant
    }

    /// [`this_update`](Self::this_update) if the date has the form RFC 5280 asks for; OpenSSL
    /// refuses to use the list otherwise.
    pub(crate) fn this_update_plain(&self) -> Option<UnixTime> {
        self.0.this_update.instant.filter(|_| self.0.this_update.is_plain)
    }

    /// When the next one is due.
    pub fn next_update(&self) -> NextUpdate {
        self.0.next_update
    }

    /// What is malformed, as clauses; the column that it would have filled is absent.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.this_update_plain().is_none() {
            problems.push("the date of thisUpdate is malformed".to_owned());
        }
        if self.next_update() == NextUpdate::Malformed {
            problems.push("the date of nextUpdate is malformed".to_owned());
        }
        problems
    }

    /// How many entries the list has.
    pub fn revoked_count(&self) -> usize {
        self.0.index.len()
    }

    /// The list's number (RFC 5280, section 5.2.3).
    pub fn number(&self) -> Option<&Serial> {
        self.0.extensions.number.as_ref()
    }

    /// In a delta list, the number of the list it is a delta to (RFC 5280, section 5.2.4).
    pub fn base_number(&self) -> Option<&Serial> {
        self.0.extensions.base_number.as_ref()
    }

    /// Whether this is a delta list.
    pub fn is_delta(&self) -> bool {
        self.base_number().is_some()
    }

    /// Which key signed (RFC 5280, section 5.2.1).
    pub fn authority_key_id(&self) -> Option<&AuthorityKeyId> {
        self.0.extensions.authority_key_id.as_ref()
    }

    /// Which certificates the list is about, if not about all of its issuer.
    pub fn issuing_distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.0.extensions.issuing_distribution_point.as_ref()
    }

    /// Where delta lists to this one are (RFC 5280, section 5.2.6).
    pub fn freshest(&self) -> Option<&[DistributionPoint]> {
        self.0.extensions.freshest.as_deref()
    }

    /// The first critical extension, of the list or of an entry, that makes OpenSSL refuse the list
    /// (error 36).
    pub fn unhandled_critical(&self) -> Option<&UnhandledCritical> {
        self.0.judgement.unhandled_critical.as_ref()
    }

    /// Names of the extensions that are there but broken or doubled, which OpenSSL takes for
    /// absent.
    pub fn broken_extensions(&self) -> &[&'static str] {
        &self.0.extensions.broken
    }

    /// The entries in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(move || {
            let (entry, next) = self.entry_at(cursor)?;
            cursor = next;
            Some(entry)
        })
    }

    /// The entry at a cursor and the cursor of the one behind it; `None` behind the last.
    pub fn entry_at(&self, cursor: Cursor) -> Option<(Entry<'_>, Cursor)> {
        let entries = self.part(&self.0.entries);
        let mut reader = Reader::new(entries.get(cursor.0..)?, cursor.0);
        let entry = RawEntry::read(&mut reader).ok()?.decode().ok()?;
        Some((entry, Cursor(reader.offset())))
    }

    /// The entry of the certificate that the list's issuer gave this serial number. Of several the
    /// first in the file counts, as in OpenSSL.
    pub fn lookup(&self, serial: &Serial) -> Option<Entry<'_>> {
        self.lookup_of(serial, self.issuer_canonical())
    }

    /// As [`lookup`](Self::lookup), for a certificate of the issuer with this canonical name
    /// (OpenSSL: `def_crl_lookup`, `crl_revoked_issuer_match`).
    pub(crate) fn lookup_of(&self, serial: &Serial, issuer: &[u8]) -> Option<Entry<'_>> {
        let entries = self.part(&self.0.entries);
        let mut found = self.0.index.find(entries, serial.as_bytes()).map(position);
        let found = found.find(|offset| self.issuer_matches(*offset, issuer))?;
        let (mut entry, _) = self.entry_at(Cursor(found))?;
        if self.0.judgement.ignored_from.is_some_and(|from| found >= from) {
            entry.reason = None;
        }
        Some(entry)
    }

    fn issuer_matches(&self, offset: usize, issuer: &[u8]) -> bool {
        let Judgement { issuers, ignored_from, .. } = &self.0.judgement;
        let before = issuers.partition_point(|start| position(*start) <= offset);
        match before.checked_sub(1).and_then(|last| issuers.get(last)) {
            Some(start) if ignored_from.is_none_or(|from| offset < from) => {
                let names = self.issuer_named_at(position(*start)).unwrap_or_default();
                names.iter().any(|name| is_named(name, issuer))
            }
            _ => issuer == self.issuer_canonical(),
        }
    }

    /// The names in the certificateIssuer extension of an entry.
    fn issuer_named_at(&self, offset: usize) -> Option<Vec<GeneralName>> {
        let entry = self.part(&self.0.entries).get(offset..)?;
        let entry = RawEntry::read(&mut Reader::new(entry, offset)).ok()?;
        match entry.effect().ok()?.issuer {
            Field::Is(extension) => extension.decode(entry::certificate_issuer).ok(),
            _ => None,
        }
    }

    /// Bytes of memory that this list holds, without what it shares with other lists of its file.
    pub fn memory(&self) -> usize {
        size_of::<Inner>() + self.0.list.len() + self.0.index.size()
    }
}

/// Two are equal if they are the same bytes.
impl PartialEq for Crl {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_der() == other.as_der()
    }
}

impl Eq for Crl {}

/// Whether a general name is the directory name with this canonical form.
fn is_named(general: &GeneralName, canonical: &[u8]) -> bool {
    general.kind() == GeneralNameKind::DirName
        && Name::from_der(general.as_bytes()).is_ok_and(|name| name.canonical() == canonical)
}

impl Inner {
    /// Reads a list in BER, by way of a copy in DER. What was signed is the bytes as they came.
    fn from_ber(bytes: &[u8]) -> Result<Self, Fault> {
        template::check(bytes, &template::CRL)?;
        work::expect(bytes.len().saturating_mul(ber::MEMORY_FACTOR));
        let (definite, used) = ber::to_definite(bytes)?;
        let mut inner = Self::walk(&definite)?;
        inner.input = used;
        let rest = bytes.get(der::header_size(bytes)?..).unwrap_or_default();
        let (_, length) = ber::to_definite(rest)?;
        inner.signed = Some(rest.get(..length).unwrap_or_default().into());
        inner.file = Arc::new(definite);
        Ok(inner)
    }

    /// Reads and checks a CertificateList (RFC 5280, section 5.1), front to back, once.
    fn walk(bytes: &[u8]) -> Result<Self, Fault> {
        let list = Reader::new(bytes, 0).expect(der::SEQUENCE, "a SEQUENCE")?;
        let mut parts = list.inside();
        let tbs = parts.expect(der::SEQUENCE, "tbsCertList")?;
        let outer_algorithm = Algorithm::read(&mut parts, "a signature algorithm")?.element;
        let signature = parts.expect(der::BIT_STRING, "a signature")?;
        signature.bits()?;
        parts.end()?;

        let mut fields = tbs.inside();
        let version = match fields.optional(der::INTEGER)? {
            Some(version) => {
                version.integer()?;
                version.small_integer().ok().and_then(|number| number.checked_add(1))
            }
            None => Some(1),
        };
        let inner_algorithm = Algorithm::read(&mut fields, "a signature algorithm")?.element;
        let issuer_element = fields.expect_list(der::SEQUENCE, "an issuer")?;
        let issuer = Name::from_element(&issuer_element)?;
        for (element, item, field) in [
            (outer_algorithm, &template::ALGORITHM, "signatureAlgorithm"),
            (inner_algorithm, &template::ALGORITHM, "signature"),
            (issuer_element, &template::NAME, "issuer"),
        ] {
            let checked = template::check(element.raw, item);
            checked.map_err(|fault| fault.moved_by(element.offset).within(field))?;
        }
        let this_update = list_time(&fields.expect_time("thisUpdate")?);
        let next_update = match fields.optional_time()?.as_ref().map(list_time) {
            None => NextUpdate::Never,
            Some(ListTime { instant: Some(time), is_plain: true }) => NextUpdate::At(time),
            Some(_) => NextUpdate::Malformed,
        };
        let entries = fields.optional_list(der::SEQUENCE)?;
        let mut judgement = Judgement::default();
        let extensions = match fields.optional(0xa0)? {
            Some(tagged) => {
                let mut tagged = tagged.inside();
                let list = tagged.expect_list(der::SEQUENCE, "extensions")?;
                tagged.end()?;
                Extensions::read(list.inside(), &mut judgement)?
            }
            None => Extensions::default(),
        };
        fields.end()?;

        let (entries, index) = match entries {
            Some(entries) => (entries.content_range(), judgement.walk_entries(&entries)?),
            None => (0..0, SerialIndex::default()),
        };
        Ok(Self {
            file: Arc::default(),
            list: 0..list.raw.len(),
            input: list.raw.len(),
            tbs: tbs.raw_range(),
            signed: None,
            signature: signature.content_range(),
            signature_algorithm: outer_algorithm.raw_range(),
            tbs_signature_algorithm: inner_algorithm.raw_range(),
            version,
            issuer_canonical: issuer.canonical(),
            issuer,
            this_update,
            next_update,
            entries,
            index,
            extensions,
            judgement,
            checked: Mutex::default(),
        })
    }
}

/// Offsets are kept in 32 bits: four bytes per entry instead of eight.
fn narrow(offset: usize) -> Result<u32, Fault> {
    u32::try_from(offset).map_err(|_| Fault::too_large(offset, EXPECTED, MAX_BYTES))
}

/// The offset that [`narrow`] made small.
fn position(narrow: u32) -> usize {
    usize::try_from(narrow).unwrap_or(usize::MAX)
}

fn list_time(element: &Element<'_>) -> ListTime {
    ListTime { instant: element.time().ok(), is_plain: element.is_plain_time() }
}

impl Extensions {
    fn read(mut list: Reader<'_>, judgement: &mut Judgement) -> Result<Self, Fault> {
        let mut number = Field::Absent;
        let mut base_number = Field::Absent;
        let mut authority_key_id = Field::Absent;
        let mut issuing_distribution_point = Field::Absent;
        let mut freshest = Field::Absent;
        while !list.is_empty() {
            let extension = RawExtension::read(&mut list)?;
            let handled = match extension.oid.content {
                oids::CRL_NUMBER => {
                    fill(&mut number, extension.decode(integer));
                    false
                }
                oids::DELTA_INDICATOR => {
                    fill(&mut base_number, extension.decode(integer));
                    true
                }
                oids::AUTHORITY_KEY_ID => {
                    fill(&mut authority_key_id, extension.decode(AuthorityKeyId::read));
                    true
                }
                oids::ISSUING_DISTRIBUTION_POINT => {
                    fill(
                        &mut issuing_distribution_point,
                        extension.decode(IssuingDistributionPoint::read),
                    );
                    true
                }
                oids::FRESHEST_CRL => {
                    fill(&mut freshest, extension.decode(DistributionPoint::read_all));
                    false
                }
                _ => false,
            };
            if extension.critical && !handled {
                judgement.note_critical(extension.oid.content, false);
            }
        }
        let mut broken = Vec::new();
        Ok(Self {
            number: keep(number, "CRL number", &mut broken),
            base_number: keep(base_number, "delta CRL indicator", &mut broken),
            authority_key_id: keep(authority_key_id, "authority key identifier", &mut broken),
            issuing_distribution_point: keep(
                issuing_distribution_point,
                "issuing distribution point",
                &mut broken,
            ),
            freshest: keep(freshest, "freshest CRL", &mut broken),
            broken,
        })
    }
}

/// Takes a value for a field that may be there once.
fn fill<T>(field: &mut Field<T>, value: Result<T, Fault>) {
    *field = match (&field, value) {
        (Field::Absent, Ok(value)) => Field::Is(value),
        _ => Field::Broken,
    };
}

fn keep<T>(field: Field<T>, name: &'static str, broken: &mut Vec<&'static str>) -> Option<T> {
    match field {
        Field::Is(value) => Some(value),
        Field::Absent => None,
        Field::Broken => {
            broken.push(name);
            None
        }
    }
}

fn integer(mut value: Reader<'_>) -> Result<Serial, Fault> {
    let element = value.expect(der::INTEGER, "a number")?;
    element.integer()?;
    Serial::from_element(&element)
}

impl Judgement {
    fn note_critical(&mut self, oid: &[u8], in_entry: bool) {
        self.unhandled_critical.get_or_insert_with(|| UnhandledCritical {
            oid: Oid::borrowed(oid).into_owned(),
            in_entry,
        });
    }

    /// Checks every entry, notes what its extensions mean, and indexes it.
    fn walk_entries(&mut self, list: &Element<'_>) -> Result<SerialIndex, Fault> {
        let mut builder = index::Builder::new();
        let mut entries = list.inside();
        let start = entries.offset();
        while !entries.is_empty() {
            let entry = RawEntry::read(&mut entries)?;
            work::between_some(builder.len());
            let offset = entry.offset - start;
            if offset == 0 {
                builder.reserve(list.content.len() / (entries.offset() - start) + 1);
            }
            builder.push(narrow(offset)?, entry.serial.content);
            if entry.extensions.is_some() {
                self.judge(&entry, offset)?;
            }
        }
        Ok(builder.finish(list.content))
    }

    fn judge(&mut self, entry: &RawEntry<'_>, offset: usize) -> Result<(), Fault> {
        let effect = entry.effect()?;
        if self.ignored_from.is_some() {
            return Ok(());
        }
        match effect.issuer {
            Field::Broken => {
                self.ignored_from = Some(offset);
                return Ok(());
            }
            Field::Is(_) => work::push(&mut self.issuers, narrow(offset)?),
            Field::Absent => {}
        }
        if let Field::Broken = effect.reason {
            // The issuer of this very entry still counts.
            self.ignored_from = Some(offset + 1);
            return Ok(());
        }
        if let Some(oid) = effect.unhandled_critical {
            self.note_critical(oid, true);
        }
        Ok(())
    }
}
