#!/bin/sh
# A container that only migrates: `exec` makes migrate-lock the first process, which gets SIGTERM.
set -eu
exec migrate-lock run --once "$GIT_SHA" --wait-timeout 5m -- knex migrate:latest
