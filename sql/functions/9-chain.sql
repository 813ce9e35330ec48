-- For who verifies the history: both ends of the chain, the newest row that counts for nothing else than an older version,
-- and p_limit rows after the id p_after, chained or not, each as the text that its hash is of.
CREATE OR REPLACE FUNCTION "migrate_lock".chain(p_after bigint, p_limit integer) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'ends', (
            SELECT jsonb_build_object(
                       'headSeq', head_seq, 'headHash', encode(head_hash, 'hex'),
                       'tailSeq', tail_seq, 'tailHash', encode(tail_hash, 'hex'), 'firstAuditId', first_audit_id)
              FROM "migrate_lock".migration_lock_chain),
        'rows', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'id', page.id, 'seq', page.chain_seq, 'event', page.event, 'details', page.details,
                       'hash', encode(page.hash, 'hex'),
                       'text', "migrate_lock".audit_text(
                           page.chain_seq, page.at, page.event, page.instance_id, page.fencing_token, page.db_role,
                           page.client_addr, page.application_name, page.details)) ORDER BY page.id), '[]')
              FROM (SELECT *
                      FROM "migrate_lock".migration_lock_audit
                     WHERE id > p_after
                     ORDER BY id
                     LIMIT p_limit) AS page))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".chain(bigint, integer) FROM PUBLIC;
