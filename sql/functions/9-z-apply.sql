-- The functions are new, perhaps: whoever was admitted may use them too.
SELECT "migrate_lock".grant_rights();
