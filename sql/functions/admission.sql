-- For the lock's owner alone: who may use the lock, and its limits.

-- The schema of the lock, by its OID: its name cannot stand in a string here.
CREATE OR REPLACE FUNCTION "migrate_lock".home() RETURNS oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT relnamespace FROM pg_class WHERE oid = (SELECT tableoid FROM "migrate_lock".migration_lock_version)
$body$;

-- Grants a role the functions that it needs, but none that was granted to it before: the owner may have revoked that by hand.
CREATE OR REPLACE FUNCTION "migrate_lock".grant_functions(p_role oid, p_functions text[], p_granted text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    function_ regprocedure;
BEGIN
    FOR function_ IN
        SELECT oid FROM pg_proc
         WHERE pronamespace = "migrate_lock".home() AND proname = ANY (p_functions) AND proname <> ALL (p_granted)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', function_, pg_get_userbyid(p_role));
    END LOOP;
END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".used_functions() RETURNS text[]
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT ARRAY ['version', 'poll', 'look', 'release', 'leave', 'extend', 'assert_held', 'cleanup', 'status', 'history', 'chain']
$body$;

-- Takes every right on the lock from a grantee, written as REVOKE takes it: a quoted name, or PUBLIC.
CREATE OR REPLACE FUNCTION "migrate_lock".revoke_rights(p_grantee text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    schema text := "migrate_lock".home()::regnamespace::text;
BEGIN
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM %s', schema, p_grantee);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM %s', schema, p_grantee);
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %s FROM %s', schema, p_grantee);
    EXECUTE format('REVOKE ALL ON SCHEMA %s FROM %s', schema, p_grantee);
END
$body$;

-- After an upgrade: the roles that were admitted get functions that are new.
CREATE OR REPLACE FUNCTION "migrate_lock".grant_new_functions() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM "migrate_lock".grant_functions(role, "migrate_lock".used_functions(), granted)
       FROM "migrate_lock".migration_lock_role
      WHERE role IN (SELECT oid FROM pg_roles);
    UPDATE "migrate_lock".migration_lock_role SET granted = "migrate_lock".used_functions() WHERE role <> 0;
END
$body$;

-- Gives a role its row and its counter, and sets its child roles where some are given.
CREATE OR REPLACE FUNCTION "migrate_lock".enter_role(p_role oid, p_child_roles oid[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    counter text := format('%s.migration_lock_attempts_%s', "migrate_lock".home()::regnamespace, p_role);
    grantee oid;
BEGIN
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s', counter);
    EXECUTE format('ALTER SEQUENCE %s OWNER TO %I', counter, (
        SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE oid = "migrate_lock".home()));
    -- Default privileges may have given it to others.
    FOR grantee IN
        SELECT acl.grantee FROM pg_class, aclexplode(relacl) AS acl
         WHERE pg_class.oid = counter::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE format(
            'REVOKE ALL ON SEQUENCE %s FROM %s', counter,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END);
    END LOOP;
    INSERT INTO "migrate_lock".migration_lock_role AS known (role, child_roles, attempts)
    VALUES (p_role, coalesce(p_child_roles, '{}'), counter::regclass)
    ON CONFLICT (role) DO UPDATE SET child_roles = coalesce(p_child_roles, known.child_roles);
    PERFORM "migrate_lock".pace_counters();
END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".pace_counters() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    counter record;
BEGIN
    FOR counter IN
        SELECT role.attempts, "migrate_lock".sequence_step(setting.attempts_per_second) AS step
          FROM "migrate_lock".migration_lock_role AS role, "migrate_lock".migration_lock_setting AS setting
    LOOP
        EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s', counter.attempts, counter.step);
    END LOOP;
END
$body$;

-- What the owner decides is recorded in the chain. Every transaction that changes the chain locks the lock's row first.
CREATE OR REPLACE FUNCTION "migrate_lock".record_decision(p_event text, p_details jsonb) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    PERFORM "migrate_lock".record_change(p_event, NULL, NULL, p_details);
END
$body$;

-- Sets the limits that are not null.
CREATE OR REPLACE FUNCTION "migrate_lock".configure(p_max_ttl_ms bigint, p_attempts_per_second integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    decided jsonb := jsonb_strip_nulls(jsonb_build_object(
        'maxTtlMs', p_max_ttl_ms, 'attemptsPerSecond', p_attempts_per_second));
BEGIN
    PERFORM "migrate_lock".begin_change();
    UPDATE "migrate_lock".migration_lock_setting
       SET max_ttl_ms          = coalesce(p_max_ttl_ms, max_ttl_ms),
           attempts_per_second = coalesce(p_attempts_per_second, attempts_per_second)
     WHERE id = 1;
    PERFORM "migrate_lock".pace_counters();
    PERFORM "migrate_lock".record_decision('lock.configured', decided);
    RETURN decided;
END
$body$;

-- The OID of a role that exists.
CREATE OR REPLACE FUNCTION "migrate_lock".role_named(p_name text) RETURNS oid
    LANGUAGE plpgsql
AS $body$
DECLARE
    found_ oid := (SELECT oid FROM pg_roles WHERE rolname = p_name);
BEGIN
    IF found_ IS NULL THEN
        PERFORM "migrate_lock".refuse(format('there is no role %s', p_name), 'Create it first, or check its name.');
    END IF;
    RETURN found_;
END
$body$;

-- Admits a role: it may use the lock, and sessions of the child roles count as its leases'. Without a role
-- it names the child roles of the owner's own leases. Answers what the owner can do about the sessions of each role, as that decides
-- what a takeover can end:
-- {"owner": ..., "roles": [{"role": ..., "canSee": ..., "canEnd": ..., "tables": true if it can reach a table all the same}]}.
CREATE OR REPLACE FUNCTION "migrate_lock".admit(p_db_role text, p_child_roles jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    schema   text := "migrate_lock".home()::regnamespace::text;
    owner_   text := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE oid = "migrate_lock".home());
    admitted oid  := 0;
    children oid[];
    child    oid;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(p_child_roles));
    PERFORM "migrate_lock".begin_change();
    IF p_db_role IS NOT NULL THEN
        admitted := "migrate_lock".role_named(p_db_role);
    END IF;
    children := ARRAY (SELECT "migrate_lock".role_named(name) FROM jsonb_array_elements_text(p_child_roles) AS name);
    IF admitted <> 0 AND pg_has_role(admitted, owner_, 'MEMBER') THEN
        PERFORM "migrate_lock".refuse(
            format('the role %s can do all that %s can, who owns the lock: nothing can be kept from it', p_db_role, owner_),
            'Let another role own the lock schema: run init as one that this role is not a member of.');
    END IF;
    IF admitted <> 0 AND NOT (SELECT rolcanlogin FROM pg_roles WHERE oid = admitted) THEN
        PERFORM "migrate_lock".refuse(
            format('the role %s cannot log in: it is a group', p_db_role),
            'Admit each role that logs in: every one has a rate limit of its own.');
    END IF;

    -- What every role has, none can be admitted to.
    PERFORM "migrate_lock".revoke_rights('PUBLIC');
    PERFORM "migrate_lock".enter_role(admitted, children);
    IF admitted <> 0 THEN
        PERFORM "migrate_lock".revoke_rights(quote_ident(p_db_role));
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', schema, p_db_role);
        PERFORM "migrate_lock".grant_functions(admitted, "migrate_lock".used_functions(), '{}');
        UPDATE "migrate_lock".migration_lock_role SET granted = "migrate_lock".used_functions() WHERE role = admitted;
    END IF;
    FOREACH child IN ARRAY children LOOP
        -- A child role that is admitted itself has these rights already; the owner's need none.
        CONTINUE WHEN child IN (SELECT role FROM "migrate_lock".migration_lock_role) OR pg_has_role(child, owner_, 'MEMBER');
        PERFORM "migrate_lock".revoke_rights(quote_ident(pg_get_userbyid(child)));
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', schema, pg_get_userbyid(child));
        PERFORM "migrate_lock".grant_functions(child, ARRAY ['version', 'assert_held'], '{}');
    END LOOP;
    PERFORM "migrate_lock".record_decision('lock.role_admitted', jsonb_build_object(
        'role', coalesce(p_db_role, owner_), 'childRoles', p_child_roles));
    RETURN jsonb_build_object('owner', owner_, 'roles', (
        SELECT jsonb_agg(jsonb_build_object(
                   'role', rolname,
                   'canSee', pg_has_role(owner_, rolname, 'USAGE') OR pg_has_role(owner_, 'pg_read_all_stats', 'USAGE'),
                   'canEnd', pg_has_role(owner_, rolname, 'USAGE')
                       OR NOT rolsuper AND pg_has_role(owner_, 'pg_signal_backend', 'USAGE'),
                   'tables', EXISTS (
                       SELECT FROM pg_class
                        WHERE relnamespace = "migrate_lock".home() AND relkind = 'r'
                          AND has_table_privilege(rolname, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')))
                   ORDER BY oid <> admitted, rolname)
          FROM pg_roles
         WHERE oid = ANY (children || admitted)));
END
$body$;

-- Expels a role: it may not use the lock any more, and is nobody's child role. With child roles, only these are taken from it.
-- A lease that it has runs out: it cannot release it. Answers the roles that lost their rights.
CREATE OR REPLACE FUNCTION "migrate_lock".expel(p_db_role text, p_child_roles jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    owner_   oid := (SELECT nspowner FROM pg_namespace WHERE oid = "migrate_lock".home());
    expelled oid := 0;
    children oid[];
    lost     oid[];
    counter  regclass;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(p_child_roles));
    PERFORM "migrate_lock".begin_change();
    IF p_db_role IS NOT NULL AND NOT pg_has_role("migrate_lock".role_named(p_db_role), owner_, 'MEMBER') THEN
        expelled := "migrate_lock".role_named(p_db_role);
    END IF;
    children := ARRAY (SELECT "migrate_lock".role_named(name) FROM jsonb_array_elements_text(p_child_roles) AS name);
    IF expelled = 0 AND cardinality(children) = 0 THEN
        PERFORM "migrate_lock".refuse(
            'the owner of the lock, or a role that can act as the owner, cannot be expelled', 'Revoke the membership instead.');
    END IF;
    IF cardinality(children) > 0 THEN
        UPDATE "migrate_lock".migration_lock_role
           SET child_roles = ARRAY (SELECT unnest(child_roles) EXCEPT SELECT unnest(children))
         WHERE role = expelled;
        lost := children;
    ELSE
        SELECT child_roles || expelled INTO lost FROM "migrate_lock".migration_lock_role WHERE role = expelled;
        lost := coalesce(lost, ARRAY [expelled]);
        DELETE FROM "migrate_lock".migration_lock_role WHERE role = expelled RETURNING attempts INTO counter;
        IF counter IS NOT NULL THEN
            EXECUTE format('DROP SEQUENCE %s', counter);
        END IF;
        UPDATE "migrate_lock".migration_lock_role SET child_roles = array_remove(child_roles, expelled);
    END IF;
    -- Roles that were dropped leave their row behind.
    FOR counter IN
        DELETE FROM "migrate_lock".migration_lock_role
         WHERE role <> 0 AND role NOT IN (SELECT oid FROM pg_roles)
        RETURNING attempts
    LOOP
        EXECUTE format('DROP SEQUENCE %s', counter);
    END LOOP;
    lost := ARRAY (
        SELECT unnest(lost) EXCEPT SELECT role FROM "migrate_lock".migration_lock_role
        EXCEPT SELECT unnest(child_roles) FROM "migrate_lock".migration_lock_role);
    -- Nor expelled from what every role has. A role that was dropped has lost its rights with that.
    PERFORM "migrate_lock".revoke_rights('PUBLIC');
    PERFORM "migrate_lock".revoke_rights(quote_ident(rolname)) FROM pg_roles WHERE oid = ANY (lost);
    PERFORM "migrate_lock".record_decision('lock.role_expelled', jsonb_build_object(
        'role', coalesce(p_db_role, pg_get_userbyid(owner_)), 'childRoles', p_child_roles));
    RETURN coalesce((SELECT jsonb_agg(pg_get_userbyid(role) ORDER BY 1) FROM unnest(lost) AS role), '[]');
END
$body$;
