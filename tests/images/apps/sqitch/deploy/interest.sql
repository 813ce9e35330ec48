BEGIN;
UPDATE accounts SET balance = balance + 10;
SELECT pg_sleep(1.5);
INSERT INTO steps VALUES ('002', current_setting('application_name'));
COMMIT;
