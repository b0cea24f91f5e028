//! The PostgreSQL installation under test, and the extension staged beside it.
//!
//! Nothing is written into the installation: the extension is taken from a tree that
//! `make install DESTDIR=…` made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::sys;
use crate::transplant::{copy, make_dirs, moved, transplant};

/// Names the staged tree.
const STAGE_VARIABLE: &str = "PGTLS_STAGE";

/// The extension under test.
pub const EXTENSION: &str = "pgtls_ext";

/// A PostgreSQL installation.
#[derive(Debug)]
pub struct Installation {
    /// Major version.
    pub version: u32,
    bindir: PathBuf,
    pkglibdir: PathBuf,
    sharedir: PathBuf,
}

impl Installation {
    /// The one that `PG_CONFIG` (default: `pg_config` in the path) describes.
    pub fn get() -> &'static Self {
        static INSTALLATION: OnceLock<Installation> = OnceLock::new();
        INSTALLATION.get_or_init(|| {
            let pg_config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
            let ask = |option: &str| {
                let output = Command::new(&pg_config).arg(option).output();
                let output = output.unwrap_or_else(|e| {
                    panic!("{pg_config}: {e}: set PG_CONFIG to the pg_config of the server to test")
                });
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            };
            let version = ask("--version");
            let major = version.split_whitespace().nth(1).and_then(|number| {
                number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            });
            Self {
                version: major.unwrap_or_else(|| panic!("{pg_config} says {version:?}")),
                bindir: ask("--bindir").into(),
                pkglibdir: ask("--pkglibdir").into(),
                sharedir: ask("--sharedir").into(),
            }
        })
    }

    /// A program of the installation, such as `psql`.
    pub fn program(&self, name: &str) -> Command {
        self.program_in(&self.bindir, name)
    }

    /// The same program in another directory.
    pub(crate) fn program_in(&self, bindir: &Path, name: &str) -> Command {
        let mut command = Command::new(bindir.join(name));
        // The caller's PGHOST, PGSSLMODE and so on must not decide what a test does.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command
    }

    /// Where the programs are.
    pub(crate) fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// Where the server's libraries are.
    pub fn pkglibdir(&self) -> &Path {
        &self.pkglibdir
    }

    /// Where the control files of extensions are.
    pub fn extension_dir(&self) -> PathBuf {
        self.sharedir.join("extension")
    }

    /// Whether the server can be told to look for extensions elsewhere: by a setting of PostgreSQL
    /// 18, or by one that Debian's older servers have.
    fn finds_extensions_elsewhere(&self) -> bool {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| {
            self.version >= 18 || {
                let settings = self.program("postgres");
                let settings = sys::run_as_server(with(settings, "--describe-config"));
                String::from_utf8_lossy(&settings.stdout).contains("extension_destdir")
            }
        })
    }
}

fn with(mut command: Command, argument: &str) -> Command {
    command.arg(argument).current_dir("/");
    command
}

/// A tree of files as they would be installed, below a directory that the server can read.
#[derive(Clone, Debug)]
pub struct Stage {
    root: PathBuf,
    /// The programs of a server that has what is staged installed.
    bindir: Option<PathBuf>,
}

impl Stage {
    /// The tree named by `PGTLS_STAGE`.
    ///
    /// # Panics
    /// If there is none, saying how to make it.
    pub fn of_extension() -> &'static Self {
        static STAGE: OnceLock<Stage> = OnceLock::new();
        STAGE.get_or_init(|| {
            let advice = "make install DESTDIR=/some/dir PG_CONFIG=… && export PGTLS_STAGE=/some/dir";
            let Some(tree) = std::env::var_os(STAGE_VARIABLE).map(PathBuf::from) else {
                panic!("{STAGE_VARIABLE} is not set: the extension under test is not known; run\n  {advice}")
            };
            let control = Installation::get().extension_dir().join(format!("{EXTENSION}.control"));
            assert!(
                below(&tree, &control).exists(),
                "{STAGE_VARIABLE}: no {}; run\n  {advice}",
                below(&tree, &control).display(),
            );
            Self::copy(&tree)
        })
    }

    /// Copies a staged tree to where the server's account can read it.
    pub fn copy(tree: &Path) -> Self {
        let root = sys::fresh_dir("stage-");
        sys::set_mode(&root, 0o755);
        let installation = Installation::get();
        let directories = [installation.pkglibdir.clone(), installation.extension_dir()];
        if installation.finds_extensions_elsewhere() {
            for directory in directories {
                copy_files(&below(tree, &directory), &below(&root, &directory));
            }
            return Self { root, bindir: None };
        }
        let prefix = installation.bindir.parent().expect("programs are in a directory");
        let own = directories.each_ref().map(PathBuf::as_path);
        let bindir = transplant(prefix, &installation.bindir, &own, &root);
        for directory in &directories {
            copy_files(&below(tree, directory), &moved(directory, prefix, &root));
        }
        Self { root, bindir: Some(bindir) }
    }

    /// Where the programs are of a server that finds what is staged.
    pub(crate) fn bindir(&self) -> &Path {
        self.bindir.as_deref().unwrap_or(Installation::get().bindir())
    }

    /// The settings that make a server find what is staged.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        if self.bindir.is_some() {
            return Vec::new();
        }
        let installation = Installation::get();
        let libraries = below(&self.root, &installation.pkglibdir);
        // For `shared_preload_libraries`, which names no directory.
        let libraries = ("dynamic_library_path", format!("{}:$libdir", libraries.display()));
        let shared = below(&self.root, &installation.sharedir);
        let scripts = if installation.version >= 18 {
            ("extension_control_path", format!("{}:$system", shared.display()))
        } else {
            // Debian's servers have this. It also has `$libdir/…` in a control file looked up here
            // first.
            ("extension_destdir", self.root.display().to_string())
        };
        vec![libraries, scripts]
    }
}

/// `path`, which is absolute, below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies the plain files of a directory, for everybody to read.
fn copy_files(from: &Path, to: &Path) {
    make_dirs(to);
    let entries = fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
