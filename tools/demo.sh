#!/bin/sh
# The main job on real input, counted by the destinations themselves.
# usage: demo.sh BUILD-FOLDER KEEP(0|1) [STORE]
set -eu
ingot=$(realpath "$1/ingot")
sink=$(realpath "$1/tests/ingot-sink")
keep=$2
store=${3:-sqlite:demo.db}
folder=$(mktemp -d "${TMPDIR:-/tmp}/ingot-demo.XXXXXX")
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    [ "$keep" = 1 ] || rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$folder"

# The events: what dpkg has done on this machine, or else what is installed.
input=/var/log/dpkg.log
[ "$(wc -l <$input 2>/dev/null || echo 0)" -ge 500 ] || { dpkg-query -W >packages; input=packages; }
sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/ /g; s/.*/{"line":"&"}/' "$input" >events.ndjson
events=$(wc -l <events.ndjson)

# start NAME ARGUMENT...: a destination that keeps a ledger; waits for its port
start() {
    name=$1
    shift
    "$sink" --port-file "$name.port" --ledger "$name.ledger" "$@" &
    pids="$pids $!"
    until [ -s "$name.port" ]; do sleep 0.02; done
}
start healthy
start flaky --fail-for 3 --fail-status 503
cat >ingot.yaml <<YAML
listen: 127.0.0.1:0
defaults: {schedule: "@every 500ms", retries: 20, backoff: 1.5}
destinations:
  healthy: {kind: http, url: "http://127.0.0.1:$(cat healthy.port)/", addresses: any, events: ["*"]}
  flaky:   {kind: http, url: "http://127.0.0.1:$(cat flaky.port)/", addresses: any, events: ["*"]}
  archive: {kind: command, command: [/usr/bin/tee, -a, $folder/archive.ledger], events: [dpkg]}
YAML
export INGOT_STORE="$store"

# query SQL: one value of the store; in PostgreSQL the tables are in a schema
case $store in
sqlite:*)
    query() { sqlite3 -readonly "${store#sqlite:}" "$1"; }
    schema=
    ;;
postgres://* | postgresql://*)
    command -v psql >/dev/null || { echo "the counting needs psql (package postgresql-client)" >&2; exit 1; }
    query() { psql -XAtq -c "$1" "$store"; }
    schema=ingot.
    "$ingot" migrate up
    ;;
*)
    echo "the demo can count in sqlite:PATH and postgres://… only" >&2
    exit 2
    ;;
esac
[ -z "$schema" ] || [ "$(query "SELECT count(*) FROM ${schema}events")" = 0 ] || {
    echo "there are events in this store already: give the demo a database of its own" >&2
    exit 1
}

"$ingot" serve 2>serve.log &
daemon=$!
pids="$pids $daemon"
until grep -q 'event=started' serve.log; do
    kill -0 "$daemon" 2>/dev/null || { cat serve.log >&2; exit 1; }
    sleep 0.02
done

echo
echo "$events events from $input go in"
began=$(date +%s.%N)
"$ingot" emit dpkg -s "$(uname -n)" --ndjson <events.ndjson

# Progress: jobs that have ended of all, as the store tells it.
jobs=$((events * 3))
ended=0
deadline=$(($(date +%s) + 110))
while [ "$ended" -lt "$jobs" ] && [ "$(date +%s)" -lt "$deadline" ]; do
    ended=$(query "SELECT count(*) FROM ${schema}transitions WHERE state_after IN (4, 6)")
    [ ! -t 2 ] || printf '\rdelivered %d of %d ' "$ended" "$jobs" >&2
    sleep 0.2
done
[ ! -t 2 ] || printf '\r\033[K' >&2
took=$(echo "$began $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')

# What the destinations saw, by distinct jobs that they accepted.
distinct() { awk -F'\t' '$4 ~ /^2/ { print $1 }' "$1.ledger" | sort -u | wc -l; }
healthy=$(distinct healthy)
flaky=$(distinct flaky)
archive=$(sed 's/.*"job":{"id":"\([^"]*\)".*/\1/' archive.ledger | sort -u | wc -l)

echo
echo "events in            $events"
echo "jobs                 $jobs"
echo "delivered, as counted by the destinations themselves:"
echo "  healthy            $healthy"
echo "  flaky              $flaky"
echo "  archive            $archive"
echo "attempts             $(query "SELECT count(*) FROM ${schema}transitions WHERE state_after = 3")"
echo "jobs retried         $(query "SELECT count(DISTINCT event_id || '/' || job) FROM ${schema}history WHERE state_after = 'executing' AND attempt > 1")"
echo "time                 $took s, $(awk "BEGIN { printf \"%d\", $jobs / $took }") jobs/s to the last delivery"
echo
echo "the history of one retried job (ingot show):"
"$ingot" show "$(query "SELECT event_id || '/' || job FROM ${schema}history WHERE attempt = 2 AND state_after = 'succeeded' LIMIT 1")"
echo
"$ingot" verify
[ "$keep" = 0 ] || echo "kept in $folder"
[ "$healthy" = "$events" ] && [ "$flaky" = "$events" ] && [ "$archive" = "$events" ] || {
    echo "not every event reached every destination" >&2
    exit 1
}
