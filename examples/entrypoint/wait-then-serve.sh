#!/bin/sh
# A container that waits for the work of a Job, then becomes the server.
set -eu
exec migrate-lock wait --once "$GIT_SHA" --wait-timeout 10m -- "$@"
