#!/usr/bin/env python3
"""How a process comes to know of jobs that it did not see come: the lists of what is live, and the
sweep, on both databases."""

import hashlib
import json
import re
import sqlite3
import sys
import time

import harness
from harness import check, equal, ksuid, lasts, matches, test, wait_for

SOME = 44000    # jobs: what a cold reader would have to follow of them is worth a checkpoint
HALF = 20000    # of them
AT_ONCE = 4000  # events in a request
NEW_BYTES = 100  # of a job, for a cold reader that follows it
LISTED_BYTES = 20
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


def emit_many(daemon, count):
    for _ in range(0, count, AT_ONCE):
        daemon.emit("later", AT_ONCE)


def recovered(lab, live):
    """A daemon that knows all that is live."""
    daemon = lab.launch().ready()
    wait_for(lambda: f"event=recovered live={live}" in daemon.own_log(), "all that is live")
    return daemon


def has_written(daemon):
    return "event=checkpoint lanes=256" in daemon.own_log()


def begin_with_checkpoint(lab):
    daemon = lab.daemon({"later": LATER})
    for at in range(0, SOME, AT_ONCE):
        daemon.emit("later", AT_ONCE)
        # there is none before a cold reader would have much to read
        check(at > SOME // 2 or "event=checkpoint" not in daemon.log(), "too early:", at)
    wait_for(lambda: has_written(daemon), "a checkpoint")
    shown = json.loads(lab.run("status", "--json").stdout)["checkpoints"]
    equal(shown["lanes"], 256)
    check(shown["bytes"] > SOME // 2 * 20, shown)
    daemon.emit("later", 5)  # which no checkpoint lists
    daemon.kill()
    daemon = recovered(lab, SOME + 5)
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


def write_when_much_is_new(lab):
    daemon = lab.daemon({"later": LATER})
    emit_many(daemon, SOME - AT_ONCE)
    time.sleep(3)  # the cursor of a checkpoint on PostgreSQL may be a second old
    emit_many(daemon, AT_ONCE)
    wait_for(lambda: has_written(daemon), "a checkpoint")
    daemon.terminate()
    daemon = recovered(lab, SOME)
    emit_many(daemon, AT_ONCE)
    check(not has_written(daemon), "most of it is listed already")
    daemon.terminate()
    daemon = recovered(lab, SOME + AT_ONCE)
    emit_many(daemon, SOME - AT_ONCE)  # too few without those that the one before has left
    wait_for(lambda: has_written(daemon), "a checkpoint")
    equal(ended(daemon), SOME + SOME)
    lab.verify()


@test
@lasts(600)
def protocol_4_3_a_start_writes_a_checkpoint_when_much_is_new_since_the_last_on_sqlite(lab):
    write_when_much_is_new(lab)


@test
@lasts(600)
def protocol_4_3_a_start_writes_a_checkpoint_when_much_is_new_since_the_last_on_postgres(lab):
    lab.use_postgres()
    write_when_much_is_new(lab)


def plant_checkpoints(lab, age_s, listed):
    """Checkpoints of all lanes from before all events; that of lane 0 lists as many that are not."""
    def body(count):
        ids = b"".join(number.to_bytes(20, "big") for number in range(1, count + 1))
        return b"IGTC\1\0\0\0" + count.to_bytes(8, "big") + hashlib.sha256(ids).digest() + ids
    connection = sqlite3.connect(lab.store, timeout=harness.PATIENCE_S)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    life = connection.execute("SELECT life FROM lives ORDER BY n DESC").fetchone()[0]
    taken = int((time.time() - age_s) * 1000000)
    connection.executemany("INSERT INTO checkpoints VALUES (?, ?, 0, 1, ?, ?)",
                           [(taken, lane, f"1:{life % 2 ** 64:016x}:0", body(0 if lane else listed))
                            for lane in range(256)])
    connection.commit()
    connection.close()


def begin_with_planted(lab, age_s, listed):
    daemon = lab.daemon({"later": LATER})
    daemon.emit("later", 5)
    daemon.terminate()
    plant_checkpoints(lab, age_s, listed)
    return recovered(lab, 5)


@test
def protocol_4_3_a_checkpoint_is_due_when_more_is_new_than_the_one_of_the_start_has(lab):
    more = SOME + HALF
    daemon = begin_with_planted(lab, 60, more * NEW_BYTES // LISTED_BYTES)
    emit_many(daemon, more - AT_ONCE)
    check(not has_written(daemon), "it is not worth another list of that size")
    emit_many(daemon, 2 * AT_ONCE)
    wait_for(lambda: has_written(daemon), "a checkpoint")
    daemon.terminate()
    lab.verify()


@test
def protocol_4_3_a_checkpoint_is_due_when_the_one_of_the_start_is_a_day_old(lab):
    daemon = begin_with_planted(lab, 86400 + 60, 0)
    wait_for(lambda: has_written(daemon), "a checkpoint")
    daemon.kill()
    equal(ended(recovered(lab, 5)), 5)
    lab.verify()


@test
@lasts(600)
def a_checkpoint_that_could_not_be_written_is_written_later(lab):
    lab.use_postgres()
    daemon = lab.daemon({"later": LATER})
    session = lab.server.psql(lab.database)
    session.ask("ALTER TABLE ingot.checkpoints ADD CONSTRAINT refused CHECK (false) NOT VALID")
    emit_many(daemon, SOME)
    wait_for(lambda: "event=checkpoint_failed" in daemon.own_log(), "a refusal")
    check(not has_written(daemon), daemon.own_log())
    session.ask("ALTER TABLE ingot.checkpoints DROP CONSTRAINT refused")
    session.close()
    wait_for(lambda: has_written(daemon), "a checkpoint")
    daemon.kill()
    equal(ended(recovered(lab, SOME)), SOME)
    lab.verify()


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
    """Of what is planted no cursor tells, and no list: those that are written after it lack it."""
    sink = lab.sink()
    daemon = lab.daemon({"sink": {"kind": "http", "url": sink.url, "addresses": "any",
                                  "events": ["now"]}, "later": LATER})
    gone = daemon.emit("later")[0]
    daemon.emit("later")
    event = ksuid()
    plant(lab, event, json.dumps([{"id": ksuid(), "destination": "sink", "event": "now"}]), gone)

    def delivered():
        return any(entry["event"] == event for entry in sink.accepted())
    emit_many(daemon, SOME)
    wait_for(lambda: has_written(daemon), "a checkpoint")
    check(not delivered(), "it was seen to come, so that there is nothing to sweep")
    wait_for(delivered, "the sweep to find it", 150)
    wait_for(lambda: "event=swept" in daemon.own_log(), "the end of the sweep", 150)
    matches(daemon.own_log(), f"event=swept jobs={SOME + 2} mended=1\n")
    wait_for(lambda: lab.live() == SOME + 1, "its outcome")
    time.sleep(1)  # what was not shown is read again
    equal(ended(daemon), SOME + 1)
    lab.verify()


@test
@lasts(600)
def the_sweep_finds_what_memory_lacks_and_drops_what_has_ended_on_sqlite(lab):
    sweep(lab, plant_on_sqlite)


@test
@lasts(600)
def the_sweep_finds_what_memory_lacks_and_drops_what_has_ended_on_postgres(lab):
    lab.use_postgres()
    sweep(lab, plant_on_postgres)


if __name__ == "__main__":
    sys.exit(harness.main())
