-- Forgets what is longer ago than p_keep_ms: run keys, whose work would be done once more, and the history, off its old end.
-- What tells of a lease that is held stays. That it was done goes into the history, with the hash of the last row that is gone.
CREATE OR REPLACE FUNCTION "migrate_lock".prune(p_keep_ms bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    cutoff    timestamptz := clock_timestamp() - p_keep_ms * interval '1 millisecond';
    chain     "migrate_lock".migration_lock_chain;
    last_seq  bigint;
    last_hash bytea;
    runs      bigint;
    rows      bigint := 0;
    unchained bigint;
BEGIN
    PERFORM "migrate_lock".begin_change(), set_config('migrate_lock.pruned_by', statement_timestamp()::text, true);
    -- Whoever changes the chain has locked the lock's row first.
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    SELECT * INTO chain FROM "migrate_lock".migration_lock_chain WHERE id = 1 FOR UPDATE;

    DELETE FROM "migrate_lock".migration_lock_run WHERE finished_at < cutoff;
    GET DIAGNOSTICS runs = ROW_COUNT;

    SELECT coalesce(min(kept.chain_seq) - 1, chain.head_seq) INTO last_seq
      FROM "migrate_lock".migration_lock_audit AS kept
     WHERE kept.chain_seq IS NOT NULL
       AND (kept.at >= cutoff OR kept.instance_id = (
               SELECT instance_id FROM "migrate_lock".migration_lock WHERE released_at IS NULL));
    SELECT hash INTO last_hash FROM "migrate_lock".migration_lock_audit WHERE chain_seq = last_seq;
    IF last_hash IS NOT NULL THEN
        DELETE FROM "migrate_lock".migration_lock_audit WHERE chain_seq <= last_seq;
        GET DIAGNOSTICS rows = ROW_COUNT;
        UPDATE "migrate_lock".migration_lock_chain SET tail_seq = last_seq, tail_hash = last_hash WHERE id = 1
        RETURNING * INTO chain;
    END IF;
    DELETE FROM "migrate_lock".migration_lock_audit
     WHERE chain_seq IS NULL AND at < cutoff
       AND instance_id IS DISTINCT FROM (SELECT instance_id FROM "migrate_lock".migration_lock WHERE released_at IS NULL);
    GET DIAGNOSTICS unchained = ROW_COUNT;

    IF runs + rows + unchained > 0 THEN
        PERFORM "migrate_lock".record_change('history.pruned', NULL, NULL, jsonb_build_object(
            'keepMs', p_keep_ms, 'runs', runs, 'rows', rows + unchained,
            'upToSeq', chain.tail_seq, 'upToHash', encode(chain.tail_hash, 'hex')));
    END IF;
    RETURN jsonb_build_object('runs', runs, 'rows', rows + unchained);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".prune(bigint) FROM PUBLIC;
