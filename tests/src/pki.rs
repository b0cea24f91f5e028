//! A public key infrastructure for tests.
//!
//! [`Pki::standard`] has one member for every kind of certificate that the tests need by name;
//! [`Pki::issue`] and [`Pki::crl`] make any other, right or wrong. Made once per test binary; with
//! `PGTLS_TEST_PKI` naming a directory it is kept there, so that several runs use the very same
//! certificates. How a certificate is made is the business of `testpki`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::OnceLock;

use testpki::der::{self, now};
pub use testpki::{
    Cert, CertBuilder, Crl, CrlBuilder, CrlParts, DAY, Digest, Eku, Identity, IdentityFiles, Key,
    Name, Reason, Text, UNKNOWN_OID, many_serial, write_private,
};

/// The subject of [`Pki::long_dn`], as OpenSSL prints it in one line: far over 63 bytes, the CN
/// last.
pub const LONG_DN: &str = "/C=DE/O=Gesellschaft zur Erprobung langer Namen mit beschraenkter Haftung\
/OU=Department of Certificates That Are Longer Than One NAMEDATALEN/CN=long_dn";

/// Set to a directory to keep the standard PKI in.
const DIRECTORY_VARIABLE: &str = "PGTLS_TEST_PKI";

/// The standard CRLs end after 30 days; a kept PKI is refused well before.
const KEPT_AT_MOST: i64 = 20 * DAY;

/// The members of the standard PKI and a maker of others.
pub struct Pki {
    members: BTreeMap<String, Identity>,
    crls: BTreeMap<String, Crl>,
}

/// One accessor for each member, and the list of their names.
macro_rules! members {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        impl Pki {
            /// The names of all members.
            pub const MEMBERS: &'static [&'static str] = &[$(stringify!($name)),+];

            $($(#[doc = $doc])+ pub fn $name(&self) -> &Identity {
                self.member(stringify!($name))
            })+
        }
    };
}

members! {
    /// The root CA (RSA): what the server trusts for clients.
    root,
    /// The CA below the root (EC) that issues most clients.
    intermediate,
    /// A CA below the root that the root's CRL revokes.
    revoked_intermediate,
    /// The root CA of the server's certificate, not of clients.
    server_ca,
    /// A root CA that nobody trusts.
    other_root,
    /// The server: `localhost`, `127.0.0.1` and `::1` (RSA).
    server,
    /// `CN=alice`, the ordinary client: EC, issued by the intermediate, sends it.
    alice,
    /// `CN=bob`, another ordinary client.
    bob,
    /// `CN=direct`, issued by the root itself.
    direct,
    /// `CN=rsa`, with an RSA key.
    rsa,
    /// `CN=ed25519`, with an Ed25519 key.
    ed25519,
    /// `CN=self_signed`, signed with its own key.
    self_signed,
    /// `CN=untrusted`, issued by the root that nobody trusts.
    untrusted,
    /// [`LONG_DN`].
    long_dn,
    /// `O=Ünïcode Größe`, `CN=Жук`.
    utf8,
    /// `CN=` `a,b+c"d\e`, all that RFC 2253 escapes.
    special,
    /// One RDN of `CN=multi_rdn` and `OU=people`, after `O=Acme`.
    multi_rdn,
    /// `O=Acme, Inc`, `CN=first_cn`, `CN=second_cn`.
    two_cns,
    /// `O=Acme`, `OU=no name` and no CN.
    no_cn,
    /// An empty subject; the name is a DNS SAN.
    empty_subject,
    /// `CN=all_sans`: DNS, URI, email, IPv4, IPv6, dirName, otherName and registered ID.
    all_sans,
    /// A subject attribute whose OID OpenSSL does not know, then `CN=unknown_attribute`.
    unknown_attribute,
    /// `CN=unknown_extension`: an extension whose OID OpenSSL does not know, not critical.
    unknown_extension,
    /// `CN=unknown_critical`: the same, critical.
    unknown_critical,
    /// `CN=expired`, since yesterday.
    expired,
    /// `CN=not_yet_valid`, from tomorrow.
    not_yet_valid,
    /// `CN=server_only`: its extended key usage is serverAuth alone.
    server_only,
    /// `CN=revoked`, by the intermediate's CRL, for keyCompromise.
    revoked,
    /// `CN=under_revoked`, issued by the revoked intermediate.
    under_revoked,
}

