-- For the lock's owner alone: the roles that may use the lock, and its limits. A role that is admitted may call what grant_functions() names
-- and nothing else; a right that the owner has revoked by hand stays so. What the owner decides is recorded in the chain, and
-- every transaction that changes the chain locks the lock's row first.

-- Grants a role the functions that it needs: to a role that is admitted those that it uses, but none that was granted to it
-- before, as the owner may have revoked that by hand; to another one, which is a child role, what an assertion needs. Called for
-- every admitted role after an upgrade: some functions are new.
CREATE OR REPLACE FUNCTION "migrate_lock".grant_functions(p_role oid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    needed    text[] := ARRAY ['version', 'assert_held'];
    before_   text[] := (SELECT granted FROM "migrate_lock".migration_lock_role WHERE role = p_role);
    function_ regprocedure;
BEGIN
    IF before_ IS NOT NULL THEN
        needed := needed || ARRAY [
            'poll', 'read_run_key', 'watch', 'release', 'leave', 'extend', 'cleanup', 'status', 'activity', 'blocking',
            'unblock', 'settle', 'history', 'chain'];
    END IF;
    FOR function_ IN
        SELECT oid FROM pg_proc
         WHERE pronamespace = to_regnamespace(quote_ident('migrate_lock'))
           AND proname = ANY (needed) AND proname <> ALL (coalesce(before_, '{}'))
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', function_, pg_get_userbyid(p_role));
    END LOOP;
    UPDATE "migrate_lock".migration_lock_role SET granted = needed WHERE role = p_role;
END
$body$;

-- Takes every right on the lock from a grantee, written as REVOKE takes it: a quoted name, or PUBLIC.
CREATE OR REPLACE FUNCTION "migrate_lock".revoke_rights(p_grantee text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %s', 'migrate_lock', p_grantee);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %s', 'migrate_lock', p_grantee);
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM %s', 'migrate_lock', p_grantee);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %s', 'migrate_lock', p_grantee);
END
$body$;

-- Sets the limits that are not null.
CREATE OR REPLACE FUNCTION "migrate_lock".configure(p_max_ttl_ms bigint, p_attempts_per_second integer) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    decided jsonb := jsonb_strip_nulls(jsonb_build_object(
        'maxTtlMs', p_max_ttl_ms, 'attemptsPerSecond', p_attempts_per_second));
    counter regclass;
BEGIN
    PERFORM "migrate_lock".begin_change(0);
    UPDATE "migrate_lock".migration_lock_setting
       SET max_ttl_ms          = coalesce(p_max_ttl_ms, max_ttl_ms),
           attempts_per_second = coalesce(p_attempts_per_second, attempts_per_second)
     WHERE id = 1;
    IF p_attempts_per_second IS NOT NULL THEN
        FOR counter IN SELECT attempts FROM "migrate_lock".migration_lock_role LOOP
            EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s', counter, greatest(1, 100000 / p_attempts_per_second));
        END LOOP;
    END IF;
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    PERFORM "migrate_lock".record_change('lock.configured', NULL, NULL, decided);
    RETURN decided;
END
$body$;

-- The OIDs of roles that exist.
CREATE OR REPLACE FUNCTION "migrate_lock".roles_named(p_names jsonb) RETURNS oid[]
    LANGUAGE plpgsql
AS $body$
DECLARE
    name_  text;
    found_ oid[] := '{}';
