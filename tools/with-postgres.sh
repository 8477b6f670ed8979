#!/bin/sh
# Runs a command beside a throwaway PostgreSQL server, which it finds by PGHOST,
# PGPORT, PGUSER and PGPASSWORD; the server ends with the command.
# usage: with-postgres.sh COMMAND [ARGUMENT...]
set -eu
[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command -v pg_virtualenv >/dev/null || {
    echo "with-postgres.sh: pg_virtualenv is missing; tools/install-packages.sh check installs it" >&2
    exit 1
}
# fsync is off in pg_virtualenv, and the adapter rightly refuses that. -t: in a
# folder of its own, so that several may run at a time.
exec pg_virtualenv -t -o fsync=on -o max_connections=300 -o shared_buffers=64MB \
    -o max_wal_size=512MB -o log_line_prefix='%m [%p] %d %a ' "$@"
