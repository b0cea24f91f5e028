/* pgtls_ext--0.1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pgtls_ext" to load this file. \quit

-- The functions of contrib/sslinfo have the same names here, so both cannot be in one schema.
DO $check$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_proc
               WHERE proname = 'ssl_is_used' AND pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema()))
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_function',
            MESSAGE = pg_catalog.format('schema "%s" already has the functions of sslinfo', current_schema()),
            DETAIL = 'pgtls_ext provides functions of the same names and meaning.',
            HINT = 'Run DROP EXTENSION sslinfo first, or install beside it with CREATE EXTENSION pgtls_ext SCHEMA another_schema.';
    END IF;
END
$check$;

/*
 * A. This session. Everything here is about the connection of the session that asks, so everybody may ask. The functions
 * read process memory: STABLE because the answer cannot change within a statement, PARALLEL RESTRICTED because parallel
 * workers have no client connection.
 */
-- The ten functions of contrib/sslinfo.

CREATE FUNCTION ssl_is_used()
RETURNS boolean
AS 'MODULE_PATHNAME', 'ssl_is_used_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_is_used() IS
'whether this connection is encrypted with TLS';

CREATE FUNCTION ssl_version()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_version_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_version() IS
'TLS protocol version of this connection, such as TLSv1.3';

CREATE FUNCTION ssl_cipher()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_cipher_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_cipher() IS
'cipher suite of this connection, in the spelling of OpenSSL';

CREATE FUNCTION ssl_client_cert_present()
RETURNS boolean
AS 'MODULE_PATHNAME', 'ssl_client_cert_present_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_cert_present() IS
'whether the client presented a certificate that the server verified';

CREATE FUNCTION ssl_client_serial()
RETURNS numeric
AS 'MODULE_PATHNAME', 'ssl_client_serial_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_serial() IS
'serial number of the client certificate';

CREATE FUNCTION ssl_client_dn()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_dn_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_dn() IS
'subject of the client certificate as /O=Acme/CN=alice, never cut';

CREATE FUNCTION ssl_issuer_dn()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_issuer_dn_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_issuer_dn() IS
'issuer of the client certificate as /O=Acme/CN=CA, never cut';

CREATE FUNCTION ssl_client_dn_field(field text)
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_dn_field_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_dn_field(text) IS
'first value of a field of the client certificate''s subject; the field is named by OpenSSL''s short or long name or by OID';

CREATE FUNCTION ssl_issuer_field(field text)
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_issuer_field_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_issuer_field(text) IS
'first value of a field of the client certificate''s issuer; the field is named by OpenSSL''s short or long name or by OID';

