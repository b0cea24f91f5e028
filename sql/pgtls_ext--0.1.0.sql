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
    depth integer, source text,
    subject text, subject_rfc2253 text, cn text, issuer text, serial numeric, serial_hex text,
    not_before timestamptz, not_after timestamptz, san text[], is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text,
    crl_urls text[], ocsp_urls text[], self_signed boolean, version integer,
    pem text)
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

CREATE FUNCTION ssl_server_certificate()
RETURNS TABLE (
    subject text, subject_rfc2253 text, cn text, issuer text, serial numeric, serial_hex text,
    not_before timestamptz, not_after timestamptz, san text[], is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text,
    crl_urls text[], ocsp_urls text[], self_signed boolean, version integer)
AS 'MODULE_PATHNAME', 'ssl_server_certificate_wrapper'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ssl_server_certificate() IS
'the certificate that the server showed to this session''s client';

CREATE FUNCTION ssl_session()
RETURNS TABLE (
    ssl boolean, version text, cipher text, bits integer, key_exchange_group text, sni text, alpn text,
    client_cert_present boolean,
    client_subject text, client_subject_rfc2253 text, client_cn text, client_issuer text, client_serial numeric, client_serial_hex text,
    client_not_before timestamptz, client_not_after timestamptz, client_san text[], client_is_ca boolean, client_path_length integer,
    client_key_usage text[], client_extended_key_usage text[], client_key_algorithm text, client_key_bits integer, client_signature_algorithm text,
    client_fingerprint text, client_spki_fingerprint text, client_subject_key_id text, client_authority_key_id text,
    client_crl_urls text[], client_ocsp_urls text[], client_self_signed boolean, client_version integer)
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
    subject text, subject_rfc2253 text, cn text, issuer text, serial numeric, serial_hex text,
    not_before timestamptz, not_after timestamptz, san text[], is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text,
    crl_urls text[], ocsp_urls text[], self_signed boolean, version integer, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_certificates_text_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_certificates(text) IS
'the certificates in a PEM text, in its order';

CREATE FUNCTION pgtls_parse_certificates(der bytea)
RETURNS TABLE (
    subject text, subject_rfc2253 text, cn text, issuer text, serial numeric, serial_hex text,
    not_before timestamptz, not_after timestamptz, san text[], is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text,
    crl_urls text[], ocsp_urls text[], self_signed boolean, version integer, problems text[])
AS 'MODULE_PATHNAME', 'pgtls_parse_certificates_bytea_wrapper'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgtls_parse_certificates(bytea) IS
'the certificates in DER, one after the other, or in PEM';

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
CREATE FUNCTION pgtls_session_facts()
RETURNS TABLE (
    pid integer, backend_start timestamptz, key_exchange_group text, sni text, alpn text,
    client_subject text, client_subject_rfc2253 text, client_cn text, client_issuer text, client_serial numeric, client_serial_hex text,
    client_not_before timestamptz, client_not_after timestamptz, client_san text[], client_is_ca boolean, client_path_length integer,
    client_key_usage text[], client_extended_key_usage text[], client_key_algorithm text, client_key_bits integer, client_signature_algorithm text,
    client_fingerprint text, client_spki_fingerprint text, client_subject_key_id text, client_authority_key_id text,
    client_crl_urls text[], client_ocsp_urls text[], client_self_signed boolean, client_version integer,
    chain_length integer, chain_recorded integer,
    auth_method text, auth_identity text, hba_file text, hba_line integer, ident_map text, clientcert text, clientname text,
    context_loaded_at timestamptz, credential_status text, credential_detail text,
    credential_ends_at timestamptz, credential_status_on_file text, superseded boolean, source text)
AS 'MODULE_PATHNAME', 'pgtls_session_facts_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 100;
COMMENT ON FUNCTION pgtls_session_facts() IS
'what was recorded of each session at its login, and what its certificate is worth now; see the view pgtls_sessions';

