-- The schema of the lock, by its oid: its name cannot stand in a string here.
CREATE OR REPLACE FUNCTION "migrate_lock".home() RETURNS oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT relnamespace FROM pg_class WHERE oid = (SELECT tableoid FROM "migrate_lock".migration_lock_version)
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".home() FROM PUBLIC;

-- Everything that a role needs to use the lock, for all roles that were admitted: they may call these functions and nothing
-- else. Called again with every upgrade, which may bring more of them. (A view's, a table's, a sequence's rights: none.)
CREATE OR REPLACE FUNCTION "migrate_lock".grant_rights() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    used   CONSTANT text[] := ARRAY[
        'version', 'enter', 'poll', 'acquire', 'look', 'release', 'leave', 'forget', 'extend', 'assert_held',
        'cleanup', 'status', 'history', 'chain'];
    schema text := "migrate_lock".home()::regnamespace::text;
    admitted record;
    granted  record;
BEGIN
    FOR admitted IN
        SELECT db_role, used AS functions FROM "migrate_lock".migration_lock_role
         UNION ALL
        SELECT DISTINCT child, ARRAY['version', 'assert_held']
          FROM "migrate_lock".migration_lock_role, unnest(child_roles) AS child
         WHERE child NOT IN (SELECT db_role FROM "migrate_lock".migration_lock_role)
    LOOP
        -- A role can be dropped, and its name stays here.
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = admitted.db_role);
        EXECUTE format('REVOKE ALL ON ALL TABLES    IN SCHEMA %s FROM PUBLIC, %I', schema, admitted.db_role);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM PUBLIC, %I', schema, admitted.db_role);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %s FROM PUBLIC, %I', schema, admitted.db_role);
        EXECUTE format('REVOKE ALL ON SCHEMA %s FROM PUBLIC, %I', schema, admitted.db_role);
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', schema, admitted.db_role);
        FOR granted IN
            SELECT oid::regprocedure AS signature FROM pg_proc
             WHERE pronamespace = schema::regnamespace AND proname = ANY (admitted.functions)
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', granted.signature, admitted.db_role);
        END LOOP;
    END LOOP;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".grant_rights() FROM PUBLIC;

-- What there is in the lock's schema that its owner does not own, or that others may create there: whoever made it could let
-- everybody run what he likes.
CREATE OR REPLACE FUNCTION "migrate_lock".foreign_objects() RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    WITH home AS (
        SELECT oid, nspowner, nspacl FROM pg_namespace WHERE oid = "migrate_lock".home()
    )
    SELECT array_agg(what ORDER BY what)
      FROM (
        SELECT oid::regclass::text AS what FROM pg_class
         WHERE relnamespace = (SELECT oid FROM home) AND relowner <> (SELECT nspowner FROM home)
         UNION ALL
        SELECT oid::regprocedure::text FROM pg_proc
         WHERE pronamespace = (SELECT oid FROM home) AND proowner <> (SELECT nspowner FROM home)
         UNION ALL
        SELECT format('what %s creates', CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee) END)
          FROM home, aclexplode(nspacl)
         WHERE privilege_type = 'CREATE' AND grantee <> nspowner
      ) AS found
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".foreign_objects() FROM PUBLIC;

-- For the lock's owner alone: from now on the role may use the lock, and sessions of the child roles count as its leases'.
-- Answers what the owner can do about the sessions of each, as that decides what a takeover can end:
-- {"owner": ..., "roles": [{"role": ..., "canSee": ..., "canEnd": ..., "tables": true if it can get at a table all the same}]}.
CREATE OR REPLACE FUNCTION "migrate_lock".admit(p_db_role text, p_child_roles jsonb) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lock_owner text := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE oid = "migrate_lock".home());
    children text[] := ARRAY (SELECT jsonb_array_elements_text(p_child_roles));
    name     text;
    counter  text;
BEGIN
    FOREACH name IN ARRAY p_db_role || children LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            PERFORM "migrate_lock".refuse_request(format('there is no role %s', name), 'Create it first, or check its name.');
        END IF;
    END LOOP;
    IF pg_has_role(p_db_role, lock_owner, 'MEMBER') THEN
        PERFORM "migrate_lock".refuse_request(
            format('the role %s can do all that %s can, who owns the lock: nothing can be kept from it', p_db_role, lock_owner),
            'Let another role own the lock schema (ALTER SCHEMA, ALTER TABLE and ALTER FUNCTION ... OWNER TO), or apply it anew as one.');
    END IF;
    IF "migrate_lock".foreign_objects() IS NOT NULL THEN
        PERFORM "migrate_lock".refuse_request(
            format('not everything in the lock schema is its owner''s: %s',
                   array_to_string("migrate_lock".foreign_objects(), ', ')),
            'Use a schema of which nobody else had the making, with --schema.');
    END IF;

    UPDATE "migrate_lock".migration_lock_role SET child_roles = children WHERE db_role = p_db_role;
    IF NOT FOUND THEN
        SELECT format('%s.migration_lock_attempts_%s', "migrate_lock".home()::regnamespace, oid) INTO counter
          FROM pg_roles WHERE rolname = p_db_role;
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s', counter);
        EXECUTE format('ALTER SEQUENCE %s OWNER TO %I', counter, lock_owner);
        INSERT INTO "migrate_lock".migration_lock_role (db_role, child_roles, attempts)
        VALUES (p_db_role, children, counter::regclass);
        PERFORM "migrate_lock".pace_sequences();
    END IF;
    PERFORM "migrate_lock".grant_rights();
    PERFORM "migrate_lock".record('lock.role_admitted', NULL, NULL,
        jsonb_build_object('role', p_db_role, 'childRoles', children));
    RETURN jsonb_build_object('owner', lock_owner, 'roles', (
        SELECT jsonb_agg(jsonb_build_object(
                   'role', rolname,
                   'canSee', pg_has_role(lock_owner, rolname, 'USAGE') OR pg_has_role(lock_owner, 'pg_read_all_stats', 'USAGE'),
                   'canEnd', pg_has_role(lock_owner, rolname, 'USAGE')
                       OR NOT rolsuper AND pg_has_role(lock_owner, 'pg_signal_backend', 'USAGE'),
                   'tables', EXISTS (
                       SELECT FROM pg_class
                        WHERE relnamespace = "migrate_lock".home() AND relkind = 'r'
                          AND has_table_privilege(rolname, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')))
                   ORDER BY rolname <> p_db_role, rolname)
          FROM pg_roles
         WHERE rolname = ANY (p_db_role || children)));
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".admit(text, jsonb) FROM PUBLIC;
