BEGIN;
CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL);
CREATE TABLE steps (step text, by text);
INSERT INTO accounts SELECT id, 0 FROM generate_series(1, 100) AS id;
INSERT INTO steps VALUES ('001', current_setting('application_name'));
COMMIT;
