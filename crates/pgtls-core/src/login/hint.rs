//! What to do about a step that fails, and by whom: the client, whoever runs the server, or the CA.
//!
//! Owns the sentences in the column `hint`. A hint names the file, the setting or the command, and
//! the names that have to agree. Words of our own are ASCII, so that every database can show them.

use std::net::IpAddr;

use crate::login::access::Surroundings;
use crate::login::hba::{self, Client, ClientName};
use crate::login::ident::{self, Line};
use crate::text::{lossless, on_one_line};
use crate::time::UnixTime;
use crate::verify::judgement::Judgement;
use crate::verify::verdict::Refusal;
use crate::verify::verify_error::code;
use crate::x509::certificate::Certificate;

/// A name in SQL, or in a file of the server: quoted, so that no keyword is meant.
fn quoted(name: &[u8]) -> String {
    format!("\"{}\"", lossless(name).replace('"', "\"\""))
}

fn moment(time: Option<UnixTime>) -> String {
    time.map_or_else(|| "a date that is none".to_owned(), |time| time.to_string())
}

/// Where the CA publishes its CRL, by the certificate.
fn published(certificate: &Certificate) -> String {
    match certificate.crl_urls().unwrap_or_default().first() {
        Some(url) => format!(" (published at {url})"),
        None => String::new(),
    }
}

/// The client made its certificate itself.
const SELF_SIGNED: &str = "The certificate is signed by its own key. Have one issued by a CA that the server trusts, or \
     add this one to ssl_ca_file and reload.";

/// A certificate that is none of a CA has signed another.
fn no_ca(subject: &str) -> String {
    format!(
        "{subject} signed a certificate, but by its own extensions may not: have the client's \
         certificate issued by a CA (basic constraints CA:TRUE, key usage keyCertSign)."
    )
}

