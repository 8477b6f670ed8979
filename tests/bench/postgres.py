#!/usr/bin/env python3
"""Two figures of a store in PostgreSQL; run it under tools/with-postgres.sh.

pinned   jobs/s from the first event to the last delivery (ingot serve, one local HTTP destination),
         alone, beside an idle REPEATABLE READ transaction, and beside one that holds an xid; the
         three are interleaved, each on a store of its own
pickup   milliseconds from the COMMIT of ingot.emit() in psql to the delivery, on an idle system

usage: INGOT=… INGOT_SINK=… with-postgres.sh postgres.py pinned [EVENTS] [ROUNDS] | pickup [EVENTS]
"""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import harness  # noqa: E402

HOLDS = {"alone": None,
         "snapshot": "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class",
         "xid": "BEGIN; SELECT pg_current_xact_id()"}


def lines_in(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def serve(name):
    lab = harness.Lab(name)
    lab.use_postgres()
    sink = lab.sink()
    destination = {"kind": "http", "url": sink.url, "addresses": "any", "events": ["*"],
                   "concurrency": 256}
    lab.config({"sink": destination})
    daemon = lab.launch().ready()
    harness.wait_for(lambda: "event=recovered" in daemon.log(), "the lanes")
    return lab, sink


def jobs_a_second(lab, sink, events, hold):
    session = lab.server.psql(lab.database)
    if hold:
        session.ask(hold)
    before = lines_in(sink.ledger_path)
    given = b'{"pad":"' + b"x" * 188 + b'"}\n'
    began = time.monotonic()
    result = lab.run("emit", "bench", "--ndjson", given=given * events, seconds=600)
    harness.equal(result.returncode, 0, result.stderr)
    while lines_in(sink.ledger_path) < before + events:
        time.sleep(0.01)
    took = time.monotonic() - began
    session.close()
    return events / took


def pinned(events=50000, rounds=5):
    stores = {name: serve(f"pinned-{name}") for name in HOLDS}
    figures = {name: [] for name in HOLDS}
    for _ in range(rounds):
        for name, (lab, sink) in stores.items():
            figures[name].append(jobs_a_second(lab, sink, events, HOLDS[name]))
    for name, values in figures.items():
        ratios = [value / alone for value, alone in zip(values, figures["alone"])]
        print(f"{name:9} {statistics.median(values):8.0f} jobs/s, "
              f"{statistics.median(ratios):5.2f} of alone; rounds "
              + " ".join(f"{value:.0f}" for value in values))
    for lab, _ in stores.values():
        lab.close()


def pickup(events=200):
    lab, sink = serve("pickup")
    session = lab.server.psql(lab.database, lab.server.WRITER)
    waits = []
    for number in range(events):
        time.sleep(0.05 + number % 20 / 1000)  # the system is idle, and not in step with its polls
        before = lines_in(sink.ledger_path)
        session.ask("SELECT ingot.emit('bench', '{}')")
        committed = time.monotonic()
        while lines_in(sink.ledger_path) == before:
            time.sleep(0.0002)
        waits.append((time.monotonic() - committed) * 1000)
    waits.sort()
    print(f"pickup of {events} events: median {statistics.median(waits):.1f} ms, "
          f"p90 {waits[int(events * 0.9)]:.1f} ms, p99 {waits[int(events * 0.99)]:.1f} ms")
    lab.close()


if __name__ == "__main__":
    run = {"pinned": pinned, "pickup": pickup}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if not run:
        sys.exit(__doc__)
    run(*map(int, sys.argv[2:]))
