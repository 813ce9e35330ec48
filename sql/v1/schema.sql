-- Everything of the lock lives in a schema of its own, so that tools which compare or clean the application's schema do not
-- see it. Another schema is another lock. No IF NOT EXISTS: a schema that exists already is not adopted.
CREATE SCHEMA "migrate_lock";
