SELECT "migrate_lock".expel(p_db_role => $1, p_child_roles => $2::pg_catalog.text::pg_catalog.jsonb) AS answer