BEGIN
    FOR name_ IN SELECT jsonb_array_elements_text(p_names) LOOP
        IF to_regrole(quote_ident(name_)) IS NULL THEN
            PERFORM "migrate_lock".refuse(format('there is no role %s', name_), 'Create it first, or check its name.');
        END IF;
        found_ := found_ || to_regrole(quote_ident(name_))::oid;
    END LOOP;
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
    here     oid  := to_regnamespace(quote_ident('migrate_lock'));
    owner_   text := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE oid = here);
    admitted oid  := 0;
    children oid[];
    child    oid;
    counter  text;
    grantee  oid;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_child_roles));
    IF p_db_role IS NOT NULL THEN
        admitted := ("migrate_lock".roles_named(jsonb_build_array(p_db_role)))[1];
    END IF;
    children := "migrate_lock".roles_named(p_child_roles);
    IF admitted <> 0 AND pg_has_role(admitted, owner_, 'MEMBER') THEN
        PERFORM "migrate_lock".refuse(
            format('the role %s can act as %s, the owner of the lock: its rights cannot be limited', p_db_role, owner_),
            'Let another role own the lock schema: run init as one that this role is not a member of.');
    ELSIF admitted <> 0 AND NOT (SELECT rolcanlogin FROM pg_roles WHERE oid = admitted) THEN
        PERFORM "migrate_lock".refuse(
            format('the role %s cannot log in: it is a group', p_db_role),
            'Admit each role that logs in: every one has a rate limit of its own.');
    END IF;

    -- What every role has, none can be admitted to.
    PERFORM "migrate_lock".revoke_rights('PUBLIC');
    IF admitted = 0 THEN
        UPDATE "migrate_lock".migration_lock_role SET child_roles = children WHERE role = 0;
    ELSE
        counter := format('%I.migration_lock_attempts_%s', 'migrate_lock', admitted);
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s INCREMENT BY %s', counter, coalesce((
            SELECT greatest(1, 100000 / attempts_per_second) FROM "migrate_lock".migration_lock_setting), 500));
        EXECUTE format('ALTER SEQUENCE %s OWNER TO %I', counter, owner_);
        -- Default privileges may have given it to others.
        FOR grantee IN
            SELECT acl.grantee FROM pg_class, aclexplode(relacl) AS acl
             WHERE pg_class.oid = counter::regclass AND acl.grantee <> relowner
        LOOP
            EXECUTE format(
                'REVOKE ALL ON SEQUENCE %s FROM %s', counter,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END);
        END LOOP;
        INSERT INTO "migrate_lock".migration_lock_role (role, child_roles, attempts)
        VALUES (admitted, children, counter::regclass)
        ON CONFLICT (role) DO UPDATE SET child_roles = excluded.child_roles, granted = '{}';
        PERFORM "migrate_lock".revoke_rights(quote_ident(p_db_role));
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', 'migrate_lock', p_db_role);
        PERFORM "migrate_lock".grant_functions(admitted);
    END IF;
    FOREACH child IN ARRAY children LOOP
        -- A child role that is admitted itself has these rights already; the owner's need none.
        CONTINUE WHEN child IN (SELECT role FROM "migrate_lock".migration_lock_role) OR pg_has_role(child, owner_, 'MEMBER');
        PERFORM "migrate_lock".revoke_rights(quote_ident(pg_get_userbyid(child)));
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', 'migrate_lock', pg_get_userbyid(child));
        PERFORM "migrate_lock".grant_functions(child);
    END LOOP;
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    PERFORM "migrate_lock".record_change('lock.role_admitted', NULL, NULL, jsonb_build_object(
        'role', coalesce(p_db_role, owner_), 'childRoles', p_child_roles));
    RETURN jsonb_build_object('owner', owner_, 'roles', (
        SELECT jsonb_agg(jsonb_build_object(
                   'role', rolname,
                   'canSee', pg_has_role(owner_, rolname, 'USAGE') OR pg_has_role(owner_, 'pg_read_all_stats', 'USAGE'),
                   'canEnd', pg_has_role(owner_, rolname, 'USAGE')
                       OR NOT rolsuper AND pg_has_role(owner_, 'pg_signal_backend', 'USAGE'),
                   'tables', EXISTS (
                       SELECT FROM pg_class
                        WHERE relnamespace = here AND relkind = 'r'
                          AND has_table_privilege(rolname, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')))
                   ORDER BY oid <> admitted, rolname)
          FROM pg_roles
         WHERE oid = ANY (children || admitted)));
END
$body$;

-- Expels a role: it may not use the lock any more, and is no role's child role. With child roles, only these are taken from it.
-- A lease that it has runs out: it cannot release it. Answers the roles that lost their rights.
CREATE OR REPLACE FUNCTION "migrate_lock".expel(p_db_role text, p_child_roles jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    owner_   oid := (SELECT nspowner FROM pg_namespace WHERE oid = to_regnamespace(quote_ident('migrate_lock')));
    expelled oid := 0;
    children oid[];
    lost     oid[];
    counter  regclass;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_child_roles));
    IF p_db_role IS NOT NULL THEN
        expelled := ("migrate_lock".roles_named(jsonb_build_array(p_db_role)))[1];
    END IF;
    children := "migrate_lock".roles_named(p_child_roles);
    IF pg_has_role(expelled, owner_, 'MEMBER') THEN
        expelled := 0;
    END IF;
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
    PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    PERFORM "migrate_lock".record_change('lock.role_expelled', NULL, NULL, jsonb_build_object(
        'role', coalesce(p_db_role, pg_get_userbyid(owner_)), 'childRoles', p_child_roles));
    RETURN coalesce((SELECT jsonb_agg(pg_get_userbyid(role) ORDER BY 1) FROM unnest(lost) AS role), '[]');
END
$body$;
