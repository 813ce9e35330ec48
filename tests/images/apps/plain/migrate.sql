CREATE TABLE IF NOT EXISTS migrated AS SELECT current_setting('application_name') AS by, clock_timestamp() AS at;
