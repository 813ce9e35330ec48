#!/bin/sh
# A container that migrates, then becomes the server. The shell is the first process during the migration: it passes SIGTERM on.
set -u
migrate-lock run --once "$GIT_SHA" --wait-timeout 5m -- knex migrate:latest &
migration=$!
trap 'kill -TERM "$migration"' TERM INT
wait "$migration"; code=$?
# A signal ends `wait` before the migration has ended: wait again, for its exit code.
while kill -0 "$migration" 2>/dev/null; do wait "$migration"; code=$?; done
[ "$code" -eq 0 ] || exit "$code"
trap - TERM INT
exec "$@"
