//! What the instance judges new logins by. The one owner of that answer.
//!
//! A process that the server forked after its last reload has inherited the TLS context in force,
//! and looks into that. One that is older reads what a younger one has written down
//! ([`super::publication`]). Which of the two it is, is known from a generation that the postmaster
//! counts.

use std::cell::{OnceCell, RefCell};
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openssl::x509::X509;
use serde::{Deserialize, Serialize};

use crate::pg::connection::tls;
use crate::pg::memory;
use crate::pg::openssl::server_context::{Material, ServerContext};
use crate::pg::openssl::trust_store::{self, TrustStore};
use crate::pg::openssl::verify;
use crate::pg::recorder::segment::Segment;
use crate::pg::recorder::{publication, reload};
use crate::pg::server::files;
use crate::pg::server::memory_file::MemoryFile;
use crate::pg::server::tls_settings::TlsSettings;

/// Where it is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The TLS context of the server.
    Context,
    /// The files as they were right after the last reload: under `ssl_sni` the server shows no
    /// context.
    Files,
    /// TLS is off.
    Nothing,
}

impl Origin {
    const ALL: &[Self] = &[Self::Context, Self::Files, Self::Nothing];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Files => "files",
            Self::Nothing => "nothing",
        }
    }

    /// By that word.
    pub(in crate::pg) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|origin| origin.as_str() == name)
    }
}

/// What new logins are judged by.
pub(crate) struct InForce {
    /// Counted by the postmaster.
    pub(in crate::pg) generation: u64,
    /// When it was loaded, in microseconds of the server's epoch; `None` if that is not known.
    pub(crate) loaded_at: Option<i64>,
    pub(crate) origin: Origin,
    /// Whether clients are asked for a certificate.
    pub(crate) asks_clients: bool,
    /// Whether every certificate of a chain needs a list.
    pub(crate) checks_crls: bool,
    /// The lowest and the highest protocol version, by their numbers on the wire; 0 for no limit.
    pub(crate) protocols: (c_int, c_int),
    /// OpenSSL's security level.
    pub(crate) security_level: c_int,
    /// The TLS settings as they were when it was loaded.
    pub(crate) settings: TlsSettings,
    /// The certificate that the server shows, and those that it sends along.
    pub(in crate::pg) chain: Vec<X509>,
    /// Whom it trusts, and the lists that it knows, but for those of `ssl_crl_dir`.
    pub(in crate::pg) material: Material,
    pub(in crate::pg) store: OnceCell<Result<TrustStore, String>>,
}

/// Why it is not known what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The library is not preloaded: the files are all that can be known.
    NotPreloaded,
    /// Nothing was published that this process can use, with the reason.
    NotPublished(String),
}

/// Files that are to take the place of those in force.
#[derive(Default)]
pub(crate) struct Replaced {
    /// Of `ssl_ca_file`.
    authorities: Option<Material>,
    /// Of `ssl_crl_file`.
    crls: Option<Material>,
    /// Whether every certificate then needs a CRL, if that changes.
    checks_crls: Option<bool>,
}

impl Replaced {
    /// Has this text be `ssl_ca_file`; or says why the server could not load it.
    pub(crate) fn set_authorities(&mut self, text: &MemoryFile) -> Result<(), String> {
        self.authorities = Some(trust_store::authorities_in(text.path())?);
        Ok(())
    }

    /// The same of `ssl_crl_file`.
    pub(crate) fn set_crls(&mut self, text: &MemoryFile) -> Result<(), String> {
        self.crls = Some(trust_store::crls_in(text.path())?);
        self.checks_crls = Some(true);
        Ok(())
    }

    /// Leaves `ssl_crl_file` unset. Without `ssl_crl_dir` no certificate needs a CRL then.
    pub(crate) fn unset_crls(&mut self, has_directory: bool) {
        self.crls = Some(Material::default());
        self.checks_crls = Some(has_directory);
    }
}

/// How long a reader waits for a publication that is about to come.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);

/// Two of these are the same only if the same is in force, and known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    generation: u64,
    publication: u64,
}

/// The numbers of what is in force now; `None` without preloading.
pub(crate) fn numbers() -> Option<Numbers> {
    let shared = Segment::in_child()?.shared();
    Some(Numbers {
        generation: shared.generation.load(Ordering::Acquire),
        publication: shared.publications.load(Ordering::Acquire),
    })
}

