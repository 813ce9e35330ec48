-- Whether no other transaction is just writing the row of the caller and this kind: there is no waiting for it then. A
-- transaction that is left open, or rolled back, keeps its own client from being counted, and nobody else.
CREATE OR REPLACE FUNCTION "migrate_lock".may_write_client(p_kind text, p_address text) RETURNS boolean
    LANGUAGE sql VOLATILE
AS $body$
    SELECT pg_try_advisory_xact_lock("migrate_lock".assert_class() + 1, hashtext(concat_ws(' ', p_kind, session_user, p_address)))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".may_write_client(text, text) FROM PUBLIC;

-- Writes a refused attempt into the history, outside the chain: at most one a second per kind and client, as a client in a
-- loop would fill it otherwise. Nobody waits for another one who writes the same: who comes second leaves it out.
CREATE OR REPLACE FUNCTION "migrate_lock".record_refusal(
    p_kind text, p_event text, p_instance_id text, p_details jsonb
) RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment   timestamptz := clock_timestamp();
    from_    text        := coalesce(host(inet_client_addr()), '');
    told_at  timestamptz;
BEGIN
    -- First of all: whoever had it before has committed what is read then.
    IF NOT "migrate_lock".may_write_client(p_kind, from_) THEN
        RETURN;
    END IF;
    SELECT client.refused_at INTO told_at
      FROM "migrate_lock".migration_lock_client AS client
     WHERE client.kind = p_kind AND client.db_role = session_user::text AND client.address = from_;
    -- A clock that stepped back does not silence anybody for long.
    IF moment < told_at + interval '1 second' AND moment > told_at - interval '1 second' THEN
        RETURN;
    END IF;
    INSERT INTO "migrate_lock".migration_lock_client AS client (kind, db_role, address, next_at, counted_at, refused_at)
    VALUES (p_kind, session_user, from_, moment, moment, moment)
    ON CONFLICT (kind, db_role, address) DO UPDATE SET refused_at = excluded.refused_at;
    PERFORM "migrate_lock".record(p_event, left(p_instance_id, 200), NULL, p_details);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".record_refusal(text, text, text, jsonb) FROM PUBLIC;
