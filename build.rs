//! Generates bindings for the server headers that pgrx leaves out.
//!
//! pgrx treats `Port` as opaque, and its layout differs in every major version and by configure
//! options, so it is generated from the headers of the very server the extension is built for.
//! Types that pgrx has (`List`, `Node` …) are taken from pgrx, those of OpenSSL from `openssl-sys`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Types wanted from the headers; what they need comes along.
const TYPES: &[&str] = &[
    "AuthToken",
    "HbaLine",
    "IdentLine",
    "Port",
    "TokenizedAuthLine",
    "pg_regex_t",
    "pg_regmatch_t",
];
/// Variables wanted from the headers. `MyClientConnectionInfo` exists since PostgreSQL 16.
const VARIABLES: &[&str] = &[
    "ClientAuthentication_hook",
    "MyClientConnectionInfo",
    "MyProcPort",
    "REG_ADVANCED",
    "REG_ESPACE",
    "REG_NOMATCH",
    "REG_OKAY",
    "openssl_tls_init_hook",
    "ssl_ca_file",
    "ssl_crl_dir",
    "ssl_crl_file",
];
/// Functions wanted from the headers. Those of the server that can raise an error have to be called
/// through a guard.
const FUNCTIONS: &[&str] = &[
    "free_auth_file",
    "hba_authname",
    "open_auth_file",
    "parse_hba_line",
    "parse_ident_line",
    "pg_regcomp",
    "pg_regerror",
    "pg_regexec",
    "pg_regfree",
    "tokenize_auth_file",
];
/// Types that come from pgrx or openssl-sys instead of being generated again.
const TAKEN_FROM_ELSEWHERE: &[&str] =
    &["List", "ListCell", "NodeTag", "ssl_ctx_st", "ssl_st", "x509_st"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=src/pg/server/server.h");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PGRX_PG_CONFIG_PATH");

    let pg_config = PgConfig::find()?;
    let include = pg_config.ask("--includedir-server")?;
    println!("cargo:rerun-if-changed={include}/pg_config.h");
    require_openssl(Path::new(&include))?;

    println!("cargo:rustc-env=PGTLS_OPENSSL_BUILT={}", openssl_built_against());

    let mut builder = bindgen::Builder::default()
        .header("src/pg/server/server.h")
        .clang_arg(format!("-I{include}"))
        .clang_args(pg_config.ask("--cppflags")?.split_whitespace())
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .derive_default(false)
        .layout_tests(true)
        .merge_extern_blocks(true)
        // Hooks are called through pointers of these types, and a hook may raise.
        .override_abi(bindgen::Abi::CUnwind, ".*")
        .raw_line("use openssl_sys::{SSL as ssl_st, SSL_CTX as ssl_ctx_st, X509 as x509_st};")
        .raw_line("use pgrx::pg_sys::List;");
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TAKEN_FROM_ELSEWHERE {
        builder = builder.blocklist_type(name);
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("server.rs");
    builder.generate()?.write_to_file(out)?;
    Ok(())
}

/// The `pg_config` of the server to build for.
struct PgConfig(PathBuf);

impl PgConfig {
    /// The program named by `PGRX_PG_CONFIG_PATH` (as pgrx itself takes it), whose major version
    /// has to be the one of the enabled feature.
    fn find() -> Result<Self, Box<dyn std::error::Error>> {
        let path = env::var_os("PGRX_PG_CONFIG_PATH")
            .ok_or("set PGRX_PG_CONFIG_PATH to the pg_config of the server to build for")?;
        let found = Self(path.into());
        let version = found.ask("--version")?;
        let feature = ["15", "16", "17", "18", "19"]
            .into_iter()
            .find(|major| env::var_os(format!("CARGO_FEATURE_PG{major}")).is_some())
            .ok_or("enable one of the features pg15, pg16, pg17, pg18, pg19")?;
        let major: String = version
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        if major != feature {
            return Err(
                format!("feature pg{feature} is enabled, but pg_config says {version}").into()
            );
        }
        Ok(found)
    }

    /// What the program answers to one of its options.
    fn ask(&self, option: &str) -> Result<String, Box<dyn std::error::Error>> {
        let output = Command::new(&self.0).arg(option).output()?;
        if !output.status.success() {
            return Err(format!("{} {option} failed: {}", self.0.display(), output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// The version of OpenSSL's headers, which `openssl-sys` tells the packages that depend on it:
/// since 3.0 `MNN00PP0` in hexadecimal.
fn openssl_built_against() -> String {
    let number = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    match u64::from_str_radix(&number, 16) {
        Ok(number) => {
            let (major, minor, patch) = (number >> 28, number >> 20 & 0xff, number >> 4 & 0xff);
            if major >= 3 {
                return format!("OpenSSL {major}.{minor}.{patch}");
            }
            // Before 3.0: `MNNFFPPS`, where PP counts the letter behind the version, 1 for `a`.
            let fix = number >> 12 & 0xff;
            let letter = u8::try_from(patch).ok().filter(|patch| (1..=26).contains(patch));
            let letter = letter.map(|patch| char::from(b'a' + patch - 1).to_string());
            format!("OpenSSL {major}.{minor}.{fix}{}", letter.unwrap_or_default())
        }
        Err(_) => "OpenSSL".to_owned(),
    }
}

/// Without OpenSSL in the server there is no `SSL` object to look at, and `Port` has another
/// layout.
#[allow(clippy::disallowed_methods, reason = "runs at build time")]
fn require_openssl(include: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let config = std::fs::read_to_string(include.join("pg_config.h"))?;
    if config.lines().any(|line| line.split_whitespace().eq(["#define", "USE_OPENSSL", "1"])) {
        return Ok(());
    }
    Err("this PostgreSQL was built without OpenSSL (--with-ssl=openssl), there is nothing for pgtls_ext to show".into())
}
