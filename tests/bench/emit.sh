#!/bin/sh
# Events/s of parallel `ingot emit --ndjson` through one daemon into SQLite,
# payload 200 bytes; first with no destination (insert alone), then with one
# local HTTP destination that takes everything (insert and delivery together).
# usage: emit.sh BUILD-FOLDER [CLIENTS] [EVENTS-EACH] [RUNS]
set -eu
ingot=$(realpath "$1/ingot")
sink=$(realpath "$1/tests/ingot-sink")
clients=${2:-64}
each=${3:-5000}
runs=${4:-5}
folder=$(mktemp -d "${TMPDIR:-/tmp}/ingot-bench.XXXXXX")
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$folder"
awk -v n="$each" 'BEGIN { p = sprintf("%170s", ""); gsub(/ /, "x", p); for (i = 0; i < n; i++) printf "{\"n\":%d,\"pad\":\"%s\"}\n", i, p }' >lines

seconds_since() { echo "$1 $(date +%s.%N)" | awk '{ print $2 - $1 }'; }
per_second() { awk "BEGIN { printf \"%d\", $1 / $2 }"; }

run() {
    rm -f ingot.db* port ledger
    if [ "$1" = delivery ]; then
        "$sink" --port-file port --ledger ledger &
        sink_pid=$!
        pids=$sink_pid
        until [ -s port ]; do sleep 0.02; done
        echo "destinations: {sink: {kind: http, url: \"http://127.0.0.1:$(cat port)/\", addresses: any, concurrency: 64, events: [\"*\"]}}" >ingot.yaml
    else
        echo "destinations: {}" >ingot.yaml
    fi
    INGOT_LISTEN=127.0.0.1:0 "$ingot" serve 2>log &
    daemon=$!
    pids="$pids $daemon"
    until grep -q event=started log; do sleep 0.02; done
    began=$(date +%s.%N)
    emitters=
    for _ in $(seq "$clients"); do
        "$ingot" emit bench --ndjson <lines >/dev/null &
        emitters="$emitters $!"
    done
    for pid in $emitters; do wait "$pid"; done
    took=$(seconds_since "$began")
    printf '%s: %s events/s in' "$1" "$(per_second $((clients * each)) "$took")"
    if [ "$1" = delivery ]; then
        until [ "$(wc -l <ledger)" -ge $((clients * each)) ]; do sleep 0.1; done
        printf ', %s jobs/s to the last delivery' "$(per_second $((clients * each)) "$(seconds_since "$began")")"
    fi
    echo
    kill "$daemon"
    wait "$daemon"
    [ "$1" = insert ] || { kill "$sink_pid"; wait "$sink_pid" || true; }
    pids=
}
for _ in $(seq "$runs"); do
    run insert
    run delivery
done