/// OpenSSL refuses the chain.
pub(super) fn chain(
    refusal: &Refusal,
    judgement: &Judgement,
    sent: &[Certificate],
    crls: &[String],
) -> Option<String> {
    let certificate = refusal.certificate.as_deref()?;
    // What is sent under the name of an issuer that is missing all the same.
    let unusable = sent
        .iter()
        .filter(|_| refusal.lacks_an_issuer())
        .find(|it| *it != certificate && it.subject().matches(certificate.issuer()));
    let (subject, issuer) = (certificate.subject().oneline(), certificate.issuer().oneline());
    let is_leaf = refusal.depth == 0;
    let files = || crls.join(", ");
    Some(match refusal.code {
        code::DEPTH_ZERO_SELF_SIGNED_CERT => SELF_SIGNED.to_owned(),
        // OpenSSL 1.1.1 says that its issuer is missing.
        _ if is_leaf && refusal.lacks_an_issuer() && certificate.self_signed() => {
            SELF_SIGNED.to_owned()
        }
        // OpenSSL 1.1.1 takes no certificate for an issuer that is no CA; later versions do, and
        // refuse it then.
        _ if unusable.is_some_and(|it| it.is_ca() != Some(true)) => no_ca(issuer),
        _ if unusable.is_some() => format!(
            "The client sends a certificate of {issuer}, but not with the key that signed \
             {subject}: put the one that did into the file of sslcert."
        ),
        _ if refusal.lacks_an_issuer() && judgement.namesake => format!(
            "The server trusts a CA named {issuer}, but not with the key that signed {subject}. \
             Ask the CA which of its certificates did, add that one to ssl_ca_file and reload."
        ),
        _ if refusal.lacks_an_issuer() => format!(
            "The client has to send the certificate of {issuer}, too: append it to the file of \
             sslcert. If the server is to trust that CA, add it to ssl_ca_file and reload."
        ),
        code::SELF_SIGNED_CERT_IN_CHAIN => format!(
            "The client needs a certificate of a CA that the server trusts. If {subject} is one, \
             add it to ssl_ca_file and reload."
        ),
        code::CERT_SIGNATURE_FAILURE => format!(
            "A CA named {issuer} was found, but {subject} is not signed by its key: the file of \
             sslcert, or ssl_ca_file, has another certificate of that CA than the one that signed."
        ),
        code::INVALID_CA | code::KEYUSAGE_NO_CERTSIGN => no_ca(subject),
        code::PATH_LENGTH_EXCEEDED => format!(
            "{subject} allows fewer CAs below it than the chain has: the CA has to issue the \
             client's certificate higher up, or {subject} with a longer path length."
        ),
        code::PERMITTED_VIOLATION | code::EXCLUDED_VIOLATION => format!(
            "A CA of the chain may issue certificates for some names only, and {subject} has \
             another: have it issued with names that are allowed, or by another CA."
        ),
        code::UNHANDLED_CRITICAL_EXTENSION => format!(
            "{subject} has an extension that is marked as critical and that OpenSSL does not \
             know: have it issued without."
        ),
        code::EE_KEY_TOO_SMALL => format!(
            "The key of the certificate is too small for this server ({} {}): have one issued for \
             a longer key, RSA with 2048 bits or more, or P-256.",
            certificate.key_algorithm(),
            certificate.key_bits().map_or_else(String::new, |bits| format!("{bits} bits"))
        ),
        code::CA_KEY_TOO_SMALL => {
            format!("The key of {subject} is too small for this server: the CA needs a longer one.")
        }
        code::CA_MD_TOO_WEAK => format!(
            "{subject} is signed with {}, which this server does not accept: have it issued anew \
             with SHA-256 or better.",
            certificate.signature_algorithm()
        ),
        code::INVALID_PURPOSE if is_leaf => format!(
            "Have the certificate issued with the extended key usage clientAuth. It has: {}.",
            certificate.extended_key_usage().unwrap_or_default().join(", ")
        ),
        code::INVALID_PURPOSE => format!(
            "The extended key usage of the CA {subject} has to have clientAuth, or to be absent."
        ),
        code::CERT_REVOKED if is_leaf => format!(
            "The client needs a new certificate: {issuer} has revoked the one with the serial \
             number {}, by its CRL in {}.",
            certificate.serial().decimal(),
            files()
        ),
        code::CERT_REVOKED => format!(
            "{issuer} has revoked the CA {subject}: its clients need certificates of another CA."
        ),
        code::UNABLE_TO_GET_CRL => format!(
            "Once the server has any CRL, it needs one of every CA of the chain. Add the CRL of \
             {issuer}{} to ssl_crl_file, or under its hashed name to ssl_crl_dir, and reload.",
            published(certificate)
        ),
        code::CRL_HAS_EXPIRED => format!(
            "Fetch the current CRL of {issuer}{}, put it into {} and reload. Until then the \
             server refuses every client of this CA.",
            published(certificate),
            files()
        ),
        code::CRL_NOT_YET_VALID => format!(
            "The CRL of {issuer} begins in the future: compare the clocks of the server and of \
             the CA."
        ),
        code::CRL_SIGNATURE_FAILURE | code::UNABLE_TO_DECRYPT_CRL_SIGNATURE => format!(
            "The CRL in the name of {issuer} in {} is not signed by its key: fetch it anew{}, and \
             reload.",
            files(),
            published(certificate)
        ),
        code::KEYUSAGE_NO_CRL_SIGN => format!(
            "The key usage of {issuer} lacks cRLSign: the CA needs a certificate that may sign \
             CRLs."
        ),
        code::UNABLE_TO_GET_CRL_ISSUER
        | code::DIFFERENT_CRL_SCOPE
        | code::UNHANDLED_CRITICAL_CRL_EXTENSION
        | code::CRL_PATH_VALIDATION_ERROR
        | code::ERROR_IN_CRL_LAST_UPDATE_FIELD
        | code::ERROR_IN_CRL_NEXT_UPDATE_FIELD => format!(
            "OpenSSL cannot use the CRL of {issuer} in {}: pgtls_crls says why. The CA has to \
             issue another.",
            files()
        ),
        code::CERT_HAS_EXPIRED if is_leaf => format!(
            "The client needs a new certificate: this one ended at {}.",
            moment(certificate.not_after())
        ),
        code::CERT_HAS_EXPIRED => format!(
            "The certificate of the CA {subject} ended at {}. Where it came from, ssl_ca_file or \
             the file of sslcert, put the renewed one in its place.",
            moment(certificate.not_after())
        ),
        code::CERT_NOT_YET_VALID => format!(
            "{subject} begins at {}: compare the clocks of the server and of the CA, or wait.",
            moment(certificate.not_before())
        ),
        _ => return None,
    })
}

/// One of the certificates cannot be read.
pub(super) const UNREADABLE: &str = "No setting of the server changes that: have the certificate issued anew, or if there is \
     something behind it in its block, write it without (openssl x509 -in FILE -out NEW).";

/// A key that cannot be used with what the server offers.
pub(super) const KEY: &str = "Have the certificate issued for a key on P-256 or an RSA key. For a key on another curve the \
     server needs TLSv1.3, or with TLSv1.2 that curve in ssl_ecdh_curve (from 18 ssl_groups).";

