"""Does what psql does with migrate.sql, fail.sql and beat.sql, exit code 3 of a failure included."""

import sys
import time

import psycopg2

with open(sys.argv[1]) as script:
    statements = script.read()
database = psycopg2.connect("")
database.autocommit = True
cursor = database.cursor()
try:
    statements, watched, _ = statements.partition("\\watch")
    cursor.execute(statements)
    while watched:
        time.sleep(0.1)
        cursor.execute(statements)
except psycopg2.Error as error:
    print(error, file=sys.stderr)
    sys.exit(3)