-- Rows are visible as in pg_stat_ssl: to see another role's session takes membership in that role
-- or in pg_read_all_stats. DISTINCT ON proves to the planner that the recorded facts add no rows,
-- so it leaves them out of queries that do not ask for any: such a query costs what
-- pg_stat_activity and pg_stat_ssl cost.
CREATE VIEW pgtls_sessions AS
SELECT a.pid, a.datname, a.usename, a.application_name, a.client_addr, a.client_port, a.backend_start, a.state,
       a.backend_type,
       s.ssl, s.version, s.cipher, s.bits,
       f.key_exchange_group, f.sni, f.alpn,
       f.client_subject, f.client_subject_rfc2253, f.client_cn, f.client_issuer, f.client_serial, f.client_serial_hex,
       f.client_not_before, f.client_not_after, f.client_san, f.client_is_ca, f.client_path_length,
       f.client_key_usage, f.client_extended_key_usage, f.client_key_algorithm, f.client_key_bits,
       f.client_signature_algorithm, f.client_fingerprint, f.client_spki_fingerprint, f.client_subject_key_id,
       f.client_authority_key_id, f.client_crl_urls, f.client_ocsp_urls, f.client_self_signed, f.client_version,
       f.chain_length AS client_chain_length, f.chain_recorded AS client_chain_recorded,
       f.auth_method, f.auth_identity, f.hba_file, f.hba_line, f.ident_map, f.clientcert, f.clientname,
       f.context_loaded_at, f.credential_status, f.credential_detail, f.credential_ends_at,
       f.credential_status_on_file, f.superseded,
       COALESCE(f.source, CASE WHEN s.ssl IS NOT NULL THEN 'pg_stat_ssl' END) AS source
FROM pg_catalog.pg_stat_activity a
     LEFT JOIN pg_catalog.pg_stat_ssl s ON s.pid = a.pid
     LEFT JOIN (SELECT DISTINCT ON (pid, backend_start) * FROM pgtls_session_facts()) f
            ON f.pid = a.pid AND f.backend_start = a.backend_start
WHERE a.backend_type IN ('client backend', 'walsender');
COMMENT ON VIEW pgtls_sessions IS
'TLS state of every client backend, with its certificate and what that is worth now; source says where the facts of a row come from';
GRANT SELECT ON pgtls_sessions TO PUBLIC;

/*
 * What only the recorder knows: without shared_preload_libraries, using these is an error that says so.
 */

CREATE FUNCTION pgtls_failure_counts()
RETURNS TABLE (reason text, count bigint, last_at timestamptz)
AS 'MODULE_PATHNAME', 'pgtls_failure_counts_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE
ROWS 22;
COMMENT ON FUNCTION pgtls_failure_counts() IS
'failed logins by reason; see the view pgtls_failures';
REVOKE ALL ON FUNCTION pgtls_failure_counts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_failure_counts() TO pg_monitor;

CREATE VIEW pgtls_failures AS
SELECT reason, count, last_at FROM pgtls_failure_counts();
COMMENT ON VIEW pgtls_failures IS
'how many clients were turned away for each reason, and when last';
REVOKE ALL ON pgtls_failures FROM PUBLIC;
GRANT SELECT ON pgtls_failures TO pg_monitor;

CREATE FUNCTION pgtls_failure_log()
RETURNS TABLE (at timestamptz, reason text, client_addr inet, usename text, subject text, serial numeric,
    fingerprint text, depth integer, message text)
AS 'MODULE_PATHNAME', 'pgtls_failure_log_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE
ROWS 128;
COMMENT ON FUNCTION pgtls_failure_log() IS
'the last failed logins; see the view pgtls_recent_failures';
REVOKE ALL ON FUNCTION pgtls_failure_log() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_failure_log() TO pg_monitor;

CREATE VIEW pgtls_recent_failures AS
SELECT at, reason, client_addr, usename, subject, serial, fingerprint, depth, message FROM pgtls_failure_log();
COMMENT ON VIEW pgtls_recent_failures IS
'the last clients that were turned away, newest first, with the offending certificate as far as it is known';
REVOKE ALL ON pgtls_recent_failures FROM PUBLIC;
GRANT SELECT ON pgtls_recent_failures TO pg_monitor;

CREATE FUNCTION pgtls_certificate_inventory()
RETURNS TABLE (
    subject text, subject_rfc2253 text, cn text, issuer text, serial numeric, serial_hex text,
    not_before timestamptz, not_after timestamptz, san text[], is_ca boolean, path_length integer,
    key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer, signature_algorithm text,
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text,
    crl_urls text[], ocsp_urls text[], self_signed boolean, version integer,
    first_seen timestamptz, last_seen timestamptz, logins bigint, failed_logins bigint, roles text[], databases text[],
    last_client_addr inet, connected integer, status text, status_detail text, ends_at timestamptz,
    status_on_file text, superseded_by text)