/// What was read of a publication, and its numbers.
type Kept = (Numbers, Rc<InForce>);

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// What is in force now.
pub(crate) fn current() -> Result<Rc<InForce>, Unknown> {
    let segment = Segment::in_child().ok_or(Unknown::NotPreloaded)?;
    let mut waited = Duration::ZERO;
    loop {
        let shared = segment.shared();
        let numbers = numbers().ok_or(Unknown::NotPreloaded)?;
        let generation = numbers.generation;
        let known = KEPT.with_borrow(|kept| {
            kept.as_ref().filter(|kept| kept.0 == numbers).map(|kept| kept.1.clone())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        // What is outdated goes first: the old and the new content of a large file need not be
        // there at once.
        KEPT.set(None);
        let found = if generation == reload::generation() && !reload::inherited().is_null() {
            InForce::inherited().ok_or_else(|| "is not known".to_owned())
        } else if shared.published.load(Ordering::Acquire) == generation {
            publication::read().and_then(|(_, it)| match it.generation == generation {
                true => Ok(it),
                false => Err("is being replaced".to_owned()),
            })
        } else {
            Err("nothing was published since the last reload".to_owned())
        };
        match found {
            Ok(in_force) => {
                let in_force = Rc::new(in_force);
                KEPT.set(Some((numbers, in_force.clone())));
                return Ok(in_force);
            }
            Err(why) if waited >= PATIENCE => return Err(Unknown::NotPublished(why)),
            Err(_) => {
                memory::check_for_interrupts();
                std::thread::sleep(STEP);
                waited += STEP;
            }
        }
    }
}

/// The certificates of `ssl_cert_file`.
fn own_chain(settings: &TlsSettings) -> Result<Vec<X509>, String> {
    let path = settings.path(c"ssl_cert_file").unwrap_or_default();
    let pem = files::open(&path).and_then(files::Readable::read)?;
    X509::stack_from_pem(&pem).map_err(|problem| trust_store::reason(&problem))
}

/// The same in DER.
pub(crate) fn own_chain_der(settings: &TlsSettings) -> Result<Vec<Vec<u8>>, String> {
    Ok(own_chain(settings)?.iter().filter_map(|one| one.to_der().ok()).collect())
}

/// Whether what is in force was published for the processes that cannot look for themselves.
pub(crate) fn is_published() -> bool {
    Segment::in_child().is_none_or(|segment| {
        let shared = segment.shared();
        let generation = shared.generation.load(Ordering::Acquire);
        [&shared.published, &shared.rules_published]
            .iter()
            .all(|published| published.load(Ordering::Acquire) == generation)
    })
}

impl InForce {
    /// As this process has inherited it; `None` if the server shows no context.
    pub(in crate::pg) fn inherited() -> Option<Self> {
        let context = reload::inherited();
        // SAFETY: the server keeps the context that was in force when it forked this process, and
        // frees it in none of its children.
        let (inherited, loaded) = unsafe { (ServerContext::new(context), reload::loaded(context)) };
        Some(Self::of_context(&inherited?, loaded?))
    }

    fn of_context(context: &ServerContext<'_>, loaded: &reload::Loaded) -> Self {
        Self {
            generation: reload::generation(),
            loaded_at: Some(loaded.at),
            origin: Origin::Context,
            asks_clients: context.asks_clients(),
            checks_crls: context.checks_crls(),
            protocols: context.protocols(),
            security_level: context.security_level(),
            settings: loaded.settings.clone(),
            chain: context.chain(),
            material: context.material(),
            store: OnceCell::new(),
        }
    }

    /// As the files are now, which is right after the server has read them. An error if one has
    /// changed since, which may or may not be what the server has read.
    pub(in crate::pg) fn of_files(read_at: i64) -> Result<Self, String> {
        let settings = TlsSettings::current();
        for name in [c"ssl_cert_file", c"ssl_ca_file", c"ssl_crl_file"] {
            let changed = settings.path(name).and_then(|path| files::last_change(&path));
            if settings.is_on() && changed.is_some_and(|changed| changed > read_at) {
                let name = name.to_string_lossy();
                return Err(format!("{name} has changed since the server read it"));
            }
        }
        let facts = settings.facts();
        let is_used = facts.enabled && facts.ca_file.is_some();
        Ok(Self {
            generation: reload::generation(),
            loaded_at: Some(reload::in_force_since()).filter(|at| *at != 0),
            origin: if facts.enabled { Origin::Files } else { Origin::Nothing },
            asks_clients: is_used,
            checks_crls: is_used && !facts.crls.is_empty(),
            protocols: (0, 0),
            security_level: verify::security_level(&settings)?,
            chain: if facts.enabled { own_chain(&settings)? } else { Vec::new() },
            material: if is_used { trust_store::material(&settings)? } else { Material::default() },
            settings,
            store: OnceCell::new(),
        })
    }

    /// The certificate that the server shows and those that it sends along, in DER.
    pub(crate) fn chain_der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().filter_map(|one| one.to_der().ok()).collect()
    }

    /// Whom the server trusts, in DER.
    pub(crate) fn authorities_der(&self) -> Vec<Vec<u8>> {
        self.material.certificates.iter().filter_map(|one| one.to_der().ok()).collect()
    }

    /// The signatures of the CRLs, which tell one from another.
    pub(crate) fn crl_signatures(&self) -> Vec<Vec<u8>> {
        let signatures = self.material.crls.iter().filter_map(|crl| tls::crl_signature(crl));
        signatures.map(<[u8]>::to_vec).collect()
    }

    /// The CRLs in DER that this says true of, by their signatures.
    pub(crate) fn crls_der(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let crls = self.material.crls.iter();
        let wanted = crls.filter(|crl| tls::crl_signature(crl).is_some_and(&wanted));
        wanted.filter_map(|crl| tls::crl_der(crl)).collect()
    }

    /// What clients' chains would be judged by, if these files took the place of those in force.
    pub(crate) fn store_with(&self, replaced: &Replaced) -> Result<TrustStore, String> {
        TrustStore::replacing(
            &self.material,
            replaced.authorities.as_ref(),
            replaced.crls.as_ref(),
            replaced.checks_crls.unwrap_or(self.checks_crls),
            self.settings.get(c"ssl_crl_dir"),
        )
    }

    /// What clients' chains are judged by.
    pub(crate) fn store(&self) -> Result<TrustStore, String> {
        let assemble = || {
            let directories = self.settings.get(c"ssl_crl_dir");
            TrustStore::of_material(&self.material, self.checks_crls, directories)
        };
        // OpenSSL looks into a directory while it judges, and what it finds stays in the store.
        if !self.settings.get(c"ssl_crl_dir").is_empty() {
            return assemble();
        }
        self.store.get_or_init(assemble).clone()
    }
}
