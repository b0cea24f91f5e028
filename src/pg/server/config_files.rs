//! What `postgresql.conf` and the files it includes say of settings, whether or not the server has
//! taken it over.
//!
//! They are read by the server's own parser. Where a setting comes from a place that counts for
//! more than these files (the command line, the environment), it has the value that it has.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::rc::Rc;

use pgrx::spi::Spi;
use pgrx::{PgMemoryContexts, pg_sys};

use crate::pg::datum::cstr;
use crate::pg::datum::text::lossless;
use crate::pg::server::settings;

/// The level that the parser reports at: below all that a client or the log can ask for.
const QUIET: c_int = 9;
/// The file that `ALTER SYSTEM` writes, in the data directory (`PG_AUTOCONF_FILENAME`).
const AUTO_FILE: &CStr = c"postgresql.auto.conf";

/// What the files say.
pub(crate) struct ConfigFiles {
    /// The last value of each name, as it stands there; names in lower case.
    values: HashMap<Vec<u8>, CString>,
    /// Where a value comes from and what it is by default, for those that were asked for.
    sources: Rc<Sources>,
    /// Why the server would not apply what the files say.
    pub(crate) problem: Option<String>,
    /// The file and line of it.
    pub(crate) problem_place: Option<(String, u32)>,
}

type Sources = HashMap<Vec<u8>, Source>;

/// What the sources of settings depend on: when this process loaded its configuration, the role that
/// asks, and the settings that it asks for.
#[derive(PartialEq, Eq)]
struct Asked {
    loaded_at: i64,
    role: pg_sys::Oid,
    names: Vec<CString>,
}

thread_local! {
    /// The sources that were asked for last: the server makes its view of all settings for that.
    static KNOWN: RefCell<Option<(Asked, Rc<Sources>)>> = const { RefCell::new(None) };
}

struct Source {
    is_of_file: bool,
    counts_for_more: bool,
    default: Option<CString>,
}

impl ConfigFiles {
    /// Reads the files, and asks where these settings come from.
    pub(crate) fn read(names: &[&CStr]) -> Self {
        let (values, problem) = values();
        let (problem, problem_place) = match problem {
            Some(Problem { text, place }) => (Some(text), place),
            None => (None, None),
        };
        Self { values, sources: sources(names), problem, problem_place }
    }

    /// The value of a setting after a reload; `None` for an empty one, or one that the server does
    /// not know.
    pub(crate) fn value(&self, name: &CStr) -> Option<CString> {
        let now = settings::bytes(name);
        let Some(source) = self.sources.get(name.to_bytes()) else { return now };
        if self.problem.is_some() || source.counts_for_more {
            return now;
        }
        let value = match self.values.get(name.to_bytes()) {
            Some(value) => canonical(value, now.as_deref()),
            // It was in a file, and is not any more.
            None if source.is_of_file => source.default.clone()?,
            None => return now,
        };
        Some(value).filter(|value| !value.is_empty())
    }
}

/// The value as the server shows it once it has it: booleans and the names of versions can be spelt
/// in several ways.
fn canonical(value: &CStr, now: Option<&CStr>) -> CString {
    let is_boolean = now.is_some_and(|now| now == c"on" || now == c"off");
    let mut truth = false;
    // SAFETY: a NUL-terminated text, and a place for the result.
    if is_boolean && unsafe { pg_sys::parse_bool(value.as_ptr(), &mut truth) } {
        return if truth { c"on" } else { c"off" }.to_owned();
    }
    match now {
        Some(now) if now.to_bytes().eq_ignore_ascii_case(value.to_bytes()) => now.to_owned(),
        _ => value.to_owned(),
    }
}

/// What is wrong with the files, and where.
struct Problem {
    text: String,
    place: Option<(String, u32)>,
}

/// The last value of each name, and what is wrong with the files.
fn values() -> (HashMap<Vec<u8>, CString>, Option<Problem>) {
    let mut memory = PgMemoryContexts::new("pgtls_ext configuration files");
    let mut values = HashMap::new();
    let mut problem = None;
    // SAFETY: NUL-terminated names and places for the list, which lives until the context is gone;
    // pgrx guards the calls.
    unsafe {
        memory.switch_to(|_| {
            let (mut head, mut tail) = (std::ptr::null_mut(), std::ptr::null_mut());
            let mut parse = |file| {
                let (file, none) = (file, std::ptr::null());
                pg_sys::ParseConfigFile(file, true, none, 0, 0, QUIET, &mut head, &mut tail)
            };
            let parsed = parse(pg_sys::ConfigFileName);
            // Without one, nothing was ever set by ALTER SYSTEM.
            let has_auto = std::path::Path::new("postgresql.auto.conf").exists();
            let parsed = parsed && (!has_auto || parse(AUTO_FILE.as_ptr()));
            let mut next: *mut pg_sys::ConfigVariable = head;
            while let Some(variable) = next.as_ref() {
                next = variable.next;
                if let Some(error) = cstr::bytes(variable.errmsg) {
                    let file = cstr::bytes(variable.filename).unwrap_or_default();
                    let line = u32::try_from(variable.sourceline).unwrap_or_default();
                    problem.get_or_insert_with(|| Problem {
                        text: lossless(error).into_owned(),
                        place: Some((lossless(file).into_owned(), line)),
                    });
                    continue;
                }
                let (Some(name), Some(value)) =
                    (cstr::bytes(variable.name), cstr::bytes(variable.value))
                else {
                    continue;
                };
                values.extend(
                    CString::new(value).ok().map(|value| (name.to_ascii_lowercase(), value)),
                );
            }
            if !parsed {
                let text = "the configuration files have errors".to_owned();
                problem.get_or_insert(Problem { text, place: None });
            }
        });
    }
    (values, problem)
}

/// Where the settings come from, as `pg_settings` shows it to the role that asks.
fn sources(names: &[&CStr]) -> Rc<Sources> {
    // SAFETY: reads of variables of this process.
    let asked = unsafe {
        Asked {
            loaded_at: (&raw const pg_sys::PgReloadTime).read(),
            role: pg_sys::GetUserId(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    };
    let known = KNOWN.with_borrow(|known| {
        let (of, sources) = known.as_ref()?;
        (*of == asked).then(|| Rc::clone(sources))
    });
    if let Some(known) = known {
        return known;
    }
    let Some(sources) = read_sources(names) else { return Rc::default() };
    let sources = Rc::new(sources);
    KNOWN.set(Some((asked, Rc::clone(&sources))));
    sources
}

/// The same from the server's view; `None` if it cannot be asked.
fn read_sources(names: &[&CStr]) -> Option<Sources> {
    const QUERY: &str =
        "SELECT name, source, boot_val FROM pg_catalog.pg_settings WHERE name = ANY ($1)";
    let names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let rows = Spi::connect(|client| {
        let mut sources = HashMap::new();
        for row in client.select(QUERY, None, &[names.into()])? {
            let (Some(name), Some(source)) = (row.get::<String>(1)?, row.get::<String>(2)?) else {
                continue;
            };
            let default = row.get::<String>(3)?.and_then(|default| CString::new(default).ok());
            let source = Source {
                is_of_file: source == "configuration file",
                counts_for_more: matches!(&*source, "command line" | "override"),
                default,
            };
            sources.insert(name.into_bytes(), source);
        }
        Ok::<_, pgrx::spi::Error>(sources)
    });
    rows.ok()
}
