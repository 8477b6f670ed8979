#!/usr/bin/env python3
"""How a process comes to know of jobs that it did not see come: the lists of what is live, and the
sweep, on both databases."""

import json
import re
import sqlite3
import sys
import time

import harness
from harness import check, equal, ksuid, lasts, test, wait_for

SOME = 44000    # jobs: what a cold reader would have to follow of them is worth a checkpoint
AT_ONCE = 4000  # events in a request
LATER = {"kind": "command", "command": ["/bin/true"], "events": ["later"],
         "schedule": "@every 9h", "realtime": False}
DISCARDED = '{"message":"discarded by hand"}'


def raw(text):
    """The bytes of a KSUID, in hexadecimal digits."""
    number = 0
    for digit in text:
        number = number * 62 + harness.DIGITS.index(digit)
    return number.to_bytes(20, "big").hex()


def ended(daemon):
    """Ends a daemon; how many live jobs it knew."""
    daemon.terminate()
    return int(re.search(r"event=ended .* live=(\d+)", daemon.own_log())[1])


# ---- checkpoints ---------------------------------------------------------------------------------


def begin_with_checkpoint(lab):
    daemon = lab.daemon({"later": LATER})
    for at in range(0, SOME, AT_ONCE):
        daemon.emit("later", AT_ONCE)
        # there is none before a cold reader would have much to read
        check(at > SOME // 2 or "event=checkpoint" not in daemon.log(), "too early:", at)
    wait_for(lambda: "event=checkpoint lanes=256" in daemon.log(), "a checkpoint")
    shown = json.loads(lab.run("status", "--json").stdout)["checkpoints"]
    equal(shown["lanes"], 256)
    check(shown["bytes"] > SOME // 2 * 20, shown)
    daemon.emit("later", 5)  # which no checkpoint lists
    daemon.kill()
    daemon = lab.launch().ready()
    wait_for(lambda: f"event=recovered live={SOME + 5}" in daemon.own_log(), "all that is live")
    equal(ended(daemon), SOME + 5)
    lab.verify()


@test
@lasts(600)
def a_start_begins_with_the_checkpoints_that_were_written_on_sqlite(lab):
    begin_with_checkpoint(lab)


@test
@lasts(600)
def a_start_begins_with_the_checkpoints_that_were_written_on_postgres(lab):
    lab.use_postgres()
    begin_with_checkpoint(lab)


# ---- the sweep -----------------------------------------------------------------------------------


def plant_on_sqlite(lab, event, jobs, gone):
    connection = sqlite3.connect(lab.store, isolation_level=None, timeout=harness.PATIENCE_S)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO events (n, id, source, name, jobs, received_at, ingested_at)"
                       " SELECT max(n) + 1, ?, 'hand', 'now', ?, max(received_at),"
                       " max(ingested_at) FROM events", (bytes.fromhex(raw(event)), jobs))
    connection.execute("INSERT INTO transitions (event_id, job, seq, attempt, state_before,"
                       " state_after, error, created_at)"
                       " SELECT id, 0, 1, 0, 1, 6, ?, ingested_at FROM events WHERE id = ?",
                       (DISCARDED, bytes.fromhex(raw(gone))))
    connection.execute("COMMIT")
    connection.close()


def plant_on_postgres(lab, event, jobs, gone):
    """With an xid that every cursor has passed long ago."""
    lab.server.ask(f"""INSERT INTO ingot.events (id, source, name, jobs, received_at, xid)
            VALUES ('\\x{raw(event)}', 'hand', 'now', '{jobs}', now(), '3');
        INSERT INTO ingot.transitions
            (event_id, job, seq, attempt, state_before, state_after, error)
            VALUES ('\\x{raw(gone)}', 0, 1, 0, 1, 6, '{DISCARDED}')""", lab.database)


def sweep(lab, plant):
    sink = lab.sink()
    daemon = lab.daemon({"sink": {"kind": "http", "url": sink.url, "addresses": "any",
                                  "events": ["now"]}, "later": LATER})
    gone = daemon.emit("later")[0]
    daemon.emit("later")
    event = ksuid()
    plant(lab, event, json.dumps([{"id": ksuid(), "destination": "sink", "event": "now"}]), gone)

    def delivered():
        return any(entry["event"] == event for entry in sink.accepted())
    time.sleep(2)
    check(not delivered(), "it was seen to come, so that there is nothing to sweep")
    wait_for(delivered, "the sweep to find it", 150)
    wait_for(lambda: lab.live() == 1, "its outcome")
    time.sleep(1)  # what was not shown is read again
    equal(ended(daemon), 1)
    lab.verify()


@test
def the_sweep_finds_what_memory_lacks_and_drops_what_has_ended_on_sqlite(lab):
    sweep(lab, plant_on_sqlite)


@test
def the_sweep_finds_what_memory_lacks_and_drops_what_has_ended_on_postgres(lab):
    lab.use_postgres()
    sweep(lab, plant_on_postgres)


if __name__ == "__main__":
    sys.exit(harness.main())
