-- Everything of the lock lives in a schema of its own, so that tools which compare or clean the application's
-- schema never see it. Another schema is another lock.
CREATE SCHEMA IF NOT EXISTS "migrate_lock";