/// The server does not take the client's protocol version; its limits are these.
pub(super) fn protocol_version(version: &str, (min, max): (&str, &str)) -> String {
    // The names are in the order of their age.
    let within = |limit: &str, other: &str| limit.to_lowercase() <= other.to_lowercase();
    if within(min, version) && within(version, max) {
        return format!(
            "The server's limits allow {version}, but OpenSSL's security level does not: have the \
             client speak TLSv1.2 or later, or lower the level with @SECLEVEL=0 in ssl_ciphers \
             and reload."
        );
    }
    format!(
        "The server takes {min} to {max} (ssl_min_protocol_version, ssl_max_protocol_version). \
         Have the client speak one of them, or change the limits and reload."
    )
}

/// The server's own certificate has ended.
pub(super) const SERVER_EXPIRED: &str =
    "Put a renewed certificate and its key into ssl_cert_file and ssl_key_file, and reload.";

/// It begins in the future.
pub(super) const SERVER_NOT_YET_VALID: &str =
    "Compare the clocks of the server and of the CA that issued the server's certificate.";

/// The server's own certificate does not stand for the name that the client connects to.
pub(super) fn host_name(certificate: &Certificate, host: &str) -> String {
    let names = certificate.san().unwrap_or_default();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let has = match names.is_empty() {
        true => "no subject alternative name".to_owned(),
        false => names.join(", "),
    };
    format!(
        "Have the client connect to a name that the certificate has ({has}), or have the server's \
         certificate issued with the subject alternative name {}, put it into ssl_cert_file with \
         its key in ssl_key_file, and reload.",
        on_one_line(host)
    )
}

/// `ssl = off`.
pub(super) const TLS_OFF: &str = "Set ssl = on, with ssl_cert_file and ssl_key_file, and reload.";

/// A null byte in the common name.
pub(super) const NULL_BYTE: &str =
    "Have the certificate issued without it; it looks like a forged name.";

/// What `pgtls_ext.require_tls` refuses.
pub(super) const REQUIRE_TLS: &str = "Connect with sslmode=require, or better verify-full.";

/// What is on file is not in force.
pub(super) const NOT_IN_FORCE: &str =
    "pgtls_check_reload() says whether a reload would take; pg_reload_conf() makes one.";

/// There is no rule, or one that rejects: the rule for this client with TLS if it comes without,
/// the other way round, or the line to add.
pub(super) fn rule(
    rules: &[hba::Line],
    client: &Client<'_>,
    around: &Surroundings<'_>,
    rejecting: Option<&str>,
) -> String {
    let role = quoted(client.role);
    let database = client.database.map_or_else(|| "replication".to_owned(), quoted);
    let other = Client { tls: !client.tls, ..*client };
    if let Some(address) = client.address {
        let found = hba::first_match(rules, &other, around);
        let found = found.filter(|(_, rule)| rule.method != hba::Method::Reject);
        if let Some((line, _)) = found {
            let place = line.place();
            return match client.tls {
                false => format!(
                    "With TLS, the rule at {place} is for this client: connect with \
                     sslmode=require, or better verify-full."
                ),
                true => format!(
                    "Only the rule at {place} is for this client, without TLS: make it hostssl, \
                     or add one for TLS, and reload."
                ),
            };
        }
        let address = match address {
            IpAddr::V4(address) => format!("{address}/32"),
            IpAddr::V6(address) => format!("{address}/128"),
        };
        let line = format!("hostssl {database} {role} {address} cert");
        return add(&line, rejecting);
    }
    add(&format!("local {database} {role} peer"), rejecting)
}

fn add(line: &str, rejecting: Option<&str>) -> String {
    match rejecting {
        Some(place) => format!(
            "If this client is to get in, put a rule for it above {place}, for example \
             {line}, and reload."
        ),
        None => format!("Add a rule for it to pg_hba.conf, for example {line}, and reload."),
    }
}

/// The rule demands a certificate, and there is none that could be looked at.
pub(super) fn certificate_missing(has_ca_file: bool) -> &'static str {
    if has_ca_file {
        "The client has to send one: sslcert and sslkey name it and its key, by default \
         ~/.postgresql/postgresql.crt and postgresql.key. libpq sends none if it finds none, or \
         with sslcertmode=disable."
    } else {
        "Without ssl_ca_file the server asks for no certificate: set it to the CAs of the clients, \
         and reload."
    }
}

/// The role that a password is asked of does not exist.
pub(super) fn create_role(role: &[u8]) -> String {
    format!("CREATE ROLE {} LOGIN;", quoted(role))
}

/// The password of a role cannot be used.
pub(super) fn password(role: &[u8]) -> String {
    format!(
        "Set a password with \\password {} in psql, and if it has ended, VALID UNTIL as well.",
        quoted(role)
    )
}

