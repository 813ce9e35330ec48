-- A chained row as the text whose hash it has: the same whatever DateStyle, TimeZone and the like are.
CREATE OR REPLACE FUNCTION "migrate_lock".audit_text(
    p_seq bigint, p_at timestamptz, p_event text, p_instance_id text, p_fencing_token bigint, p_db_role text,
    p_client_addr inet, p_application_name text, p_details jsonb
) RETURNS text
    LANGUAGE sql STABLE
AS $body$
    SELECT jsonb_build_array(
        p_seq, to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_event, p_instance_id, p_fencing_token,
        p_db_role, host(p_client_addr), p_application_name, p_details)::text
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".audit_text(bigint, timestamptz, text, text, bigint, text, inet, text, jsonb)
    FROM PUBLIC;

-- Writes a row of history about a change, in the transaction of the change, and chains it to the one before. Its caller has
-- locked the row of the lock: so nobody waits here who would not have waited there. Answers its hash, in hexadecimal. Without an
-- event (NULL) it is a rehearsal: nothing is written.
CREATE OR REPLACE FUNCTION "migrate_lock".record_change(
    p_event text, p_instance_id text, p_fencing_token bigint, p_details jsonb
) RETURNS text
    LANGUAGE sql
AS $body$
    WITH entry AS MATERIALIZED (
        SELECT clock_timestamp() AS at, session_user::text AS db_role, inet_client_addr() AS client_addr,
               current_setting('application_name') AS application_name, coalesce(p_details, '{}') AS details
    ), head AS (
        UPDATE "migrate_lock".migration_lock_chain AS chain
           SET head_seq  = chain.head_seq + 1,
               head_hash = sha256(chain.head_hash || convert_to("migrate_lock".audit_text(
                   chain.head_seq + 1, entry.at, p_event, p_instance_id, p_fencing_token, entry.db_role,
                   entry.client_addr, entry.application_name, entry.details), 'UTF8'))
          FROM entry
         WHERE chain.id = 1 AND p_event IS NOT NULL
        RETURNING chain.head_seq, chain.head_hash
    )
    INSERT INTO "migrate_lock".migration_lock_audit
        (at, event, instance_id, fencing_token, db_role, client_addr, application_name, details, chain_seq, hash)
    SELECT entry.at, p_event, p_instance_id, p_fencing_token, entry.db_role, entry.client_addr,
           entry.application_name, entry.details, head.head_seq, head.head_hash
      FROM entry
      LEFT JOIN head ON true  -- a history without its head is still written, and found by who verifies it
     WHERE p_event IS NOT NULL
    RETURNING encode(hash, 'hex')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".record_change(text, text, bigint, jsonb) FROM PUBLIC;

-- The hash of what an instance did last of this kind, for a call whose first answer was lost.
CREATE OR REPLACE FUNCTION "migrate_lock".hash_of(p_event text, p_instance_id text) RETURNS text
    LANGUAGE sql STABLE
AS $body$
    SELECT encode(hash, 'hex')
      FROM "migrate_lock".migration_lock_audit
     WHERE instance_id = p_instance_id AND event = p_event
     ORDER BY id DESC
     LIMIT 1
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".hash_of(text, text) FROM PUBLIC;
