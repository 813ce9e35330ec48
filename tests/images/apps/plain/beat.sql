CREATE TABLE IF NOT EXISTS beats (by text, at timestamptz);
INSERT INTO beats VALUES (current_setting('application_name'), clock_timestamp()) \watch 0.1
