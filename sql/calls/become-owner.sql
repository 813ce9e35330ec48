-- What the schema consists of belongs to its owner, also when a member of the owner applies it: functions have their owner's rights.
SELECT pg_catalog.set_config('role', $1::pg_catalog.text, true) WHERE current_user <> $1::pg_catalog.text