/// The certificate lacks the name that the rule compares.
pub(super) fn no_name(name: ClientName) -> &'static str {
    match name {
        ClientName::CommonName => {
            "Have the certificate issued with a common name (CN), or let the rule compare the \
             subject: clientname=DN and a map."
        }
        ClientName::Subject => "Have the certificate issued with a subject.",
    }
}

/// The name in the certificate is another one than the role's, and the rule names no map.
pub(super) fn names_differ(role: &[u8], name: &[u8]) -> String {
    format!(
        "Log in as role {name}, or name a map in the rule (map=NAME) that has in pg_ident.conf the \
         line NAME {name} {role}, and reload.",
        name = quoted(name),
        role = quoted(role)
    )
}

/// No line of the map is for this name and role.
pub(super) fn no_line(
    lines: &[Line],
    map: &[u8],
    candidates: &[ident::Candidate<'_>],
    identity: &[u8],
    role: &[u8],
) -> String {
    let line = format!("{} {} {}", quoted(map), quoted(identity), quoted(role));
    let add = format!("To admit it as this role, add {line} to pg_ident.conf and reload.");
    let mut of_map = lines.iter().filter_map(|line| Some((line, line.mapping.as_ref()?)));
    let is_of_map = |(_, mapping): &(&Line, &ident::Mapping)| mapping.map == map;
    let roles: Vec<_> = candidates.iter().filter_map(|it| it.role.as_ref().ok()).collect();
    if !of_map.clone().any(|it| is_of_map(&it)) {
        return format!("No line of pg_ident.conf is of the map {}. {add}", lossless(map));
    }
    if !roles.is_empty() {
        let mut roles: Vec<_> = roles.iter().map(|role| quoted(role.text())).collect();
        roles.dedup();
        return format!("The map lets it be: {}. {add}", roles.join(", "));
    }
    let written = |name: &[u8]| {
        let name = lossless(name).to_lowercase();
        let mut parts: Vec<_> = name.split([',', '/']).map(|part| part.trim().to_owned()).collect();
        parts.retain(|part| !part.is_empty());
        parts.sort();
        parts
    };
    let wanted = written(identity);
    let near = of_map.find(|it| {
        is_of_map(it)
            && it.1.identity.pattern().is_none()
            && written(it.1.identity.text()) == wanted
    });
    match near {
        Some((near, mapping)) => format!(
            "The line at {} nearly fits: it has {}, and the certificate has {}; upper and lower \
             case, order and separators count.",
            near.place(),
            quoted(mapping.identity.text()),
            quoted(identity)
        ),
        None => add,
    }
}

/// The server gives up at a line of the map.
pub(super) fn broken_mapping(place: &str) -> String {
    format!("Mend the line at {place}, and reload; pgtls_explain_mapping tries a map out.")
}

/// The role may not log in.
pub(super) fn allow_login(role: &[u8]) -> String {
    format!("ALTER ROLE {} LOGIN;", quoted(role))
}

/// The limit on the connections of a role or database is used up.
pub(super) fn raise_limit(kind: &str, name: &[u8]) -> String {
    format!("ALTER {kind} {} CONNECTION LIMIT -1; or end some of its connections.", quoted(name))
}

/// No connection is free.
pub(super) const NO_SLOT: &str =
    "Raise max_connections and restart, put a pooler in front, or end connections that are idle.";

/// The role may not replicate.
pub(super) fn allow_replication(role: &[u8]) -> String {
    format!("ALTER ROLE {} REPLICATION;", quoted(role))
}

/// There is no such database.
pub(super) fn create_database(database: &[u8]) -> String {
    format!("CREATE DATABASE {}; or connect to another.", quoted(database))
}

/// An interrupted `DROP DATABASE`.
pub(super) fn drop_database(database: &[u8]) -> String {
    format!("DROP DATABASE {};", quoted(database))
}

/// The database allows no connections.
pub(super) fn allow_connections(database: &[u8]) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS true;", quoted(database))
}

/// The role lacks `CONNECT`.
pub(super) fn grant_connect(database: &[u8], role: &[u8]) -> String {
    format!("GRANT CONNECT ON DATABASE {} TO {};", quoted(database), quoted(role))
}

/// A name that `pg_stat_ssl` cannot be filled with.
pub(super) fn not_reportable(missing: Option<(char, &str)>) -> String {
    match missing {
        Some((character, encoding)) => format!(
            "Connect to a database in UTF8, or have the certificate issued without U+{:04X}, \
             which {encoding} lacks.",
            u32::from(character)
        ),
        None => "Have the certificate issued without that attribute.".to_owned(),
    }
}
