-- How the last lease of a command ended, where that end was unclean. A tool that is killed may leave a lock of its own, or half
-- of its work: the next run of the same command gets the row when it acquires the lease. The row is removed when that command
-- succeeds, or when its recovery does. Rows of other commands stay, so two services on one lock do not hide each other's ends. A
-- lease without a command's SHA-256 has no row.

-- Stores how a lease ends. p_kind is null where no command was started: nothing changes. An unknown end is not clean. A row that
-- stays is extended: what the first of several unclean ends left behind is still there. That it was unlock() stays too, because
-- unlock() does not end the command.
CREATE OR REPLACE FUNCTION "migrate_lock".store_end(
    lease "migrate_lock".migration_lock, p_kind text, p_succeeded boolean, p_recovered boolean
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF p_recovered IS TRUE OR (p_kind = 'clean' AND p_succeeded IS TRUE) THEN  -- mark: end-cleared
        DELETE FROM "migrate_lock".migration_lock_unclean_end
         WHERE command_sha256 = lease.command_sha256;
    END IF;
    IF p_kind <> 'clean' AND lease.command_sha256 IS NOT NULL THEN  -- mark: end-stored
        INSERT INTO "migrate_lock".migration_lock_unclean_end AS known
            (command_sha256, kind, locked_at, ended_at, instance_id, command, run_key)
        VALUES (
            lease.command_sha256, p_kind, lease.locked_at, clock_timestamp(), lease.instance_id, lease.command, lease.run_key)
        ON CONFLICT (command_sha256) DO UPDATE SET
            kind        = CASE known.kind WHEN 'unlocked' THEN known.kind ELSE excluded.kind END,
            locked_at   = least(known.locked_at, excluded.locked_at),
            ended_at    = excluded.ended_at,
            instance_id = CASE known.kind WHEN 'unlocked' THEN known.instance_id ELSE excluded.instance_id END,
            command     = excluded.command,
            run_key     = excluded.run_key;
    END IF;
END
$body$;

-- The unclean end of a command's last lease; null: it had none.
CREATE OR REPLACE FUNCTION "migrate_lock".unclean_end(p_command_sha256 text) RETURNS jsonb
    LANGUAGE sql STABLE
AS $body$
    SELECT jsonb_build_object(
               'kind', kind, 'instanceId', instance_id, 'command', command,
               'lockedAtMs', "migrate_lock".ms_between('epoch', locked_at),
               'endedAtMs', "migrate_lock".ms_between('epoch', ended_at))
      FROM "migrate_lock".migration_lock_unclean_end
     WHERE command_sha256 = p_command_sha256  -- mark: end-of-command
$body$;