impl Pki {
    /// The standard PKI of this test binary.
    pub fn standard() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(|| match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(directory) => Self::kept_in(Path::new(&directory)),
            None => Self::make(),
        })
    }

    /// The member with this name, as in [`Pki::MEMBERS`].
    ///
    /// # Panics
    /// If there is none.
    pub fn member(&self, name: &str) -> &Identity {
        self.members.get(name).unwrap_or_else(|| panic!("the PKI has no member {name:?}"))
    }

    /// The root's CRL: revokes [`Pki::revoked_intermediate`].
    pub fn root_crl(&self) -> &Crl {
        &self.crls["root"]
    }

    /// The intermediate's CRL: revokes [`Pki::revoked`].
    pub fn intermediate_crl(&self) -> &Crl {
        &self.crls["intermediate"]
    }

    /// The CRLs of all client CAs, good and current: what a server needs to check revocation.
    pub fn crls(&self) -> Vec<&Crl> {
        self.crls.values().collect()
    }

    /// Starts a client certificate, issued by the intermediate unless told otherwise.
    pub fn issue(&self, subject: impl Into<Name>) -> CertBuilder {
        self.intermediate().issue(subject)
    }

    /// Starts a CRL of this CA.
    pub fn crl(&self, ca: &Identity) -> CrlBuilder {
        CrlBuilder::new(ca)
    }

    fn make() -> Self {
        let ca = |subject: &str| CertBuilder::new(subject).ca().valid_days(3_650);
        let root = ca("/O=pgtls test/CN=pgtls test root").key(&Key::fresh_rsa(2048)).build();
        let intermediate =
            ca("/O=pgtls test/CN=pgtls test intermediate").path_length(0).by(&root).build();
        let revoked_intermediate =
            ca("/O=pgtls test/CN=pgtls test revoked intermediate").by(&root).build();
        let server_ca = ca("/O=pgtls test/CN=pgtls test server CA").build();
        let other_root = ca("/O=pgtls test/CN=pgtls test other root").build();
        let server = server_ca
            .issue("/CN=localhost")
            .server_auth()
            .rsa()
            .san_dns("localhost")
            .san_ip(Ipv4Addr::LOCALHOST.into())
            .san_ip(Ipv6Addr::LOCALHOST.into())
            .build();

        let client = |subject: &str| intermediate.issue(subject);
        let unknown = der::utf8("unknown to OpenSSL");
        let revoked = client("/CN=revoked").build();
        let members = [
            ("alice", client("/CN=alice").build()),
            ("bob", client("/CN=bob").build()),
            ("direct", root.issue("/CN=direct").build()),
            ("rsa", client("/CN=rsa").rsa().build()),
            ("ed25519", client("/CN=ed25519").ed25519().build()),
            // With keyCertSign, without which OpenSSL 1.1.1 takes it for one of an unknown issuer.
            ("self_signed", CertBuilder::new("/CN=self_signed").key_usage(&[0, 5]).build()),
            ("untrusted", other_root.issue("/CN=untrusted").build()),
            ("long_dn", client(LONG_DN).build()),
            ("utf8", client("/O=Ünïcode Größe/CN=Жук").build()),
            ("special", client(r#"/CN=a,b\+c"d\\e"#).build()),
            ("multi_rdn", client("/O=Acme/CN=multi_rdn+OU=people").build()),
            ("two_cns", client("/O=Acme, Inc/CN=first_cn/CN=second_cn").build()),
            ("no_cn", client("/O=Acme/OU=no name").build()),
            (
                "empty_subject",
                intermediate.issue(Name::empty()).san_dns("empty-subject.example").build(),
            ),
            ("all_sans", all_sans(client("/CN=all_sans")).build()),
            (
                "unknown_attribute",
                intermediate
                    .issue(Name::empty().attr(UNKNOWN_OID, "x").cn("unknown_attribute"))
                    .build(),
            ),
            (
                "unknown_extension",
                client("/CN=unknown_extension").extension(UNKNOWN_OID, false, &unknown).build(),
            ),
            (
                "unknown_critical",
                client("/CN=unknown_critical").extension(UNKNOWN_OID, true, &unknown).build(),
            ),
            ("expired", client("/CN=expired").expired().build()),
            ("not_yet_valid", client("/CN=not_yet_valid").not_yet_valid().build()),
            ("server_only", client("/CN=server_only").server_auth().build()),
            ("under_revoked", revoked_intermediate.issue("/CN=under_revoked").build()),
        ];
        let crls = [
            ("root", CrlBuilder::new(&root).revoke(&revoked_intermediate.cert).build()),
            (
                "intermediate",
                CrlBuilder::new(&intermediate)
                    .number(7)
                    .revoke_for(&revoked.cert, Reason::KeyCompromise, now() - DAY)
                    .build(),
            ),
            ("revoked_intermediate", CrlBuilder::new(&revoked_intermediate).build()),
        ];
        let authorities = [
            ("root", root),
            ("intermediate", intermediate),
            ("revoked_intermediate", revoked_intermediate),
            ("server_ca", server_ca),
            ("other_root", other_root),
            ("server", server),
            ("revoked", revoked),
        ];
        Self {
            members: authorities.into_iter().chain(members).map(own_name).collect(),
            crls: crls.into_iter().map(own_name).collect(),
        }
    }

    /// The PKI kept in `directory`, made there when it is missing.
    fn kept_in(directory: &Path) -> Self {
        if let Some(pki) = Self::load(directory) {
            return pki;
        }
        let pki = Self::make();
        let parent = directory.parent().unwrap_or(Path::new("."));
        let draft = tempfile::Builder::new()
            .prefix(".pki-")
            .tempdir_in(parent)
            .unwrap_or_else(|e| panic!("{DIRECTORY_VARIABLE}: {}: {e}", parent.display()));
        pki.save(draft.path());
        // Another run may have been faster: then its PKI is the one to use.
        match fs::rename(draft.path(), directory) {
            Ok(()) => pki,
            Err(error) => Self::load(directory).unwrap_or_else(|| {
                panic!("{DIRECTORY_VARIABLE}: {}: {error}", directory.display())
            }),
        }
    }

    /// Writes every member and CRL into `directory`, in files that tools can use.
    fn save(&self, directory: &Path) {
        for (name, member) in &self.members {
            member.write(directory, name);
        }
        for (name, crl) in &self.crls {
            fs::write(directory.join(format!("{name}.crl")), crl.pem()).expect("write a CRL");
        }
        fs::write(directory.join("made-at"), now().to_string()).expect("write the date");
    }

    fn load(directory: &Path) -> Option<Self> {
        let made: i64 = fs::read_to_string(directory.join("made-at")).ok()?.trim().parse().ok()?;
        let advice = format!("{}: remove it, it will be made anew", directory.display());
        assert!(now() - made < KEPT_AT_MOST, "the PKI is too old in {advice}");
        let read = |name: &str, kind: &str| {
            let path = directory.join(format!("{name}.{kind}"));
            fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}.{kind}: {e} in {advice}"))
        };
        let members = Self::MEMBERS.iter().map(|name| {
            let mut certs = der::from_pem("CERTIFICATE", &read(name, "crt")).into_iter();
            let cert = Cert::from_der(certs.next().expect("a certificate file has a certificate"));
            let key = Key::from_pem(&read(name, "key"));
            ((*name).to_owned(), Identity::new(cert, certs.map(Cert::from_der).collect(), key))
        });
        let crls = ["root", "intermediate", "revoked_intermediate"].map(|name| {
            let mut crls = der::from_pem("X509 CRL", &read(name, "crl")).into_iter();
            (name.to_owned(), Crl::from_der(crls.next().expect("a CRL file has a CRL")))
        });
        Some(Self { members: members.collect(), crls: crls.into_iter().collect() })
    }
}

fn all_sans(builder: CertBuilder) -> CertBuilder {
    builder
        .san_dns("all-sans.example")
        .san_uri("spiffe://example/all-sans")
        .san_email("all.sans@example")
        .san_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
        .san_ip(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)))
        .san_dir("/O=Acme/CN=all sans")
        .san_other("1.3.6.1.4.1.311.20.2.3", "all.sans@corp.example")
        .san_rid("1.2.3.4.5")
}

fn own_name<T>((name, value): (&str, T)) -> (String, T) {
    (name.to_owned(), value)
}
