-- Whether $2 still waits for $1, a session of the lease of $3.
SELECT coalesce("migrate_lock".blocking() @> jsonb_build_object(
           'instanceId', $3::text,
           'waits', jsonb_build_array(jsonb_build_object('head', $1::integer, 'pid', $2::integer))), false) AS answer
