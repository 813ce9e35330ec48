BEGIN;
ALTER TABLE accounts ADD COLUMN currency text NOT NULL DEFAULT 'EUR';
INSERT INTO steps VALUES ('003', current_setting('application_name'));
COMMIT;
