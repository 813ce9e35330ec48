COPY "migrate_lock".migration_lock_audit
    (id, at, event, instance_id, fencing_token, db_role, client_addr, application_name, details, hash) TO STDOUT