AS 'MODULE_PATHNAME', 'pgtls_certificate_inventory_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION pgtls_certificate_inventory() IS
'every client certificate that was seen; see the view pgtls_client_certificates';
REVOKE ALL ON FUNCTION pgtls_certificate_inventory() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_certificate_inventory() TO pg_monitor;

CREATE VIEW pgtls_client_certificates AS
SELECT * FROM pgtls_certificate_inventory();
COMMENT ON VIEW pgtls_client_certificates IS
'every client certificate that the server has verified at a login, who used it from where, and what it is worth now';
REVOKE ALL ON pgtls_client_certificates FROM PUBLIC;
GRANT SELECT ON pgtls_client_certificates TO pg_monitor;

CREATE FUNCTION pgtls_terminate_invalid(dry_run boolean DEFAULT true, on_file boolean DEFAULT false)
RETURNS TABLE (pid integer, usename text, credential_status text, credential_detail text, terminated boolean)
AS 'MODULE_PATHNAME', 'pgtls_terminate_invalid_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
ROWS 10;
COMMENT ON FUNCTION pgtls_terminate_invalid(boolean, boolean) IS
'sessions whose certificate is expired, not yet valid, revoked or untrusted by now; with false, ends them';
REVOKE ALL ON FUNCTION pgtls_terminate_invalid(boolean, boolean) FROM PUBLIC;

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

CREATE FUNCTION pgtls_instance_status()
RETURNS TABLE (preloaded boolean, ssl_on boolean, openssl_built text, openssl_runtime text,
    context_loaded_at timestamptz, in_force_known boolean,
    last_reload_at timestamptz, last_reload_ok boolean, last_reload_error text,
    tracking boolean, session_slots integer, tracked_sessions integer, failures bigint,
    client_certificates integer, max_client_certificates integer, evicted_client_certificates bigint,
    evicted_expired bigint, evicted_superseded bigint, evicted_valid bigint, unrecorded_client_certificates bigint,
    dropped_records bigint)
AS 'MODULE_PATHNAME', 'pgtls_instance_status_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 1;
COMMENT ON FUNCTION pgtls_instance_status() IS
'TLS of the instance and state of the recorder; see the view pgtls_status';
REVOKE ALL ON FUNCTION pgtls_instance_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_instance_status() TO pg_monitor;

CREATE VIEW pgtls_status AS
SELECT * FROM pgtls_instance_status();
COMMENT ON VIEW pgtls_status IS
'TLS of the instance and state of the recorder, in one row';
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
REVOKE ALL ON pgtls_configuration FROM PUBLIC;
GRANT SELECT ON pgtls_configuration TO pg_monitor;

CREATE FUNCTION pgtls_server_certificates()
RETURNS TABLE (
    role text, cn text, subject text, status text, not_after timestamptz, in_force boolean, on_file boolean,
    key_matches boolean, problem text, file_name text, "position" bigint,
    issuer text, not_before timestamptz, san text[], serial numeric, serial_hex text, subject_rfc2253 text,
    is_ca boolean, path_length integer, key_usage text[], extended_key_usage text[], key_algorithm text, key_bits integer,
    signature_algorithm text, self_signed boolean, version integer, crl_urls text[], ocsp_urls text[],
    fingerprint text, spki_fingerprint text, subject_key_id text, authority_key_id text)
AS 'MODULE_PATHNAME', 'pgtls_server_certificates_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
ROWS 10;
COMMENT ON FUNCTION pgtls_server_certificates() IS
'function behind the view pgtls_server_certificates';
REVOKE ALL ON FUNCTION pgtls_server_certificates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgtls_server_certificates() TO pg_monitor;

CREATE VIEW pgtls_server_certificates AS
SELECT role, cn, status, not_after, not_after - pg_catalog.now() AS expires_in, in_force, on_file, key_matches, problem,
       file_name, "position", subject, issuer, not_before, san, serial, serial_hex, subject_rfc2253, is_ca, path_length,
       key_usage, extended_key_usage, key_algorithm, key_bits, signature_algorithm, self_signed, version, crl_urls,
       ocsp_urls, fingerprint, spki_fingerprint, subject_key_id, authority_key_id
