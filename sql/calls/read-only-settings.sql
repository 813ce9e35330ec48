SET TRANSACTION READ ONLY;
SET LOCAL statement_timeout = '5s';
SET LOCAL row_security = off;
SET LOCAL DateStyle = 'ISO';
SET LOCAL TimeZone = 'UTC'
