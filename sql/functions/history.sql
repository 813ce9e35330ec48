-- The history: each row is written in the transaction that it describes. Rows about a change are chained, so that a later change
-- of one can be seen; only a transaction that has locked the lock's row writes one. Rows about attempts that were refused are not
-- chained, and are about the caller alone. See also the triggers beside the tables.

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

-- Writes a row about a change, in the transaction of the change, and chains it to the one before. The caller has locked the row
-- of the lock, so no call waits here. Answers the row's hash, in hexadecimal.
CREATE OR REPLACE FUNCTION "migrate_lock".record_change(
    p_event text, p_instance_id text, p_fencing_token bigint, p_details jsonb, p_secret_sha256 bytea DEFAULT NULL
) RETURNS text
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment   timestamptz := clock_timestamp();
    new_seq  bigint;
    new_hash bytea;
BEGIN
    UPDATE "migrate_lock".migration_lock_chain AS chain
       SET head_seq  = chain.head_seq + 1,
           head_hash = sha256(chain.head_hash || convert_to("migrate_lock".audit_text(
               chain.head_seq + 1, moment, p_event, p_instance_id, p_fencing_token, session_user::text, inet_client_addr(),
               current_setting('application_name'), p_details), 'UTF8'))
     WHERE chain.id = 1
    RETURNING chain.head_seq, chain.head_hash INTO new_seq, new_hash;
    -- A history without its head is still written, and --verify finds it.
    INSERT INTO "migrate_lock".migration_lock_audit
        (at, event, instance_id, fencing_token, details, secret_sha256, chain_seq, hash)
    VALUES (moment, p_event, p_instance_id, p_fencing_token, p_details, p_secret_sha256, new_seq, new_hash);
    RETURN encode(new_hash, 'hex');
END
$body$;

-- Records a refused attempt: at most one a second for each kind and client, as a client in a loop would fill the history. It is
-- about the caller, which proved nothing about the instance that it named: the details alone name that. A refusal is skipped while
-- another transaction has locked the client's row, because that one records it.
CREATE OR REPLACE FUNCTION "migrate_lock".record_refusal(
    p_kind text, p_event text, p_named_instance_id text, p_details jsonb
) RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment      timestamptz := clock_timestamp();
    client_at   text        := coalesce(host(inet_client_addr()), '');
    recorded_at timestamptz;
BEGIN
    IF "migrate_lock".lock_client(p_kind, client_at) IS NOT TRUE THEN
        RETURN;
    END IF;
    SELECT client.refused_at INTO recorded_at
      FROM "migrate_lock".migration_lock_client AS client
     WHERE client.kind = p_kind AND client.db_role = session_user::text AND client.address = client_at;
    -- After a step back of the clock, refusals are recorded again soon.
    IF moment < recorded_at + interval '1 second' AND moment > recorded_at - interval '1 second' THEN  -- mark: refusal-recorded
        RETURN;
    END IF;
    UPDATE "migrate_lock".migration_lock_client SET refused_at = moment
     WHERE kind = p_kind AND db_role = session_user::text AND address = client_at;
    IF p_named_instance_id IS NOT NULL THEN
        p_details := p_details || jsonb_build_object('namedInstanceId', left(p_named_instance_id, 200));
    END IF;
    INSERT INTO "migrate_lock".migration_lock_audit (event, instance_id, details)
    VALUES (p_event, NULL, p_details);  -- mark: refusal-without-instance
END
$body$;

-- The newest p_limit rows of the history, oldest first; with p_since_ms only those of that long. Reads only.
CREATE OR REPLACE FUNCTION "migrate_lock".history(p_limit integer, p_since_ms bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'id', newest.id,
               'atMs', "migrate_lock".ms_between('epoch', newest.at),
               'event', newest.event,
               'instanceId', newest.instance_id,
               'fencingToken', newest.fencing_token,
               'dbRole', newest.db_role,
               'clientAddress', host(newest.client_addr),
               'applicationName', newest.application_name,
               'details', newest.details,
               'auditHash', encode(newest.hash, 'hex')
           ) ORDER BY newest.id), '[]')
      FROM (SELECT *
              FROM "migrate_lock".migration_lock_audit
             WHERE at >= coalesce(statement_timestamp() - p_since_ms * interval '1 millisecond', '-infinity')
             ORDER BY at DESC, id DESC
             LIMIT greatest(0, least(p_limit, 10000))) AS newest
$body$;

-- For `history --verify`: both ends of the chain, and p_limit rows after the id p_after, chained or not, each as the text that
-- its hash is of.
CREATE OR REPLACE FUNCTION "migrate_lock".chain(p_after bigint, p_limit integer) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'ends', (
            SELECT jsonb_build_object(
                       'headSeq', head_seq, 'headHash', encode(head_hash, 'hex'),
                       'tailSeq', tail_seq, 'tailHash', encode(tail_hash, 'hex'))
              FROM "migrate_lock".migration_lock_chain),
        'rows', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'id', page.id, 'seq', page.chain_seq, 'event', page.event, 'details', page.details,
                       'hash', encode(page.hash, 'hex'),
                       'text', "migrate_lock".audit_text(
                           page.chain_seq, page.at, page.event, page.instance_id, page.fencing_token, page.db_role,
                           page.client_addr, page.application_name, page.details)) ORDER BY page.id), '[]')
              FROM (SELECT *
                      FROM "migrate_lock".migration_lock_audit
                     WHERE id > p_after
                     ORDER BY id
                     LIMIT greatest(0, least(p_limit, 1000))) AS page))
$body$;