FROM pgtls_server_certificates();
COMMENT ON VIEW pgtls_server_certificates IS
'the certificate that the server shows, those that it sends along, and the CAs that it trusts, in force, on file, or both';
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
    address text, netmask text, auth_method text, clientcert text, clientname text, ident_map text, error text)
AS 'MODULE_PATHNAME', 'pgtls_hba_rules_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_hba_rules() FROM PUBLIC;
COMMENT ON FUNCTION pgtls_hba_rules() IS
'the rules of pg_hba.conf as the file is now';

CREATE VIEW pgtls_hba_rules AS SELECT * FROM pgtls_hba_rules();
REVOKE ALL ON pgtls_hba_rules FROM PUBLIC;
COMMENT ON VIEW pgtls_hba_rules IS
'the rules of pg_hba.conf as the file is now, with what they ask of client certificates; quoted names are in double quotes';

CREATE FUNCTION pgtls_ident_mappings()
RETURNS TABLE (
    map_number bigint, file_name text, line_number integer, map_name text, sys_name text, pg_username text, error text)
AS 'MODULE_PATHNAME', 'pgtls_ident_mappings_wrapper'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_ident_mappings() FROM PUBLIC;
COMMENT ON FUNCTION pgtls_ident_mappings() IS
'the mappings of pg_ident.conf as the file is now';

CREATE VIEW pgtls_ident_mappings AS SELECT * FROM pgtls_ident_mappings();
REVOKE ALL ON pgtls_ident_mappings FROM PUBLIC;
COMMENT ON VIEW pgtls_ident_mappings IS
'the mappings of pg_ident.conf as the file is now; a role that is quoted there is in double quotes';

CREATE FUNCTION pgtls_check_mapping(identity text, role name, map text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgtls_check_mapping_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_check_mapping(text, name, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_check_mapping(text, name, text) IS
'whether a map of pg_ident.conf lets an identity be a role; without a map they have to be the same';

CREATE FUNCTION pgtls_explain_mapping(identity text, role name, map text DEFAULT NULL)
RETURNS TABLE (
    file text, line integer, map_name text, pattern text, target text, matched boolean, maps_to text, note text)
AS 'MODULE_PATHNAME', 'pgtls_explain_mapping_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_explain_mapping(text, name, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_explain_mapping(text, name, text) IS
'the lines of a map of pg_ident.conf, with what each makes of an identity that wants to be a role';

CREATE FUNCTION pgtls_mapped_roles(identity text, map text DEFAULT NULL)
RETURNS TABLE (rolname text, file text, line integer)
AS 'MODULE_PATHNAME', 'pgtls_mapped_roles_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_mapped_roles(text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_mapped_roles(text, text) IS
'the login roles that a map of pg_ident.conf lets an identity be, each with the line that says so';

CREATE FUNCTION pgtls_explain_login(
    certificate text, role name, database name, client_addr inet,
    at timestamptz DEFAULT now(), ssl boolean DEFAULT true, crls text DEFAULT NULL,
    replication boolean DEFAULT NULL, on_file boolean DEFAULT false)
RETURNS TABLE (
    step integer, check_name text, outcome text, detail text, source text, client_sees text, server_logs text)
AS 'MODULE_PATHNAME', 'pgtls_explain_login_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_explain_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_explain_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean) IS
'the steps of a login with this certificate (PEM, with what the client sends along; NULL for none) from this address (NULL for the Unix socket), and the verdict';

CREATE FUNCTION pgtls_check_login(
    certificate text, role name, database name, client_addr inet,
    at timestamptz DEFAULT now(), ssl boolean DEFAULT true, crls text DEFAULT NULL,
    replication boolean DEFAULT NULL, on_file boolean DEFAULT false)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgtls_check_login_wrapper'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgtls_check_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgtls_check_login(text, name, name, inet, timestamptz, boolean, text, boolean, boolean) IS
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
    step text, reason text, last_seen timestamptz, logins bigint, connected bigint, fingerprint text)
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