CREATE FUNCTION ssl_extension_info(OUT name text, OUT value text, OUT critical boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ssl_extension_info_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_extension_info() IS
'extensions of the client certificate; one that OpenSSL does not know is named by its OID and its value is hexadecimal';

-- More about the connection.

CREATE FUNCTION ssl_cipher_bits()
RETURNS integer
AS 'MODULE_PATHNAME', 'ssl_cipher_bits_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_cipher_bits() IS
'strength of the cipher in bits, as in pg_stat_ssl.bits';

CREATE FUNCTION ssl_key_exchange_group()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_key_exchange_group_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_key_exchange_group() IS
'group of the key exchange, such as x25519 or X25519MLKEM768';

CREATE FUNCTION ssl_sni()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_sni_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_sni() IS
'server name that the client asked for (SNI)';

CREATE FUNCTION ssl_alpn()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_alpn_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_alpn() IS
'application protocol agreed on (ALPN)';

-- More about the client certificate.

CREATE FUNCTION ssl_client_cn()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_cn_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_cn() IS
'common name that certificate authentication compares with the role name: the first CN of the subject';

CREATE FUNCTION ssl_client_dn_rfc2253()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_dn_rfc2253_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_dn_rfc2253() IS
'subject of the client certificate in RFC 2253 form, which clientname=DN compares';

CREATE FUNCTION ssl_client_not_before()
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ssl_client_not_before_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_not_before() IS
'start of validity of the client certificate';

CREATE FUNCTION ssl_client_not_after()
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ssl_client_not_after_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_not_after() IS
'end of validity of the client certificate';

CREATE FUNCTION ssl_client_fingerprint()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_fingerprint_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_fingerprint() IS
'SHA-256 of the client certificate in lower-case hexadecimal';

CREATE FUNCTION ssl_client_pem()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_pem_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_pem() IS
'the client certificate in PEM form';

CREATE FUNCTION ssl_client_san(OUT type text, OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ssl_client_san_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_san() IS
'subject alternative names of the client certificate';

CREATE FUNCTION ssl_client_chain()
RETURNS TABLE (
    depth integer, source text, cn text, subject text, issuer text, not_before timestamptz,
    not_after timestamptz, san text[], serial numeric, serial_hex text, subject_rfc2253 text,
    is_ca boolean, path_length integer, key_usage text[], extended_key_usage text[],
    key_algorithm text, key_bits integer, signature_algorithm text, self_signed boolean,
    version integer, crl_urls text[], ocsp_urls text[], fingerprint text, spki_fingerprint text,
    subject_key_id text, authority_key_id text, problems text[], pem text)
AS 'MODULE_PATHNAME', 'ssl_client_chain_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_chain() IS
'the client''s certificate chain as the server verified it, from the client''s own certificate (depth 0) to the trust anchor';

CREATE FUNCTION ssl_client_chain_json()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ssl_client_chain_json_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_chain_json() IS
'the client''s certificate chain as one document';

CREATE FUNCTION ssl_client_chain_text()
RETURNS text
AS 'MODULE_PATHNAME', 'ssl_client_chain_text_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_chain_text() IS
'the client''s certificate chain as a tree for people, from the trust anchor down to the client''s own certificate';

CREATE FUNCTION ssl_server_certificate()
RETURNS TABLE (
    cn text, subject text, issuer text, not_before timestamptz, not_after timestamptz, san text[],
    serial numeric, serial_hex text, subject_rfc2253 text, is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer,
    signature_algorithm text, self_signed boolean, version integer, crl_urls text[],
    ocsp_urls text[], fingerprint text, spki_fingerprint text, subject_key_id text,
    authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'ssl_server_certificate_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_server_certificate() IS
'the certificate that the server showed to this session''s client';

CREATE FUNCTION ssl_session()
RETURNS TABLE (
    ssl boolean, version text, cipher text, bits integer, key_exchange_group text, sni text,
    alpn text, client_cert_present boolean, client_cn text, client_subject text,
    client_issuer text, client_not_before timestamptz, client_not_after timestamptz,
    client_san text[], client_serial numeric, client_serial_hex text, client_subject_rfc2253 text,
    client_is_ca boolean, client_path_length integer, client_key_usage text[],
    client_extended_key_usage text[], client_key_algorithm text, client_key_bits integer,
    client_signature_algorithm text, client_self_signed boolean, client_version integer,
    client_crl_urls text[], client_ocsp_urls text[], client_fingerprint text,
    client_spki_fingerprint text, client_subject_key_id text, client_authority_key_id text,
    client_problems text[])
AS 'MODULE_PATHNAME', 'ssl_session_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
ROWS 1;
COMMENT ON FUNCTION ssl_session() IS
'everything about this connection in one row';

CREATE FUNCTION ssl_client_crl_status()
RETURNS TABLE (
    evaluated text, depth integer, subject text, serial numeric, status text, detail text, revoked_at timestamptz, reason text,
    issuer text, crl_number numeric, this_update timestamptz, next_update timestamptz, crl_source text)
AS 'MODULE_PATHNAME', 'ssl_client_crl_status_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_client_crl_status() IS
'revocation status of each certificate of the client''s chain: by the CRLs that were in force at login, and by the configured files as they are now';

/*
 * B. Given certificates, requests and CRLs. Functions of their argument alone.
 */

CREATE FUNCTION pgtls_parse_certificates(pem text)
RETURNS TABLE (
    cn text, subject text, issuer text, not_before timestamptz, not_after timestamptz, san text[],
    serial numeric, serial_hex text, subject_rfc2253 text, is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer,
    signature_algorithm text, self_signed boolean, version integer, crl_urls text[],
    ocsp_urls text[], fingerprint text, spki_fingerprint text, subject_key_id text,
    authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_certificates_text_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_certificates(text) IS
'the certificates in a PEM text, in its order';

CREATE FUNCTION pgtls_parse_certificates(der bytea)
RETURNS TABLE (
    cn text, subject text, issuer text, not_before timestamptz, not_after timestamptz, san text[],
    serial numeric, serial_hex text, subject_rfc2253 text, is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer,
    signature_algorithm text, self_signed boolean, version integer, crl_urls text[],
    ocsp_urls text[], fingerprint text, spki_fingerprint text, subject_key_id text,
    authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_certificates_bytea_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_certificates(bytea) IS
'the certificates in DER, one after the other, or in PEM';

CREATE FUNCTION pgtls_chain_text(pem text)
RETURNS text
AS 'MODULE_PATHNAME', 'pgtls_chain_text_wrapper'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_chain_text(text) IS
'the certificates in a PEM text as trees for people: each below the one that issued it';

CREATE FUNCTION pgtls_certificate_json(pem text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'pgtls_certificate_json_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_certificate_json(text) IS
'the first certificate in a PEM text as one document, with all of its extensions';

CREATE FUNCTION pgtls_lint_certificate(pem text)
RETURNS TABLE (severity text, finding text, detail text, reference text)
AS 'MODULE_PATHNAME', 'pgtls_lint_certificate_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 5;
COMMENT ON FUNCTION pgtls_lint_certificate(text) IS
'what strict readers and current rules object to in the first certificate of a PEM text';

CREATE FUNCTION pgtls_parse_requests(pem text)
RETURNS TABLE (
    "position" bigint, subject text, subject_rfc2253 text, cn text, san text[], signature_valid boolean,
    problems text[], key_algorithm text, key_bits integer, signature_algorithm text, is_ca boolean,
    key_usage text[], extended_key_usage text[], extensions text[], spki_fingerprint text, pem text)
AS 'MODULE_PATHNAME', 'pgtls_parse_requests_text_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 1;
COMMENT ON FUNCTION pgtls_parse_requests(text) IS
'the certificate requests in a PEM text, in its order';

CREATE FUNCTION pgtls_parse_requests(der bytea)
RETURNS TABLE (
    "position" bigint, subject text, subject_rfc2253 text, cn text, san text[], signature_valid boolean,
    problems text[], key_algorithm text, key_bits integer, signature_algorithm text, is_ca boolean,
    key_usage text[], extended_key_usage text[], extensions text[], spki_fingerprint text, pem text)
AS 'MODULE_PATHNAME', 'pgtls_parse_requests_bytea_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 1;
COMMENT ON FUNCTION pgtls_parse_requests(bytea) IS
'the certificate requests in DER, one after the other, or in PEM';

CREATE FUNCTION pgtls_parse_crls(pem text)
RETURNS TABLE (
    issuer text, crl_number numeric, this_update timestamptz, next_update timestamptz, signature_algorithm text,
    revoked_count bigint, is_delta boolean, distribution_point text[], authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_crls_text_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_crls(text) IS
'the CRLs in a PEM text';

CREATE FUNCTION pgtls_parse_crls(der bytea)
RETURNS TABLE (
    issuer text, crl_number numeric, this_update timestamptz, next_update timestamptz, signature_algorithm text,
    revoked_count bigint, is_delta boolean, distribution_point text[], authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_crls_bytea_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_crls(bytea) IS
'the CRLs in DER, one after the other, or in PEM';

CREATE FUNCTION pgtls_parse_crl_entries(pem text)
RETURNS TABLE (
    "position" bigint, serial numeric, revoked_at timestamptz, reason text, invalidity_date timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_parse_crl_entries_text_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_crl_entries(text) IS
'the revoked certificates of the CRLs in a PEM text';

CREATE FUNCTION pgtls_parse_crl_entries(der bytea)
RETURNS TABLE (
    "position" bigint, serial numeric, revoked_at timestamptz, reason text, invalidity_date timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_parse_crl_entries_bytea_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_crl_entries(bytea) IS
'the revoked certificates of the CRLs in DER, one after the other, or in PEM';

/*
 * C. The instance.
 */

-- Everything about sessions that pg_stat_activity and pg_stat_ssl lack. The function itself shows a
-- row only to who may see the same session in pg_stat_activity, so everybody may call it.
CREATE FUNCTION pgtls_sessions()
RETURNS TABLE (
    pid integer, backend_start timestamptz, credential_status text, credential_detail text,
    credential_ends_at timestamptz, credential_status_on_file text, superseded boolean,
    key_exchange_group text, sni text, alpn text, client_cn text, client_subject text,
    client_issuer text, client_not_before timestamptz, client_not_after timestamptz,
    client_san text[], client_serial numeric, client_serial_hex text, client_subject_rfc2253 text,
    client_is_ca boolean, client_path_length integer, client_key_usage text[],
    client_extended_key_usage text[], client_key_algorithm text, client_key_bits integer,
    client_signature_algorithm text, client_self_signed boolean, client_version integer,
    client_crl_urls text[], client_ocsp_urls text[], client_fingerprint text,
    client_spki_fingerprint text, client_subject_key_id text, client_authority_key_id text,
    client_problems text[], chain_length integer, chain_recorded integer, auth_method text,
    auth_identity text, file_name text, line_number integer, map_name text, clientcert text,
    clientname text, context_loaded_at timestamptz, source text)
AS 'MODULE_PATHNAME', 'pgtls_sessions_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 100;
COMMENT ON FUNCTION pgtls_sessions() IS
'function behind the view pgtls_sessions';

-- Rows are visible as in pg_stat_ssl: to see another role's session takes membership in that role
-- or in pg_read_all_stats. DISTINCT ON proves to the planner that the recorded facts add no rows,
-- so it leaves them out of queries that do not ask for any: such a query costs what
-- pg_stat_activity and pg_stat_ssl cost.
CREATE VIEW pgtls_sessions AS
SELECT a.pid, a.datname, a.usename, a.client_addr, s.ssl, s.version, f.client_cn,
       COALESCE(f.credential_status, CASE WHEN s.ssl IS NULL THEN NULL WHEN s.client_serial IS NULL THEN 'none'
                                          ELSE 'unknown' END) AS credential_status,
       f.credential_ends_at,
       CASE WHEN f.credential_status IS NULL AND s.client_serial IS NOT NULL
            THEN 'the certificate is not recorded: pgtls_ext is not in shared_preload_libraries, '
                 'or pgtls_ext.track was off at the login'
            ELSE f.credential_detail END AS credential_detail, a.application_name,
       a.client_port, a.backend_start, a.state, a.backend_type, s.cipher, s.bits,
       f.key_exchange_group, f.sni, f.alpn, f.auth_method, f.auth_identity, f.file_name,
       f.line_number, f.map_name, f.clientcert, f.clientname, f.context_loaded_at,
       COALESCE(f.credential_status_on_file, CASE WHEN s.ssl IS NULL THEN NULL WHEN s.client_serial IS NULL THEN 'none'
                                                  ELSE 'unknown' END) AS credential_status_on_file,
       f.superseded, COALESCE(f.source, CASE WHEN s.ssl IS NOT NULL THEN 'pg_stat_ssl' END) AS source,
       f.chain_length AS client_chain_length, f.chain_recorded AS client_chain_recorded,
       -- pg_stat_ssl cuts names and numbers at 63 bytes.
       COALESCE(f.client_subject, CASE WHEN pg_catalog.octet_length(s.client_dn) < 63 THEN s.client_dn END)
           AS client_subject,
       COALESCE(f.client_issuer, CASE WHEN pg_catalog.octet_length(s.issuer_dn) < 63 THEN s.issuer_dn END)
           AS client_issuer, f.client_not_before, f.client_not_after, f.client_san,
       COALESCE(f.client_serial, CASE WHEN pg_catalog.octet_length(s.client_serial::text) < 63 THEN s.client_serial END)
           AS client_serial, f.client_serial_hex, f.client_subject_rfc2253, f.client_is_ca,
       f.client_path_length, f.client_key_usage, f.client_extended_key_usage,
       f.client_key_algorithm, f.client_key_bits, f.client_signature_algorithm,
       f.client_self_signed, f.client_version, f.client_crl_urls, f.client_ocsp_urls,
       f.client_fingerprint, f.client_spki_fingerprint, f.client_subject_key_id,
       f.client_authority_key_id, f.client_problems
FROM pg_catalog.pg_stat_activity a
     LEFT JOIN pg_catalog.pg_stat_ssl s ON s.pid = a.pid
     LEFT JOIN (SELECT DISTINCT ON (pid, backend_start) * FROM pgtls_sessions()) f
            ON f.pid = a.pid AND f.backend_start = a.backend_start
WHERE a.backend_type IN ('client backend', 'walsender');
COMMENT ON VIEW pgtls_sessions IS
'TLS state of every client backend, with its certificate and what that is worth now; source says where the facts of a row come from';
COMMENT ON COLUMN pgtls_sessions.pid IS 'process ID of the backend';
COMMENT ON COLUMN pgtls_sessions.datname IS 'database';
COMMENT ON COLUMN pgtls_sessions.usename IS 'role that logged in';
COMMENT ON COLUMN pgtls_sessions.client_addr IS 'address of the client; NULL over the Unix socket';
COMMENT ON COLUMN pgtls_sessions.ssl IS 'whether the connection is encrypted';
COMMENT ON COLUMN pgtls_sessions.version IS 'TLS version';
COMMENT ON COLUMN pgtls_sessions.client_cn IS 'first common name of the subject';
COMMENT ON COLUMN pgtls_sessions.credential_status IS 'what the client certificate is worth to a new login now: none, valid, renew_soon, expired, not_yet_valid, revoked, untrusted, crl_unavailable or unknown';
COMMENT ON COLUMN pgtls_sessions.credential_ends_at IS 'earliest end of validity in the chain';
COMMENT ON COLUMN pgtls_sessions.credential_detail IS 'why the status is what it is';
COMMENT ON COLUMN pgtls_sessions.application_name IS 'name that the client gave itself';
COMMENT ON COLUMN pgtls_sessions.client_port IS 'TCP port of the client';
COMMENT ON COLUMN pgtls_sessions.backend_start IS 'start of the session';
COMMENT ON COLUMN pgtls_sessions.state IS 'state as in pg_stat_activity';
COMMENT ON COLUMN pgtls_sessions.backend_type IS 'client backend or walsender';
COMMENT ON COLUMN pgtls_sessions.cipher IS 'cipher suite';
COMMENT ON COLUMN pgtls_sessions.bits IS 'bits of the cipher';
COMMENT ON COLUMN pgtls_sessions.key_exchange_group IS 'group of the key exchange';
COMMENT ON COLUMN pgtls_sessions.sni IS 'host name that the client asked for';
COMMENT ON COLUMN pgtls_sessions.alpn IS 'application protocol';
COMMENT ON COLUMN pgtls_sessions.auth_method IS 'authentication method';
COMMENT ON COLUMN pgtls_sessions.auth_identity IS 'who the client was authenticated as';
COMMENT ON COLUMN pgtls_sessions.file_name IS 'file of the rule that let the client in, for members of pg_read_all_settings';
COMMENT ON COLUMN pgtls_sessions.line_number IS 'line of that rule';
COMMENT ON COLUMN pgtls_sessions.map_name IS 'map of that rule';
COMMENT ON COLUMN pgtls_sessions.clientcert IS 'what the rule demanded of the certificate';
COMMENT ON COLUMN pgtls_sessions.clientname IS 'which name of the certificate the rule compared';
COMMENT ON COLUMN pgtls_sessions.context_loaded_at IS 'when the TLS configuration of the session was loaded';
COMMENT ON COLUMN pgtls_sessions.credential_status_on_file IS 'credential_status by the files as they are, as after a reload';
COMMENT ON COLUMN pgtls_sessions.superseded IS 'whether the same identity has logged in with a newer certificate';
COMMENT ON COLUMN pgtls_sessions.source IS 'where the facts come from: recorded, own or pg_stat_ssl';
COMMENT ON COLUMN pgtls_sessions.client_chain_length IS 'certificates in the client''s chain';
COMMENT ON COLUMN pgtls_sessions.client_chain_recorded IS 'how many of them were recorded';
COMMENT ON COLUMN pgtls_sessions.client_subject IS 'distinguished name of the subject, never truncated';
COMMENT ON COLUMN pgtls_sessions.client_issuer IS 'distinguished name of the issuer, never truncated';
COMMENT ON COLUMN pgtls_sessions.client_not_before IS 'start of validity';
COMMENT ON COLUMN pgtls_sessions.client_not_after IS 'end of validity';
COMMENT ON COLUMN pgtls_sessions.client_san IS 'subject alternative names, each with its type';
COMMENT ON COLUMN pgtls_sessions.client_serial IS 'serial number';
COMMENT ON COLUMN pgtls_sessions.client_serial_hex IS 'serial number in hexadecimal, as OpenSSL prints it';
COMMENT ON COLUMN pgtls_sessions.client_subject_rfc2253 IS 'the subject as a map with clientname=DN compares it';
COMMENT ON COLUMN pgtls_sessions.client_is_ca IS 'whether basicConstraints say that this is a CA';
COMMENT ON COLUMN pgtls_sessions.client_path_length IS 'how many CAs may follow below it';
COMMENT ON COLUMN pgtls_sessions.client_key_usage IS 'what the key may be used for';
COMMENT ON COLUMN pgtls_sessions.client_extended_key_usage IS 'for which purposes the certificate may be used';
COMMENT ON COLUMN pgtls_sessions.client_key_algorithm IS 'algorithm of the public key';
COMMENT ON COLUMN pgtls_sessions.client_key_bits IS 'size of the public key in bits';
COMMENT ON COLUMN pgtls_sessions.client_signature_algorithm IS 'algorithm of the issuer''s signature';
COMMENT ON COLUMN pgtls_sessions.client_self_signed IS 'whether subject and issuer are the same and its own key signed it';
COMMENT ON COLUMN pgtls_sessions.client_version IS 'version of X.509';
COMMENT ON COLUMN pgtls_sessions.client_crl_urls IS 'where the issuer publishes CRLs';
COMMENT ON COLUMN pgtls_sessions.client_ocsp_urls IS 'where the issuer answers OCSP requests';
COMMENT ON COLUMN pgtls_sessions.client_fingerprint IS 'SHA-256 of the certificate in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_sessions.client_spki_fingerprint IS 'SHA-256 of the public key in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_sessions.client_subject_key_id IS 'subject key identifier in hexadecimal';
COMMENT ON COLUMN pgtls_sessions.client_authority_key_id IS 'key identifier of the issuer in hexadecimal';
COMMENT ON COLUMN pgtls_sessions.client_problems IS 'what is broken or does not mean what it seems to; NULL if nothing is';
GRANT SELECT ON pgtls_sessions TO PUBLIC;

CREATE VIEW pgtls_sessions_summary AS
SELECT pid, usename, datname, client_addr, version, client_cn, credential_status, credential_ends_at, superseded, source
FROM pgtls_sessions;
COMMENT ON VIEW pgtls_sessions_summary IS
'pgtls_sessions in ten columns, which fit a terminal';
COMMENT ON COLUMN pgtls_sessions_summary.pid IS 'process ID of the backend';
COMMENT ON COLUMN pgtls_sessions_summary.usename IS 'role that logged in';
COMMENT ON COLUMN pgtls_sessions_summary.datname IS 'database';
COMMENT ON COLUMN pgtls_sessions_summary.client_addr IS 'address of the client; NULL over the Unix socket';
COMMENT ON COLUMN pgtls_sessions_summary.version IS 'TLS version';
COMMENT ON COLUMN pgtls_sessions_summary.client_cn IS 'first common name of the subject';
COMMENT ON COLUMN pgtls_sessions_summary.credential_status IS 'what the client certificate is worth to a new login now: none, valid, renew_soon, expired, not_yet_valid, revoked, untrusted, crl_unavailable or unknown';
COMMENT ON COLUMN pgtls_sessions_summary.credential_ends_at IS 'earliest end of validity in the chain';
COMMENT ON COLUMN pgtls_sessions_summary.superseded IS 'whether the same identity has logged in with a newer certificate';
COMMENT ON COLUMN pgtls_sessions_summary.source IS 'where the facts come from: recorded, own or pg_stat_ssl';
GRANT SELECT ON pgtls_sessions_summary TO PUBLIC;

/*
 * What only the recorder knows: without shared_preload_libraries, using these is an error that says so.
 */

CREATE FUNCTION pgtls_failures()
RETURNS TABLE (reason text, count bigint, last_at timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_failures_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE
ROWS 22;
COMMENT ON FUNCTION pgtls_failures() IS
'function behind the view pgtls_failures';
REVOKE ALL ON FUNCTION pgtls_failures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_failures() TO pg_monitor;

CREATE VIEW pgtls_failures AS SELECT * FROM pgtls_failures();
COMMENT ON VIEW pgtls_failures IS
'how many clients were turned away for each reason, and when last';
COMMENT ON COLUMN pgtls_failures.reason IS 'why logins failed';
COMMENT ON COLUMN pgtls_failures.count IS 'how many';
COMMENT ON COLUMN pgtls_failures.last_at IS 'the last time';
REVOKE ALL ON pgtls_failures FROM PUBLIC;
GRANT SELECT ON pgtls_failures TO pg_monitor;

CREATE FUNCTION pgtls_logins()
RETURNS TABLE (
    protocol_version text, cipher text, key_exchange_group text, client_certificate boolean, logins bigint,
    last_at timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_logins_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE
ROWS 8;
COMMENT ON FUNCTION pgtls_logins() IS
'function behind the view pgtls_logins';
REVOKE ALL ON FUNCTION pgtls_logins() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_logins() TO pg_monitor;

CREATE VIEW pgtls_logins AS SELECT * FROM pgtls_logins();
COMMENT ON VIEW pgtls_logins IS
'how often clients have logged in over TCP, by encryption, since the server started or the last reset';
COMMENT ON COLUMN pgtls_logins.protocol_version IS 'TLS version; none without TLS, other for what the table had no room for';
COMMENT ON COLUMN pgtls_logins.cipher IS 'cipher suite by its name in OpenSSL';
COMMENT ON COLUMN pgtls_logins.key_exchange_group IS 'group of the key exchange; NULL if there was none, or OpenSSL does not tell';
COMMENT ON COLUMN pgtls_logins.client_certificate IS 'whether the client had a certificate';
COMMENT ON COLUMN pgtls_logins.logins IS 'how often';
COMMENT ON COLUMN pgtls_logins.last_at IS 'the last time';
REVOKE ALL ON pgtls_logins FROM PUBLIC;
GRANT SELECT ON pgtls_logins TO pg_monitor;

CREATE FUNCTION pgtls_recent_failures()
RETURNS TABLE (
    last_at timestamptz, reason text, count bigint, client_addr inet, usename text, datname text,
    client_subject text, client_issuer text, client_not_after timestamptz, subject text, issuer text, serial numeric,
    depth integer, verify_error text, message text, hint text, offered text, first_at timestamptz, fingerprint text,
    client_fingerprint text)
AS 'MODULE_PATHNAME', 'pgtls_recent_failures_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE
ROWS 128;
COMMENT ON FUNCTION pgtls_recent_failures() IS
'function behind the view pgtls_recent_failures';
REVOKE ALL ON FUNCTION pgtls_recent_failures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_recent_failures() TO pg_monitor;

CREATE VIEW pgtls_recent_failures AS SELECT * FROM pgtls_recent_failures();
COMMENT ON VIEW pgtls_recent_failures IS
'the last clients that were turned away, newest first, with their certificates as far as they are known, and what to do';
COMMENT ON COLUMN pgtls_recent_failures.last_at IS 'when it came last';
COMMENT ON COLUMN pgtls_recent_failures.reason IS 'why, as in pgtls_failures';
COMMENT ON COLUMN pgtls_recent_failures.count IS 'how often it came: equal failures of one client are one row';
COMMENT ON COLUMN pgtls_recent_failures.client_addr IS 'address of the client';
COMMENT ON COLUMN pgtls_recent_failures.usename IS 'role that it asked for, if it came that far';
COMMENT ON COLUMN pgtls_recent_failures.datname IS 'database that it asked for, if it came that far';
COMMENT ON COLUMN pgtls_recent_failures.client_subject IS 'subject of the client''s own certificate';
COMMENT ON COLUMN pgtls_recent_failures.client_issuer IS 'issuer of the client''s own certificate';
COMMENT ON COLUMN pgtls_recent_failures.client_not_after IS 'when the client''s own certificate ends';
COMMENT ON COLUMN pgtls_recent_failures.subject IS 'subject of the certificate that offends, which may be a CA''s';
COMMENT ON COLUMN pgtls_recent_failures.issuer IS 'issuer of the certificate that offends';
COMMENT ON COLUMN pgtls_recent_failures.serial IS 'serial number of the certificate that offends';
COMMENT ON COLUMN pgtls_recent_failures.depth IS 'place of that certificate in the chain; 0 is the client''s own';
COMMENT ON COLUMN pgtls_recent_failures.verify_error IS 'what OpenSSL has against the chain';
COMMENT ON COLUMN pgtls_recent_failures.message IS 'what the server logged';
COMMENT ON COLUMN pgtls_recent_failures.hint IS 'what to do, and by whom';
COMMENT ON COLUMN pgtls_recent_failures.offered IS 'newest protocol version and groups that the client offered, the group that it likes best first';
COMMENT ON COLUMN pgtls_recent_failures.first_at IS 'when it came first';
COMMENT ON COLUMN pgtls_recent_failures.fingerprint IS 'SHA-256 of the certificate that offends, in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_recent_failures.client_fingerprint IS 'SHA-256 of the client''s own certificate, in lower-case hexadecimal';
REVOKE ALL ON pgtls_recent_failures FROM PUBLIC;
GRANT SELECT ON pgtls_recent_failures TO pg_monitor;

CREATE FUNCTION pgtls_client_certificates()
RETURNS TABLE (
    cn text, status text, ends_at timestamptz, status_detail text, connected integer,
    last_seen timestamptz, logins bigint, roles text[], databases text[], last_client_addr inet,
    status_on_file text, superseded_by text, first_seen timestamptz, failed_logins bigint,
    subject text, issuer text, not_before timestamptz, not_after timestamptz, san text[],
    serial numeric, serial_hex text, subject_rfc2253 text, is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer,
    signature_algorithm text, self_signed boolean, version integer, crl_urls text[],
    ocsp_urls text[], fingerprint text, spki_fingerprint text, subject_key_id text,
    authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_client_certificates_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION pgtls_client_certificates() IS
'function behind the view pgtls_client_certificates';
REVOKE ALL ON FUNCTION pgtls_client_certificates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_client_certificates() TO pg_monitor;

CREATE VIEW pgtls_client_certificates AS SELECT * FROM pgtls_client_certificates();
COMMENT ON VIEW pgtls_client_certificates IS
'every client certificate that the server has verified at a login, who used it from where, and what it is worth now';
COMMENT ON COLUMN pgtls_client_certificates.cn IS 'first common name of the subject';
COMMENT ON COLUMN pgtls_client_certificates.status IS 'what the certificate is worth to a new login now: valid, renew_soon, expired, not_yet_valid, revoked, untrusted, crl_unavailable or unknown';
COMMENT ON COLUMN pgtls_client_certificates.ends_at IS 'earliest end of validity in the chain';
COMMENT ON COLUMN pgtls_client_certificates.status_detail IS 'why the status is what it is';
COMMENT ON COLUMN pgtls_client_certificates.connected IS 'sessions that use it now';
COMMENT ON COLUMN pgtls_client_certificates.last_seen IS 'last login, successful or not';
COMMENT ON COLUMN pgtls_client_certificates.logins IS 'successful logins';
COMMENT ON COLUMN pgtls_client_certificates.roles IS 'roles that it was used for';
COMMENT ON COLUMN pgtls_client_certificates.databases IS 'databases that it was used for';
COMMENT ON COLUMN pgtls_client_certificates.last_client_addr IS 'address of its last login';
COMMENT ON COLUMN pgtls_client_certificates.status_on_file IS 'status by the files as they are, as after a reload';
COMMENT ON COLUMN pgtls_client_certificates.superseded_by IS 'fingerprint of the newer certificate with which the same identity has logged in';
COMMENT ON COLUMN pgtls_client_certificates.first_seen IS 'first login';
COMMENT ON COLUMN pgtls_client_certificates.failed_logins IS 'logins that failed after the certificate was verified';
COMMENT ON COLUMN pgtls_client_certificates.subject IS 'distinguished name of the subject, never truncated';
COMMENT ON COLUMN pgtls_client_certificates.issuer IS 'distinguished name of the issuer, never truncated';
COMMENT ON COLUMN pgtls_client_certificates.not_before IS 'start of validity';
COMMENT ON COLUMN pgtls_client_certificates.not_after IS 'end of validity';
COMMENT ON COLUMN pgtls_client_certificates.san IS 'subject alternative names, each with its type';
COMMENT ON COLUMN pgtls_client_certificates.serial IS 'serial number';
COMMENT ON COLUMN pgtls_client_certificates.serial_hex IS 'serial number in hexadecimal, as OpenSSL prints it';
COMMENT ON COLUMN pgtls_client_certificates.subject_rfc2253 IS 'the subject as a map with clientname=DN compares it';
COMMENT ON COLUMN pgtls_client_certificates.is_ca IS 'whether basicConstraints say that this is a CA';
COMMENT ON COLUMN pgtls_client_certificates.path_length IS 'how many CAs may follow below it';
COMMENT ON COLUMN pgtls_client_certificates.key_usage IS 'what the key may be used for';
COMMENT ON COLUMN pgtls_client_certificates.extended_key_usage IS 'for which purposes the certificate may be used';
COMMENT ON COLUMN pgtls_client_certificates.key_algorithm IS 'algorithm of the public key';
COMMENT ON COLUMN pgtls_client_certificates.key_bits IS 'size of the public key in bits';
COMMENT ON COLUMN pgtls_client_certificates.signature_algorithm IS 'algorithm of the issuer''s signature';
COMMENT ON COLUMN pgtls_client_certificates.self_signed IS 'whether subject and issuer are the same and its own key signed it';
COMMENT ON COLUMN pgtls_client_certificates.version IS 'version of X.509';
COMMENT ON COLUMN pgtls_client_certificates.crl_urls IS 'where the issuer publishes CRLs';
COMMENT ON COLUMN pgtls_client_certificates.ocsp_urls IS 'where the issuer answers OCSP requests';
COMMENT ON COLUMN pgtls_client_certificates.fingerprint IS 'SHA-256 of the certificate in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_client_certificates.spki_fingerprint IS 'SHA-256 of the public key in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_client_certificates.subject_key_id IS 'subject key identifier in hexadecimal';
COMMENT ON COLUMN pgtls_client_certificates.authority_key_id IS 'key identifier of the issuer in hexadecimal';
COMMENT ON COLUMN pgtls_client_certificates.problems IS 'what is broken or does not mean what it seems to; NULL if nothing is';
REVOKE ALL ON pgtls_client_certificates FROM PUBLIC;
GRANT SELECT ON pgtls_client_certificates TO pg_monitor;

CREATE FUNCTION pgtls_terminate_invalid(
    dry_run boolean DEFAULT true, on_file boolean DEFAULT false, grace interval DEFAULT NULL)
RETURNS TABLE (pid integer, usename text, credential_status text, credential_detail text, terminated boolean)
AS 'MODULE_PATHNAME', 'pgtls_terminate_invalid_wrapper'
LANGUAGE C VOLATILE PARALLEL UNSAFE
ROWS 10;
COMMENT ON FUNCTION pgtls_terminate_invalid(boolean, boolean, interval) IS
'sessions whose certificate is expired, not yet valid, revoked or untrusted by now; with dry_run false, ends them, after waiting for open transactions no longer than grace';
REVOKE ALL ON FUNCTION pgtls_terminate_invalid(boolean, boolean, interval) FROM PUBLIC;

CREATE FUNCTION pgtls_forget(fingerprint text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgtls_forget_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtls_forget(text) IS
'forgets one client certificate of the inventory, by its SHA-256; whether it was there';
REVOKE ALL ON FUNCTION pgtls_forget(text) FROM PUBLIC;

CREATE FUNCTION pgtls_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'pgtls_reset_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION pgtls_reset() IS
'forgets the inventory of client certificates, the counters of failures and the recent failures';
REVOKE ALL ON FUNCTION pgtls_reset() FROM PUBLIC;

/*
 * Works with and without shared_preload_libraries; what only the recorder knows is NULL without.
 */

CREATE FUNCTION pgtls_status()
RETURNS TABLE (preloaded boolean, ssl_on boolean, openssl_built text, openssl_runtime text,
    context_loaded_at timestamptz, in_force_known boolean,
    last_reload_at timestamptz, last_reload_ok boolean, last_reload_error text,
    worker_pid integer, worker_last_check timestamptz, termination_held_back_at timestamptz,
    sessions_terminated bigint,
    tracking boolean, session_slots integer, tracked_sessions integer, failures bigint,
    client_certificates integer, max_client_certificates integer, evicted_client_certificates bigint,
    evicted_expired bigint, evicted_superseded bigint, evicted_valid bigint, unrecorded_client_certificates bigint,
    dropped_records bigint, stats_reset timestamptz, openssl_security_level integer, fips_enabled boolean,
    fips_provider boolean)
AS 'MODULE_PATHNAME', 'pgtls_status_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 1;
COMMENT ON FUNCTION pgtls_status() IS
'function behind the view pgtls_status';
REVOKE ALL ON FUNCTION pgtls_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_status() TO pg_monitor;

CREATE VIEW pgtls_status AS SELECT * FROM pgtls_status();
COMMENT ON VIEW pgtls_status IS
'TLS of the instance and state of the recorder, in one row';
COMMENT ON COLUMN pgtls_status.preloaded IS 'whether the library is in shared_preload_libraries';
COMMENT ON COLUMN pgtls_status.ssl_on IS 'whether the server takes TLS connections';
COMMENT ON COLUMN pgtls_status.openssl_built IS 'OpenSSL that the library was built against';
COMMENT ON COLUMN pgtls_status.openssl_runtime IS 'OpenSSL that is running';
COMMENT ON COLUMN pgtls_status.context_loaded_at IS 'when the TLS configuration in force was loaded';
COMMENT ON COLUMN pgtls_status.in_force_known IS 'whether what is in force is known; else the files stand for it';
COMMENT ON COLUMN pgtls_status.last_reload_at IS 'when the configuration was last reloaded';
COMMENT ON COLUMN pgtls_status.last_reload_ok IS 'whether all of it was taken';
COMMENT ON COLUMN pgtls_status.last_reload_error IS 'what the server said of what was not taken';
COMMENT ON COLUMN pgtls_status.worker_pid IS 'process ID of the background worker; NULL if there is none now';
COMMENT ON COLUMN pgtls_status.worker_last_check IS 'when the worker last checked the certificates of connected sessions';
COMMENT ON COLUMN pgtls_status.termination_held_back_at IS 'when the worker last ended nobody, because it would have been more than credential_max_share allows';
COMMENT ON COLUMN pgtls_status.sessions_terminated IS 'sessions that were ended because of their certificate';
COMMENT ON COLUMN pgtls_status.tracking IS 'whether logins are recorded now';
COMMENT ON COLUMN pgtls_status.session_slots IS 'places for sessions';
COMMENT ON COLUMN pgtls_status.tracked_sessions IS 'sessions that are recorded now';
COMMENT ON COLUMN pgtls_status.failures IS 'failed logins that were counted';
COMMENT ON COLUMN pgtls_status.client_certificates IS 'entries of the inventory';
COMMENT ON COLUMN pgtls_status.max_client_certificates IS 'places in the inventory';
COMMENT ON COLUMN pgtls_status.evicted_client_certificates IS 'entries that were forgotten for want of room';
COMMENT ON COLUMN pgtls_status.evicted_expired IS 'of these, expired ones';
COMMENT ON COLUMN pgtls_status.evicted_superseded IS 'of these, ones with a newer certificate in their place';
COMMENT ON COLUMN pgtls_status.evicted_valid IS 'of these, valid ones';
COMMENT ON COLUMN pgtls_status.unrecorded_client_certificates IS 'certificates for which no place could be made, because all others were in use';
COMMENT ON COLUMN pgtls_status.dropped_records IS 'records that were lost by an error of the recorder';
COMMENT ON COLUMN pgtls_status.stats_reset IS 'when pgtls_reset() was last called; NULL for never since the server started';
COMMENT ON COLUMN pgtls_status.openssl_security_level IS 'security level of OpenSSL for new logins';
COMMENT ON COLUMN pgtls_status.fips_enabled IS 'whether OpenSSL is told to use only algorithms of FIPS 140';
COMMENT ON COLUMN pgtls_status.fips_provider IS 'whether the FIPS provider of OpenSSL is loaded; NULL before OpenSSL 3.0';
REVOKE ALL ON pgtls_status FROM PUBLIC;
GRANT SELECT ON pgtls_status TO pg_monitor;

-- The configured files tell what the instance trusts and revokes, hence pg_monitor. Whoever reads a
-- view runs its functions, so these are granted with it. Files are read at each call: VOLATILE, and
-- not in parallel workers, which have no client.

CREATE FUNCTION pgtls_configuration()
RETURNS TABLE (
    item text, in_force boolean, value_in_force text, value_on_file text, problem text, loaded_at timestamptz,
    changed_at timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_configuration_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 20;
COMMENT ON FUNCTION pgtls_configuration() IS
'function behind the view pgtls_configuration';
REVOKE ALL ON FUNCTION pgtls_configuration() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_configuration() TO pg_monitor;

CREATE VIEW pgtls_configuration AS SELECT * FROM pgtls_configuration();
COMMENT ON VIEW pgtls_configuration IS
'the settings of TLS and authentication in force for new logins, and as a reload would have them: values, and the content of files';
COMMENT ON COLUMN pgtls_configuration.item IS 'setting or file';
COMMENT ON COLUMN pgtls_configuration.in_force IS 'whether the value on file is in force; NULL if that is not known';
COMMENT ON COLUMN pgtls_configuration.value_in_force IS 'value that new logins meet';
COMMENT ON COLUMN pgtls_configuration.value_on_file IS 'value that a reload would take';
COMMENT ON COLUMN pgtls_configuration.problem IS 'what is wrong with the value on file, or differs in it';
COMMENT ON COLUMN pgtls_configuration.loaded_at IS 'when the value in force was loaded';
COMMENT ON COLUMN pgtls_configuration.changed_at IS 'when the file was last changed';
REVOKE ALL ON pgtls_configuration FROM PUBLIC;
GRANT SELECT ON pgtls_configuration TO pg_monitor;

CREATE FUNCTION pgtls_server_certificates()
RETURNS TABLE (
    role text, cn text, status text, not_after timestamptz, in_force boolean, on_file boolean,
    key_matches boolean, problem text, file_name text, "position" bigint, subject text,
    issuer text, not_before timestamptz, san text[], serial numeric, serial_hex text,
    subject_rfc2253 text, is_ca boolean, path_length integer, key_usage text[],
    extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    self_signed boolean, version integer, crl_urls text[], ocsp_urls text[], fingerprint text,
    spki_fingerprint text, subject_key_id text, authority_key_id text, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_server_certificates_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 10;
COMMENT ON FUNCTION pgtls_server_certificates() IS
'function behind the view pgtls_server_certificates';
REVOKE ALL ON FUNCTION pgtls_server_certificates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_server_certificates() TO pg_monitor;

CREATE VIEW pgtls_server_certificates AS
SELECT role, cn, status, not_after, not_after - pg_catalog.now() AS expires_in, in_force, on_file,
       key_matches, problem, file_name, "position", subject, issuer, not_before, san, serial,
       serial_hex, subject_rfc2253, is_ca, path_length, key_usage, extended_key_usage,
       key_algorithm, key_bits, signature_algorithm, self_signed, version, crl_urls, ocsp_urls,
       fingerprint, spki_fingerprint, subject_key_id, authority_key_id, problems
FROM pgtls_server_certificates();
COMMENT ON VIEW pgtls_server_certificates IS
'the certificate that the server shows, those that it sends along, and the CAs that it trusts, in force, on file, or both';
COMMENT ON COLUMN pgtls_server_certificates.role IS 'what it is to the server: server, server_chain or ca';
COMMENT ON COLUMN pgtls_server_certificates.cn IS 'first common name of the subject';
COMMENT ON COLUMN pgtls_server_certificates.status IS 'valid, renew_soon, expired, not_yet_valid or unknown';
COMMENT ON COLUMN pgtls_server_certificates.not_after IS 'end of validity';
COMMENT ON COLUMN pgtls_server_certificates.expires_in IS 'time until the end of validity';
COMMENT ON COLUMN pgtls_server_certificates.in_force IS 'whether new logins meet it';
COMMENT ON COLUMN pgtls_server_certificates.on_file IS 'whether the files have it';
COMMENT ON COLUMN pgtls_server_certificates.key_matches IS 'whether ssl_key_file has its key; NULL for CAs';
COMMENT ON COLUMN pgtls_server_certificates.problem IS 'what is wrong with it';
COMMENT ON COLUMN pgtls_server_certificates.file_name IS 'file it is in';
COMMENT ON COLUMN pgtls_server_certificates."position" IS 'place in the file, from 1';
COMMENT ON COLUMN pgtls_server_certificates.subject IS 'distinguished name of the subject, never truncated';
COMMENT ON COLUMN pgtls_server_certificates.issuer IS 'distinguished name of the issuer, never truncated';
COMMENT ON COLUMN pgtls_server_certificates.not_before IS 'start of validity';
COMMENT ON COLUMN pgtls_server_certificates.san IS 'subject alternative names, each with its type';
COMMENT ON COLUMN pgtls_server_certificates.serial IS 'serial number';
COMMENT ON COLUMN pgtls_server_certificates.serial_hex IS 'serial number in hexadecimal, as OpenSSL prints it';
COMMENT ON COLUMN pgtls_server_certificates.subject_rfc2253 IS 'the subject as a map with clientname=DN compares it';
COMMENT ON COLUMN pgtls_server_certificates.is_ca IS 'whether basicConstraints say that this is a CA';
COMMENT ON COLUMN pgtls_server_certificates.path_length IS 'how many CAs may follow below it';
COMMENT ON COLUMN pgtls_server_certificates.key_usage IS 'what the key may be used for';
COMMENT ON COLUMN pgtls_server_certificates.extended_key_usage IS 'for which purposes the certificate may be used';
COMMENT ON COLUMN pgtls_server_certificates.key_algorithm IS 'algorithm of the public key';
COMMENT ON COLUMN pgtls_server_certificates.key_bits IS 'size of the public key in bits';
COMMENT ON COLUMN pgtls_server_certificates.signature_algorithm IS 'algorithm of the issuer''s signature';
COMMENT ON COLUMN pgtls_server_certificates.self_signed IS 'whether subject and issuer are the same and its own key signed it';
COMMENT ON COLUMN pgtls_server_certificates.version IS 'version of X.509';
COMMENT ON COLUMN pgtls_server_certificates.crl_urls IS 'where the issuer publishes CRLs';
COMMENT ON COLUMN pgtls_server_certificates.ocsp_urls IS 'where the issuer answers OCSP requests';
COMMENT ON COLUMN pgtls_server_certificates.fingerprint IS 'SHA-256 of the certificate in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_server_certificates.spki_fingerprint IS 'SHA-256 of the public key in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_server_certificates.subject_key_id IS 'subject key identifier in hexadecimal';
COMMENT ON COLUMN pgtls_server_certificates.authority_key_id IS 'key identifier of the issuer in hexadecimal';
COMMENT ON COLUMN pgtls_server_certificates.problems IS 'what is broken or does not mean what it seems to; NULL if nothing is';
REVOKE ALL ON pgtls_server_certificates FROM PUBLIC;
GRANT SELECT ON pgtls_server_certificates TO pg_monitor;

CREATE FUNCTION pgtls_all_endings()
RETURNS TABLE (ends_at timestamptz, kind text, name text, status text, detail text)
AS 'MODULE_PATHNAME', 'pgtls_all_endings_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 100;
COMMENT ON FUNCTION pgtls_all_endings() IS
'function behind pgtls_expiring';
REVOKE ALL ON FUNCTION pgtls_all_endings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_all_endings() TO pg_monitor;

CREATE FUNCTION pgtls_expiring(within interval DEFAULT NULL)
RETURNS TABLE (ends_at timestamptz, expires_in interval, kind text, name text, status text, detail text)
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT e.ends_at, e.ends_at - pg_catalog.now(), e.kind, e.name, e.status, e.detail
    FROM pgtls_all_endings() e
    WHERE within IS NULL OR e.ends_at <= pg_catalog.now() + within
    ORDER BY e.ends_at, e.name;
END;
COMMENT ON FUNCTION pgtls_expiring(interval) IS
'what ends within a time, soonest first: certificates of the server and of clients, CAs and CRLs; NULL for all of them';
REVOKE ALL ON FUNCTION pgtls_expiring(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_expiring(interval) TO pg_monitor;

CREATE FUNCTION pgtls_check_reload()
RETURNS TABLE (step integer, item text, outcome text, detail text, hint text, file_name text, line_number integer)
AS 'MODULE_PATHNAME', 'pgtls_check_reload_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 15;
COMMENT ON FUNCTION pgtls_check_reload() IS
'what a reload of the files as they are would do, step by step, and whether a restart would come up; changes nothing';
REVOKE ALL ON FUNCTION pgtls_check_reload() FROM PUBLIC;

CREATE FUNCTION pgtls_crls()
RETURNS TABLE (
    file_name text, "position" bigint, issuer text, status text, this_update timestamptz, next_update timestamptz,
    in_force boolean, on_file boolean, problem text, revoked_count bigint, signature_valid boolean, crl_number numeric)
AS 'MODULE_PATHNAME', 'pgtls_crls_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 10;
COMMENT ON FUNCTION pgtls_crls() IS
'function behind the view pgtls_crls';
REVOKE ALL ON FUNCTION pgtls_crls() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_crls() TO pg_monitor;

CREATE VIEW pgtls_crls AS SELECT * FROM pgtls_crls();
COMMENT ON VIEW pgtls_crls IS
'every CRL of ssl_crl_file and ssl_crl_dir, in force for new logins, on file, or both';
COMMENT ON COLUMN pgtls_crls.file_name IS 'file it is in';
COMMENT ON COLUMN pgtls_crls."position" IS 'place in the file, from 1';
COMMENT ON COLUMN pgtls_crls.issuer IS 'CA that it is from';
COMMENT ON COLUMN pgtls_crls.status IS 'current, stale, not_yet_valid or unusable, by its dates and signature';
COMMENT ON COLUMN pgtls_crls.this_update IS 'when it was issued';
COMMENT ON COLUMN pgtls_crls.next_update IS 'when the next one is due';
COMMENT ON COLUMN pgtls_crls.in_force IS 'whether new logins are checked by it';
COMMENT ON COLUMN pgtls_crls.on_file IS 'whether the files have it';
COMMENT ON COLUMN pgtls_crls.problem IS 'why it is not used, or what is wrong with it';
COMMENT ON COLUMN pgtls_crls.revoked_count IS 'certificates that it revokes';
COMMENT ON COLUMN pgtls_crls.signature_valid IS 'whether its issuer''s key has signed it; NULL without the issuer''s certificate';
COMMENT ON COLUMN pgtls_crls.crl_number IS 'its number';
REVOKE ALL ON pgtls_crls FROM PUBLIC;
GRANT SELECT ON pgtls_crls TO pg_monitor;

CREATE FUNCTION pgtls_crl_coverage()
RETURNS TABLE (
    subject text, clients_refused boolean, crl_status text, effect text,
    clients_refused_on_file boolean, crl_status_on_file text, effect_on_file text, not_after timestamptz, fingerprint text)
AS 'MODULE_PATHNAME', 'pgtls_crl_coverage_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 10;
COMMENT ON FUNCTION pgtls_crl_coverage() IS
'function behind the view pgtls_crl_coverage';
REVOKE ALL ON FUNCTION pgtls_crl_coverage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_crl_coverage() TO pg_monitor;

CREATE VIEW pgtls_crl_coverage AS SELECT * FROM pgtls_crl_coverage();
COMMENT ON VIEW pgtls_crl_coverage IS
'every CA of ssl_ca_file: whether its clients can be checked for revocation, and what the CRLs do to their logins';
COMMENT ON COLUMN pgtls_crl_coverage.subject IS 'CA of ssl_ca_file';
COMMENT ON COLUMN pgtls_crl_coverage.clients_refused IS 'whether all clients of the CA are refused now';
COMMENT ON COLUMN pgtls_crl_coverage.crl_status IS 'state of its revocation lists';
COMMENT ON COLUMN pgtls_crl_coverage.effect IS 'what that does to logins';
COMMENT ON COLUMN pgtls_crl_coverage.clients_refused_on_file IS 'the same by the files as they are, as after a reload';
COMMENT ON COLUMN pgtls_crl_coverage.crl_status_on_file IS 'state of the revocation lists on file';
COMMENT ON COLUMN pgtls_crl_coverage.effect_on_file IS 'what they would do to logins after a reload';
COMMENT ON COLUMN pgtls_crl_coverage.not_after IS 'end of validity of the CA';
COMMENT ON COLUMN pgtls_crl_coverage.fingerprint IS 'SHA-256 of the certificate in lower-case hexadecimal';
REVOKE ALL ON pgtls_crl_coverage FROM PUBLIC;
GRANT SELECT ON pgtls_crl_coverage TO pg_monitor;

CREATE FUNCTION pgtls_crl_status(certificate text)
RETURNS TABLE (
    evaluated text, depth integer, subject text, serial numeric, status text, detail text, revoked_at timestamptz, reason text,
    issuer text, crl_number numeric, this_update timestamptz, next_update timestamptz, crl_source text)
AS 'MODULE_PATHNAME', 'pgtls_crl_status_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 3;
COMMENT ON FUNCTION pgtls_crl_status(text) IS
'revocation status of a certificate given as PEM, and of its issuers, by the configured files as they are now';
REVOKE ALL ON FUNCTION pgtls_crl_status(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_crl_status(text) TO pg_monitor;

/*
 * D. Who may log in. What reveals rules or other identities is for superusers, who may grant it on.
 */
-- The role of another session or certificate would be a secret; one's own certificate is not.

CREATE FUNCTION ssl_check_mapping(role name)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ssl_check_mapping_role_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_check_mapping(name) IS
'whether this session''s client certificate may be that role under the rule and map it logged in by; NULL if that rule does not compare the certificate with the role';

CREATE FUNCTION ssl_check_mapping(role name, map text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ssl_check_mapping_map_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_check_mapping(name, text) IS
'whether this session''s client certificate may be that role under a named map of pg_ident.conf';

CREATE FUNCTION pgtls_hba_rules()
RETURNS TABLE (
    rule_number bigint, file_name text, line_number integer, type text, database text[], user_name text[],
    address text, netmask text, auth_method text, clientcert text, clientname text, map_name text, error text,
    shadowed_by text, note text, comment text)
AS 'MODULE_PATHNAME', 'pgtls_hba_rules_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_hba_rules() FROM PUBLIC;
COMMENT ON FUNCTION pgtls_hba_rules() IS
'the rules of pg_hba.conf as the file is now';

CREATE VIEW pgtls_hba_rules AS SELECT * FROM pgtls_hba_rules();
REVOKE ALL ON pgtls_hba_rules FROM PUBLIC;
COMMENT ON VIEW pgtls_hba_rules IS
'the rules of pg_hba.conf as the file is now, with what they ask of client certificates; quoted names are in double quotes';
COMMENT ON COLUMN pgtls_hba_rules.rule_number IS 'place among the rules; NULL for a line with an error';
COMMENT ON COLUMN pgtls_hba_rules.file_name IS 'file of the rule';
COMMENT ON COLUMN pgtls_hba_rules.line_number IS 'line of the rule';
COMMENT ON COLUMN pgtls_hba_rules.type IS 'kind of connection';
COMMENT ON COLUMN pgtls_hba_rules.database IS 'databases';
COMMENT ON COLUMN pgtls_hba_rules.user_name IS 'roles';
COMMENT ON COLUMN pgtls_hba_rules.address IS 'addresses or host name';
COMMENT ON COLUMN pgtls_hba_rules.netmask IS 'mask of the addresses';
COMMENT ON COLUMN pgtls_hba_rules.auth_method IS 'authentication method';
COMMENT ON COLUMN pgtls_hba_rules.clientcert IS 'what is demanded of a client certificate';
COMMENT ON COLUMN pgtls_hba_rules.clientname IS 'which name of the certificate is compared with the role; NULL if none is';
COMMENT ON COLUMN pgtls_hba_rules.map_name IS 'map of pg_ident.conf that is used';
COMMENT ON COLUMN pgtls_hba_rules.error IS 'why the server does not load the line';
COMMENT ON COLUMN pgtls_hba_rules.shadowed_by IS 'file and line of an earlier rule that takes every connection that this one is for';
COMMENT ON COLUMN pgtls_hba_rules.note IS 'what there is to know of a rule that the server takes: whom it does not admit, or more than it seems to';
COMMENT ON COLUMN pgtls_hba_rules.comment IS 'the comment right above the line';

CREATE FUNCTION pgtls_ident_mappings()
RETURNS TABLE (
    map_number bigint, file_name text, line_number integer, map_name text, sys_name text, pg_username text, error text,
    note text, comment text)
AS 'MODULE_PATHNAME', 'pgtls_ident_mappings_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_ident_mappings() FROM PUBLIC;
COMMENT ON FUNCTION pgtls_ident_mappings() IS
'the mappings of pg_ident.conf as the file is now';

CREATE VIEW pgtls_ident_mappings AS SELECT * FROM pgtls_ident_mappings();
REVOKE ALL ON pgtls_ident_mappings FROM PUBLIC;
COMMENT ON VIEW pgtls_ident_mappings IS
'the mappings of pg_ident.conf as the file is now; a role that is quoted there is in double quotes';
COMMENT ON COLUMN pgtls_ident_mappings.map_number IS 'place among the mappings; NULL for a line with an error';
COMMENT ON COLUMN pgtls_ident_mappings.file_name IS 'file of the mapping';
COMMENT ON COLUMN pgtls_ident_mappings.line_number IS 'line of the mapping';
COMMENT ON COLUMN pgtls_ident_mappings.map_name IS 'map';
COMMENT ON COLUMN pgtls_ident_mappings.sys_name IS 'identity, or a regular expression for it';
COMMENT ON COLUMN pgtls_ident_mappings.pg_username IS 'role';
COMMENT ON COLUMN pgtls_ident_mappings.note IS 'what there is to know of a mapping that the server takes: that nothing uses it, or that it matches more than it seems to';
COMMENT ON COLUMN pgtls_ident_mappings.comment IS 'the comment right above the line';
COMMENT ON COLUMN pgtls_ident_mappings.error IS 'why the server does not load the line';

CREATE FUNCTION pgtls_check_mapping(identity text, role name, map text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgtls_check_mapping_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_check_mapping(text, name, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_check_mapping(text, name, text) IS
'whether a map of pg_ident.conf lets an identity be a role; without a map they have to be the same';

CREATE FUNCTION pgtls_explain_mapping(identity text, role name, map text DEFAULT NULL)
RETURNS TABLE (
    file_name text, line_number integer, map_name text, pattern text, target text, matched boolean, maps_to text, note text)
AS 'MODULE_PATHNAME', 'pgtls_explain_mapping_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_explain_mapping(text, name, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_explain_mapping(text, name, text) IS
'the lines of a map of pg_ident.conf, with what each makes of an identity that wants to be a role';

CREATE FUNCTION pgtls_mapped_roles(identity text, map text DEFAULT NULL)
RETURNS TABLE (rolname text, file_name text, line_number integer)
AS 'MODULE_PATHNAME', 'pgtls_mapped_roles_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_mapped_roles(text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_mapped_roles(text, text) IS
'the login roles that a map of pg_ident.conf lets an identity be, each with the line that says so';

CREATE FUNCTION pgtls_explain_login(
    certificate text, role name, database name, client_addr inet,
    at timestamptz DEFAULT now(), ssl boolean DEFAULT true, crls text DEFAULT NULL,
    replication boolean DEFAULT NULL, on_file boolean DEFAULT false,
    protocol_version text DEFAULT NULL, host text DEFAULT NULL)
RETURNS TABLE (
    step integer, check_name text, outcome text, detail text, hint text, source text, client_sees text, server_logs text)
AS 'MODULE_PATHNAME', 'pgtls_explain_login_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_explain_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_explain_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text) IS
'the steps of a login with this certificate (PEM, with what the client sends along; NULL for none) from this address (NULL for the Unix socket), and the verdict';

CREATE FUNCTION pgtls_check_login(
    certificate text, role name, database name, client_addr inet,
    at timestamptz DEFAULT now(), ssl boolean DEFAULT true, crls text DEFAULT NULL,
    replication boolean DEFAULT NULL, on_file boolean DEFAULT false,
    protocol_version text DEFAULT NULL, host text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgtls_check_login_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_check_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_check_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean, text, text) IS
'whether a login with this certificate would succeed; NULL if only another system can tell';

CREATE FUNCTION pgtls_login_ends_at(certificate text, role name, database name, client_addr inet)
RETURNS TABLE (ends_at timestamptz, cause text, detail text)
AS 'MODULE_PATHNAME', 'pgtls_login_ends_at_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_login_ends_at(text, name, name, inet) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_login_ends_at(text, name, name, inet) IS
'until when a login over TLS with this certificate succeeds, and what ends it first';

CREATE FUNCTION pgtls_rehearse(
    ca text DEFAULT NULL, crl text DEFAULT NULL, hba text DEFAULT NULL, ident text DEFAULT NULL,
    at timestamptz DEFAULT NULL, everybody boolean DEFAULT false)
RETURNS TABLE (
    identity text, rolname text, datname text, client_addr inet, verdict text, verdict_after text,
    step text, reason text, hint text, last_seen timestamptz, logins bigint, connected bigint, fingerprint text)
AS 'MODULE_PATHNAME', 'pgtls_rehearse_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_rehearse(text, text, text, text, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_rehearse(text, text, text, text, timestamptz, boolean) IS
'whose login a change would decide otherwise, of all clients that were seen: contents of a new CA file, CRL file, pg_hba.conf, pg_ident.conf, another date (NULL: as in force)';

CREATE FUNCTION pgtls_rehearse_summary(
    ca text DEFAULT NULL, crl text DEFAULT NULL, hba text DEFAULT NULL, ident text DEFAULT NULL,
    at timestamptz DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'pgtls_rehearse_summary_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_rehearse_summary(text, text, text, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_rehearse_summary(text, text, text, text, timestamptz) IS
'how many logins a change would keep, lock out and let in, in one line';

/*
 * E. Monitoring. All of it is for pg_monitor.
 */

CREATE FUNCTION pgtls_metrics(metric_group text DEFAULT NULL)
RETURNS TABLE (
    name text, label_names text[], label_values text[], value double precision, type text, help text)
AS 'MODULE_PATHNAME', 'pgtls_metrics_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED
ROWS 100;
COMMENT ON FUNCTION pgtls_metrics(text) IS
'function behind the view pgtls_metrics and the views of its groups; NULL for all groups';
REVOKE ALL ON FUNCTION pgtls_metrics(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_metrics(text) TO pg_monitor;

CREATE VIEW pgtls_metrics AS
SELECT name, pg_catalog.jsonb_object(label_names, label_values) AS labels, value, type, help
FROM pgtls_metrics();
COMMENT ON VIEW pgtls_metrics IS
'all metrics, one row for each sample; exporters read the flat views pgtls_metrics_*';
COMMENT ON COLUMN pgtls_metrics.name IS 'name of the metric';
COMMENT ON COLUMN pgtls_metrics.labels IS 'its labels';
COMMENT ON COLUMN pgtls_metrics.value IS 'its value; times are seconds of Unix time';
COMMENT ON COLUMN pgtls_metrics.type IS 'gauge or counter';
COMMENT ON COLUMN pgtls_metrics.help IS 'what it means';
REVOKE ALL ON pgtls_metrics FROM PUBLIC;
GRANT SELECT ON pgtls_metrics TO pg_monitor;

CREATE FUNCTION pgtls_collection_errors()
RETURNS TABLE (source text, detail text)
AS 'MODULE_PATHNAME', 'pgtls_collection_errors_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 3;
COMMENT ON FUNCTION pgtls_collection_errors() IS
'function behind the view pgtls_collection_errors';
REVOKE ALL ON FUNCTION pgtls_collection_errors() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_collection_errors() TO pg_monitor;

CREATE VIEW pgtls_collection_errors AS SELECT * FROM pgtls_collection_errors();
COMMENT ON VIEW pgtls_collection_errors IS
'what could not be collected for the metrics, and why; all other metrics are there';
COMMENT ON COLUMN pgtls_collection_errors.source IS 'what was to be collected';
COMMENT ON COLUMN pgtls_collection_errors.detail IS 'why it was not';
REVOKE ALL ON pgtls_collection_errors FROM PUBLIC;
GRANT SELECT ON pgtls_collection_errors TO pg_monitor;

CREATE VIEW pgtls_metrics_certificate AS
SELECT label_values[1] AS role,
       label_values[2] AS subject_cn,
       label_values[3] AS issuer_cn,
       label_values[4] AS serial_number,
       label_values[5] AS fingerprint,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_certificate_not_after_timestamp_seconds') AS not_after_timestamp_seconds,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_certificate_not_before_timestamp_seconds') AS not_before_timestamp_seconds,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_certificate_on_file') AS on_file
FROM pgtls_metrics('certificate')
GROUP BY label_values;
COMMENT ON VIEW pgtls_metrics_certificate IS
'metrics pgtls_certificate_* for exporters: not_after_timestamp_seconds, not_before_timestamp_seconds, on_file';
COMMENT ON COLUMN pgtls_metrics_certificate.role IS 'server, server_chain or ca';
COMMENT ON COLUMN pgtls_metrics_certificate.subject_cn IS 'common name of the subject, or the whole name';
COMMENT ON COLUMN pgtls_metrics_certificate.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_certificate.serial_number IS 'serial number, decimal';
COMMENT ON COLUMN pgtls_metrics_certificate.fingerprint IS 'SHA-256 in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_metrics_certificate.not_after_timestamp_seconds IS 'end of validity of a certificate of the server: its own, one it sends along, or a CA it trusts';
COMMENT ON COLUMN pgtls_metrics_certificate.not_before_timestamp_seconds IS 'start of validity of a certificate of the server';
COMMENT ON COLUMN pgtls_metrics_certificate.on_file IS 'whether the configured files hold the certificate';
REVOKE ALL ON pgtls_metrics_certificate FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_certificate TO pg_monitor;

CREATE VIEW pgtls_metrics_certificate_in_force AS
SELECT label_values[1] AS role,
       label_values[2] AS subject_cn,
       label_values[3] AS issuer_cn,
       label_values[4] AS serial_number,
       label_values[5] AS fingerprint,
       value AS in_force
FROM pgtls_metrics('certificate_in_force');
COMMENT ON VIEW pgtls_metrics_certificate_in_force IS
'metrics pgtls_certificate_* for exporters: in_force';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.role IS 'server, server_chain or ca';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.subject_cn IS 'common name of the subject, or the whole name';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.serial_number IS 'serial number, decimal';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.fingerprint IS 'SHA-256 in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_metrics_certificate_in_force.in_force IS 'whether new logins meet the certificate';
REVOKE ALL ON pgtls_metrics_certificate_in_force FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_certificate_in_force TO pg_monitor;

CREATE VIEW pgtls_metrics_key_matches AS
SELECT label_values[1] AS role,
       label_values[2] AS subject_cn,
       label_values[3] AS issuer_cn,
       label_values[4] AS serial_number,
       label_values[5] AS fingerprint,
       value AS key_matches
FROM pgtls_metrics('key_matches');
COMMENT ON VIEW pgtls_metrics_key_matches IS
'metrics pgtls_certificate_* for exporters: key_matches';
COMMENT ON COLUMN pgtls_metrics_key_matches.role IS 'server, server_chain or ca';
COMMENT ON COLUMN pgtls_metrics_key_matches.subject_cn IS 'common name of the subject, or the whole name';
COMMENT ON COLUMN pgtls_metrics_key_matches.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_key_matches.serial_number IS 'serial number, decimal';
COMMENT ON COLUMN pgtls_metrics_key_matches.fingerprint IS 'SHA-256 in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_metrics_key_matches.key_matches IS 'whether ssl_key_file holds the key of the server''s certificate';
REVOKE ALL ON pgtls_metrics_key_matches FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_key_matches TO pg_monitor;

CREATE VIEW pgtls_metrics_crl AS
SELECT label_values[1] AS issuer_cn,
       label_values[2] AS crl_number,
       label_values[3] AS file_name,
       label_values[4] AS position,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_crl_current') AS current,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_crl_revoked_certificates') AS revoked_certificates,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_crl_on_file') AS on_file
FROM pgtls_metrics('crl')
GROUP BY label_values;
COMMENT ON VIEW pgtls_metrics_crl IS
'metrics pgtls_crl_* for exporters: current, revoked_certificates, on_file';
COMMENT ON COLUMN pgtls_metrics_crl.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_crl.crl_number IS 'number of the CRL, decimal';
COMMENT ON COLUMN pgtls_metrics_crl.file_name IS 'file it is in; empty if in none any more';
COMMENT ON COLUMN pgtls_metrics_crl.position IS 'place in the file, from 1';
COMMENT ON COLUMN pgtls_metrics_crl.current IS 'whether a CRL is within its dates and signed by its issuer';
COMMENT ON COLUMN pgtls_metrics_crl.revoked_certificates IS 'certificates that a CRL revokes';
COMMENT ON COLUMN pgtls_metrics_crl.on_file IS 'whether the configured files hold the CRL';
REVOKE ALL ON pgtls_metrics_crl FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_crl TO pg_monitor;

CREATE VIEW pgtls_metrics_crl_next_update AS
SELECT label_values[1] AS issuer_cn,
       label_values[2] AS crl_number,
       label_values[3] AS file_name,
       label_values[4] AS position,
       value AS next_update_timestamp_seconds
FROM pgtls_metrics('crl_next_update');
COMMENT ON VIEW pgtls_metrics_crl_next_update IS
'metrics pgtls_crl_* for exporters: next_update_timestamp_seconds';
COMMENT ON COLUMN pgtls_metrics_crl_next_update.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_crl_next_update.crl_number IS 'number of the CRL, decimal';
COMMENT ON COLUMN pgtls_metrics_crl_next_update.file_name IS 'file it is in; empty if in none any more';
COMMENT ON COLUMN pgtls_metrics_crl_next_update.position IS 'place in the file, from 1';
COMMENT ON COLUMN pgtls_metrics_crl_next_update.next_update_timestamp_seconds IS 'when the next CRL of this issuer is due';
REVOKE ALL ON pgtls_metrics_crl_next_update FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_crl_next_update TO pg_monitor;

CREATE VIEW pgtls_metrics_crl_in_force AS
SELECT label_values[1] AS issuer_cn,
       label_values[2] AS crl_number,
       label_values[3] AS file_name,
       label_values[4] AS position,
       value AS in_force
FROM pgtls_metrics('crl_in_force');
COMMENT ON VIEW pgtls_metrics_crl_in_force IS
'metrics pgtls_crl_* for exporters: in_force';
COMMENT ON COLUMN pgtls_metrics_crl_in_force.issuer_cn IS 'common name of the issuer, or the whole name';
COMMENT ON COLUMN pgtls_metrics_crl_in_force.crl_number IS 'number of the CRL, decimal';
COMMENT ON COLUMN pgtls_metrics_crl_in_force.file_name IS 'file it is in; empty if in none any more';
COMMENT ON COLUMN pgtls_metrics_crl_in_force.position IS 'place in the file, from 1';
COMMENT ON COLUMN pgtls_metrics_crl_in_force.in_force IS 'whether new logins are checked by the CRL';
REVOKE ALL ON pgtls_metrics_crl_in_force FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_crl_in_force TO pg_monitor;

CREATE VIEW pgtls_metrics_ca AS
SELECT label_values[1] AS subject_cn,
       label_values[2] AS fingerprint,
       value AS clients_refused
FROM pgtls_metrics('ca');
COMMENT ON VIEW pgtls_metrics_ca IS
'metrics pgtls_ca_* for exporters: clients_refused';
COMMENT ON COLUMN pgtls_metrics_ca.subject_cn IS 'common name of the subject, or the whole name';
COMMENT ON COLUMN pgtls_metrics_ca.fingerprint IS 'SHA-256 in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_metrics_ca.clients_refused IS 'whether all clients of a CA are refused now because of its CRLs';
REVOKE ALL ON pgtls_metrics_ca FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_ca TO pg_monitor;

CREATE VIEW pgtls_metrics_ca_on_file AS
SELECT label_values[1] AS subject_cn,
       label_values[2] AS fingerprint,
       value AS clients_refused_on_file
FROM pgtls_metrics('ca_on_file');
COMMENT ON VIEW pgtls_metrics_ca_on_file IS
'metrics pgtls_ca_* for exporters: clients_refused_on_file';
COMMENT ON COLUMN pgtls_metrics_ca_on_file.subject_cn IS 'common name of the subject, or the whole name';
COMMENT ON COLUMN pgtls_metrics_ca_on_file.fingerprint IS 'SHA-256 in lower-case hexadecimal';
COMMENT ON COLUMN pgtls_metrics_ca_on_file.clients_refused_on_file IS 'whether all clients of a CA would be refused after a reload';
REVOKE ALL ON pgtls_metrics_ca_on_file FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_ca_on_file TO pg_monitor;

CREATE VIEW pgtls_metrics_configuration AS
SELECT label_values[1] AS item,
       value AS in_force
FROM pgtls_metrics('configuration');
COMMENT ON VIEW pgtls_metrics_configuration IS
'metrics pgtls_configuration_* for exporters: in_force';
COMMENT ON COLUMN pgtls_metrics_configuration.item IS 'setting or file';
COMMENT ON COLUMN pgtls_metrics_configuration.in_force IS 'whether the value or content on file is in force';
REVOKE ALL ON pgtls_metrics_configuration FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_configuration TO pg_monitor;

CREATE VIEW pgtls_metrics_reload AS
SELECT pg_catalog.max(value) FILTER (WHERE name = 'pgtls_reload_success') AS success,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_reload_last_timestamp_seconds') AS last_timestamp_seconds
FROM pgtls_metrics('reload')
GROUP BY label_values;
COMMENT ON VIEW pgtls_metrics_reload IS
'metrics pgtls_reload_* for exporters: success, last_timestamp_seconds';
COMMENT ON COLUMN pgtls_metrics_reload.success IS 'whether the last reload of the configuration took';
COMMENT ON COLUMN pgtls_metrics_reload.last_timestamp_seconds IS 'when the configuration was last reloaded';
REVOKE ALL ON pgtls_metrics_reload FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_reload TO pg_monitor;

CREATE VIEW pgtls_metrics_connections AS
SELECT label_values[1] AS encryption,
       label_values[2] AS version,
       label_values[3] AS cipher,
       value AS connections
FROM pgtls_metrics('connections');
COMMENT ON VIEW pgtls_metrics_connections IS
'metrics pgtls_tcp_* for exporters: connections';
COMMENT ON COLUMN pgtls_metrics_connections.encryption IS 'tls or none';
COMMENT ON COLUMN pgtls_metrics_connections.version IS 'version; empty without TLS';
COMMENT ON COLUMN pgtls_metrics_connections.cipher IS 'cipher suite; empty without TLS';
COMMENT ON COLUMN pgtls_metrics_connections.connections IS 'clients that are connected over TCP, by encryption';
REVOKE ALL ON pgtls_metrics_connections FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_connections TO pg_monitor;

CREATE VIEW pgtls_metrics_sessions AS
SELECT label_values[1] AS status,
       value AS credentials
FROM pgtls_metrics('sessions');
COMMENT ON VIEW pgtls_metrics_sessions IS
'metrics pgtls_session_* for exporters: credentials';
COMMENT ON COLUMN pgtls_metrics_sessions.status IS 'what the certificate is worth now';
COMMENT ON COLUMN pgtls_metrics_sessions.credentials IS 'sessions with a client certificate, by what it is worth now';
REVOKE ALL ON pgtls_metrics_sessions FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_sessions TO pg_monitor;

CREATE VIEW pgtls_metrics_client_certificates AS
SELECT label_values[1] AS status,
       value AS certificates
FROM pgtls_metrics('client_certificates');
COMMENT ON VIEW pgtls_metrics_client_certificates IS
'metrics pgtls_client_* for exporters: certificates';
COMMENT ON COLUMN pgtls_metrics_client_certificates.status IS 'what the certificate is worth now';
COMMENT ON COLUMN pgtls_metrics_client_certificates.certificates IS 'client certificates in the inventory that are not superseded, by what they are worth now';
REVOKE ALL ON pgtls_metrics_client_certificates FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_client_certificates TO pg_monitor;

CREATE VIEW pgtls_metrics_client_certificates_expiring AS
SELECT label_values[1] AS within,
       value AS expiring
FROM pgtls_metrics('client_certificates_expiring');
COMMENT ON VIEW pgtls_metrics_client_certificates_expiring IS
'metrics pgtls_client_certificates_* for exporters: expiring';
COMMENT ON COLUMN pgtls_metrics_client_certificates_expiring.within IS 'time until the end: 7d, 30d or 75d';
COMMENT ON COLUMN pgtls_metrics_client_certificates_expiring.expiring IS 'client certificates in use whose chain ends within that time';
REVOKE ALL ON pgtls_metrics_client_certificates_expiring FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_client_certificates_expiring TO pg_monitor;

CREATE VIEW pgtls_metrics_client_certificates_end AS
SELECT value AS soonest_end_timestamp_seconds
FROM pgtls_metrics('client_certificates_end');
COMMENT ON VIEW pgtls_metrics_client_certificates_end IS
'metrics pgtls_client_certificates_* for exporters: soonest_end_timestamp_seconds';
COMMENT ON COLUMN pgtls_metrics_client_certificates_end.soonest_end_timestamp_seconds IS 'when the first chain of a client certificate in use ends';
REVOKE ALL ON pgtls_metrics_client_certificates_end FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_client_certificates_end TO pg_monitor;

CREATE VIEW pgtls_metrics_logins AS
SELECT label_values[1] AS version,
       label_values[2] AS cipher,
       label_values[3] AS client_certificate,
       value AS logins_total
FROM pgtls_metrics('logins');
COMMENT ON VIEW pgtls_metrics_logins IS
'metrics pgtls_* for exporters: logins_total';
COMMENT ON COLUMN pgtls_metrics_logins.version IS 'TLS version; none without TLS';
COMMENT ON COLUMN pgtls_metrics_logins.cipher IS 'cipher suite';
COMMENT ON COLUMN pgtls_metrics_logins.client_certificate IS 'whether the client had a certificate: true or false';
COMMENT ON COLUMN pgtls_metrics_logins.logins_total IS 'logins over TCP that succeeded';
REVOKE ALL ON pgtls_metrics_logins FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_logins TO pg_monitor;

CREATE VIEW pgtls_metrics_login_failures AS
SELECT label_values[1] AS reason,
       value AS failures_total
FROM pgtls_metrics('login_failures');
COMMENT ON VIEW pgtls_metrics_login_failures IS
'metrics pgtls_login_* for exporters: failures_total';
COMMENT ON COLUMN pgtls_metrics_login_failures.reason IS 'why';
COMMENT ON COLUMN pgtls_metrics_login_failures.failures_total IS 'logins that failed, by reason';
REVOKE ALL ON pgtls_metrics_login_failures FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_login_failures TO pg_monitor;

CREATE VIEW pgtls_metrics_recorder AS
SELECT pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_tracking') AS tracking,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_inventory_entries') AS inventory_entries,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_inventory_room') AS inventory_room,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_evictions_total') AS evictions_total,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_dropped_records_total') AS dropped_records_total,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_recorder_in_force_known') AS in_force_known
FROM pgtls_metrics('recorder')
GROUP BY label_values;
COMMENT ON VIEW pgtls_metrics_recorder IS
'metrics pgtls_recorder_* for exporters: tracking, inventory_entries, inventory_room, evictions_total, dropped_records_total, in_force_known';
COMMENT ON COLUMN pgtls_metrics_recorder.tracking IS 'whether logins are recorded (pgtls_ext.track)';
COMMENT ON COLUMN pgtls_metrics_recorder.inventory_entries IS 'client certificates in the inventory';
COMMENT ON COLUMN pgtls_metrics_recorder.inventory_room IS 'places in the inventory (pgtls_ext.max_client_certificates)';
COMMENT ON COLUMN pgtls_metrics_recorder.evictions_total IS 'client certificates that were forgotten for want of room';
COMMENT ON COLUMN pgtls_metrics_recorder.dropped_records_total IS 'records that were lost by an error of the recorder';
COMMENT ON COLUMN pgtls_metrics_recorder.in_force_known IS 'whether it is known what new logins are judged by';
REVOKE ALL ON pgtls_metrics_recorder FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_recorder TO pg_monitor;

CREATE VIEW pgtls_metrics_worker AS
SELECT pg_catalog.max(value) FILTER (WHERE name = 'pgtls_worker_up') AS up,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_worker_sessions_terminated_total') AS sessions_terminated_total,
       pg_catalog.max(value) FILTER (WHERE name = 'pgtls_worker_termination_held_back_timestamp_seconds') AS termination_held_back_timestamp_seconds
FROM pgtls_metrics('worker')
GROUP BY label_values;
COMMENT ON VIEW pgtls_metrics_worker IS
'metrics pgtls_worker_* for exporters: up, sessions_terminated_total, termination_held_back_timestamp_seconds';
COMMENT ON COLUMN pgtls_metrics_worker.up IS 'whether the background worker is running';
COMMENT ON COLUMN pgtls_metrics_worker.sessions_terminated_total IS 'sessions that were ended because of their certificate';
COMMENT ON COLUMN pgtls_metrics_worker.termination_held_back_timestamp_seconds IS 'when the worker last ended nobody because it would have been too many; 0 for never';
REVOKE ALL ON pgtls_metrics_worker FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_worker TO pg_monitor;

CREATE VIEW pgtls_metrics_collection AS
SELECT label_values[1] AS source,
       value AS error
FROM pgtls_metrics('collection');
COMMENT ON VIEW pgtls_metrics_collection IS
'metrics pgtls_collection_* for exporters: error';
COMMENT ON COLUMN pgtls_metrics_collection.source IS 'what was to be collected';
COMMENT ON COLUMN pgtls_metrics_collection.error IS 'whether something of this source could not be collected; see pgtls_collection_errors';
REVOKE ALL ON pgtls_metrics_collection FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_collection TO pg_monitor;

CREATE VIEW pgtls_metrics_info AS
SELECT label_values[1] AS version,
       label_values[2] AS openssl,
       label_values[3] AS preloaded,
       value AS info
FROM pgtls_metrics('info');
COMMENT ON VIEW pgtls_metrics_info IS
'metrics pgtls_build_* for exporters: info';
COMMENT ON COLUMN pgtls_metrics_info.version IS 'version; empty without TLS';
COMMENT ON COLUMN pgtls_metrics_info.openssl IS 'OpenSSL that runs';
COMMENT ON COLUMN pgtls_metrics_info.preloaded IS 'whether the library is preloaded';
COMMENT ON COLUMN pgtls_metrics_info.info IS 'versions of the extension and of the OpenSSL that runs';
REVOKE ALL ON pgtls_metrics_info FROM PUBLIC;
GRANT SELECT ON pgtls_metrics_info TO pg_monitor;
