-- Clears a lease that has run out without a release, and waiters that do not count any more. Calling it is optional: the next
-- acquisition does the same. A lease whose sessions are still open is not cleared: "orphans" lists them; see settle_orphans().
CREATE OR REPLACE FUNCTION "migrate_lock".cleanup(p_orphans text, p_seen jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    expired   "migrate_lock".migration_lock;
    orphans   jsonb;
    leases    integer := 0;
    forgotten bigint;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_orphans), p_orphans, p_seen);
    IF NOT EXISTS (
           SELECT FROM "migrate_lock".migration_lock_role
            WHERE role = to_regrole(quote_ident(session_user))
               OR (role = 0 AND pg_has_role(session_user, current_user, 'MEMBER'))) THEN
        PERFORM "migrate_lock".refuse_member();
    END IF;
    SELECT * INTO expired
      FROM "migrate_lock".migration_lock
     WHERE id = 1
       AND released_at IS NULL  -- mark: clears-unreleased
       AND expires_at <= clock_timestamp()  -- mark: clears-expired
       FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        orphans := "migrate_lock".settle_orphans(expired, p_orphans, p_seen);
    END IF;
    IF expired.id IS NOT NULL AND orphans IS NULL THEN
        leases := 1;
        PERFORM "migrate_lock".store_end(expired, 'expired', false, false);  -- mark: cleanup-unclean
        PERFORM "migrate_lock".end_lease(expired, 'cleanup', clock_timestamp(), jsonb_build_object(
            'heldMs', "migrate_lock".ms_between(expired.locked_at, expired.expires_at),
            'expiredMs', "migrate_lock".ms_between(expired.expires_at, clock_timestamp())));
    END IF;
    forgotten := "migrate_lock".forget_waiters(NULL, NULL);
    RETURN jsonb_build_object('leases', leases, 'waiters', forgotten, 'orphans', orphans);
END
$body$;

-- For the lock's owner alone: forgets what is longer ago than p_keep_ms, at most p_limit rows of each kind in one call: run
-- keys, whose work would be done once more, unclean ends, and history, from its old end. Rows about a lease that is held stay,
-- and so do the newest 100 keys that have succeeded: containers of that release may still start, and wait for its key.
-- The removal is recorded with the hash of the last row that is gone. Answers how many rows went, and whether there are more.
CREATE OR REPLACE FUNCTION "migrate_lock".prune(p_keep_ms bigint, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    cutoff    timestamptz := clock_timestamp() - p_keep_ms * interval '1 millisecond';
    chain     "migrate_lock".migration_lock_chain;
    held      text;
    last_seq  bigint;
    last_hash bytea;
    runs      bigint;
    ends      bigint;
    rows      bigint := 0;
    unchained bigint;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_keep_ms, p_limit));
    PERFORM set_config('migrate_lock.pruned_by', statement_timestamp()::text, true);
    IF (p_keep_ms BETWEEN 0 AND 3155760000000 AND p_limit > 0) IS NOT TRUE THEN
        PERFORM "migrate_lock".refuse('a duration is negative or too long', 'Give a number of milliseconds, at most 100 years.');
    END IF;
    -- Every transaction that changes the chain has locked the lock's row first.
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    SELECT * INTO chain FROM "migrate_lock".migration_lock_chain WHERE id = 1 FOR UPDATE;
    SELECT instance_id INTO held FROM "migrate_lock".migration_lock WHERE released_at IS NULL;

    DELETE FROM "migrate_lock".migration_lock_run
     WHERE ctid = ANY (ARRAY (
         SELECT ctid FROM "migrate_lock".migration_lock_run
          WHERE finished_at < cutoff
            AND run_key <> ALL (ARRAY (  -- mark: newest-keys-stay
                SELECT run_key FROM "migrate_lock".migration_lock_run WHERE succeeded
                 GROUP BY run_key ORDER BY max(finished_at) DESC LIMIT 100))
          LIMIT p_limit));
    GET DIAGNOSTICS runs = ROW_COUNT;
    DELETE FROM "migrate_lock".migration_lock_unclean_end
     WHERE ctid = ANY (ARRAY (
         SELECT ctid FROM "migrate_lock".migration_lock_unclean_end WHERE ended_at < cutoff LIMIT p_limit));
    GET DIAGNOSTICS ends = ROW_COUNT;

    -- The chain loses an unbroken piece of its old end: up to the first row that has to stay, or that comes after the limit.
    SELECT coalesce(min(kept.chain_seq), chain.head_seq + 1) - 1 INTO last_seq
      FROM "migrate_lock".migration_lock_audit AS kept
     WHERE kept.chain_seq BETWEEN chain.tail_seq + 1 AND chain.tail_seq + p_limit
       AND (kept.at >= cutoff OR kept.instance_id = held);
    last_seq := least(last_seq, chain.tail_seq + p_limit, chain.head_seq);
    SELECT hash INTO last_hash FROM "migrate_lock".migration_lock_audit WHERE chain_seq = last_seq;
    IF last_hash IS NOT NULL THEN
        DELETE FROM "migrate_lock".migration_lock_audit WHERE chain_seq <= last_seq;
        GET DIAGNOSTICS rows = ROW_COUNT;
        UPDATE "migrate_lock".migration_lock_chain SET tail_seq = last_seq, tail_hash = last_hash WHERE id = 1
        RETURNING * INTO chain;
    END IF;
    DELETE FROM "migrate_lock".migration_lock_audit
     WHERE ctid = ANY (ARRAY (
         SELECT ctid FROM "migrate_lock".migration_lock_audit
          WHERE at < cutoff AND chain_seq IS NULL AND instance_id IS DISTINCT FROM held
          LIMIT p_limit));
    GET DIAGNOSTICS unchained = ROW_COUNT;

    IF runs + rows + unchained > 0 THEN
        PERFORM "migrate_lock".record_change('history.pruned', NULL, NULL, jsonb_build_object(
            'keepMs', p_keep_ms, 'runs', runs, 'rows', rows + unchained,
            'upToSeq', chain.tail_seq, 'upToHash', encode(chain.tail_hash, 'hex')));
    END IF;
    RETURN jsonb_build_object(
        'runs', runs, 'rows', rows + unchained, 'more', greatest(runs, ends, rows, unchained) >= p_limit);
END
$body$;
