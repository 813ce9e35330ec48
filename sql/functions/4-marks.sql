-- The key of the advisory lock by which an assert_held transaction is found: a class of our own, and the lease's token.
CREATE OR REPLACE FUNCTION "migrate_lock".assert_class() RETURNS integer
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT 1835493228
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".assert_class() FROM PUBLIC;

CREATE OR REPLACE FUNCTION "migrate_lock".assert_object(p_fencing_token bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT (p_fencing_token & 2147483647)::integer
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".assert_object(bigint) FROM PUBLIC;
