#!/usr/bin/env python3
"""The main proof: what was acknowledged survives, and is delivered, whatever ends the daemon.

usage: test_crash.py [--rounds N] [--seed S] [TEST...]
"""

import argparse
import http.client
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import harness
from harness import Skip, check, equal, ksuid, ksuid_text, matches, test, wait_for

ROUNDS = 120 if harness.LONG else 12
SEED = None
CLIENTS = 4
PAUSE_S = 0.02  # at most, between two batches: kills meet requests, and nobody drowns in jobs

FLAKY = {"schedule": "@every 30ms", "retries": 1000}
ROUTES = {"healthy": ["*"], "flaky": ["*", "b"], "tee": ["a"]}


class Client(threading.Thread):
    """Sends batches to whichever daemon lives, and remembers what it was told."""

    def __init__(self, number, seed):
        super().__init__(daemon=True)
        self.number, self.random = number, random.Random(f"{seed}/{number}")
        self.address, self.stopping = None, False
        self.sent = {}          # number of the event: its name and its data
        self.given = {}         # ids that this client made: number of the event
        self.acknowledged = {}  # ids answered 2xx: number of the event
        self.unanswered, self.problem = 0, None

    def run(self):
        try:
            while not self.stopping:
                time.sleep(self.random.uniform(0, PAUSE_S))
                if self.address:
                    self.send(self.make_batch(self.random.choice((1, 1, 1, 2, 5, 20))))
        except Exception as error:
            self.problem = f"client {self.number}: {type(error).__name__}: {error}"

    def make_batch(self, count):
        """Events; if they all have an id, they can be sent again."""
        events, has_ids = [], self.random.random() < 0.6
        for _ in range(count):
            number = len(self.sent)
            data = {"client": self.number, "number": number,
                    "text": "x" * self.random.choice((0, 10, 100, 3000))}
            event = {"source": "crash", "name": self.random.choice("abc"), "data": data}
            self.sent[number] = event["name"], json.dumps(data)
            if has_ids:
                event["id"] = ksuid()
                self.given[event["id"]] = number
            events.append(event)
        return events

    def send(self, events):
        """Sends a batch until it is answered, or once if sending again would double it."""
        while True:
            status, body = self.post(json.dumps(events))
            if status == 200:
                answers = json.loads(body)["events"]
                for event, answer in zip(events, answers, strict=True):
                    self.acknowledged[answer["id"]] = event["data"]["number"]
                return
            check(status in (None, 503), "the daemon answered", status, body)
            self.unanswered += status is None
            if self.stopping or status is None and "id" not in events[0]:
                return
            time.sleep(0.005)

    def post(self, body):
        """The status, or None if the answer did not come."""
        address = self.address
        if not address:
            return 503, b"nobody is there"
        connection = http.client.HTTPConnection(address, timeout=harness.PATIENCE_S)
        try:
            connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError:
            return 503, b"nobody is there"
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()


class Crowd:
    """Some clients."""

    def __init__(self, seed, count=CLIENTS):
        self.clients = [Client(number, seed) for number in range(count)]
        for client in self.clients:
            client.start()

    def go(self, address):
        """Lets the clients send to this address, or to nobody for now."""
        for client in self.clients:
            client.address = address

    def acknowledged(self):
        """How many events the clients were told to be stored."""
        for client in self.clients:
            check(not client.problem, client.problem)
        return sum(len(client.acknowledged) for client in self.clients)

    def unanswered(self):
        return sum(client.unanswered for client in self.clients)

    def stop(self):
        for client in self.clients:
            client.stopping = True
        for client in self.clients:
            client.join(60)
            check(not client.is_alive(), f"client {client.number} does not end")


# ---- judging -------------------------------------------------------------------------------------


def check_store(lab, crowd):
    """Holds the stored events against what the clients sent and were told."""
    sent = {(client.number, number): event for client in crowd.clients
            for number, event in client.sent.items()}
    stored = {}
    for raw, source, name, data in lab.sql("SELECT id, source, name, data FROM events"):
        place = json.loads(data)["client"], json.loads(data)["number"]
        equal((source, (name, data)), ("crash", sent.get(place)), "stored, but never sent:", place)
        check(place not in stored.values(), "stored twice:", place)
        stored[ksuid_text(raw)] = place
    for client in crowd.clients:
        for id, number in client.acknowledged.items():
            equal(stored.get(id), (client.number, number), "acknowledged, but not stored:", id)
        for id, number in client.given.items():
            equal(stored.get(id, (client.number, number)), (client.number, number), id)
    return stored


def check_jobs(lab, stored):
    """Every event has the jobs that the routes want, and each of them succeeded once."""
    jobs = lab.jobs()
    names = dict(lab.sql("SELECT id, name FROM events"))
    wanted = sorted((ksuid_text(raw), destination, event) for raw, name in names.items()
                    for destination, events in ROUTES.items() for event in events
                    if event in ("*", name))
    equal(sorted((job["event"], job["destination"], job["name"]) for job in jobs.values()), wanted)
    check(set(job["event"] for job in jobs.values()) <= set(stored))
    for id, job in jobs.items():
        states = [step["state"] for step in job["chain"]]
        equal((states.count("succeeded"), states.count("discarded"), states[-1]),
              (1, 0, "succeeded"), id)
    return jobs


def check_ledger(jobs, destination, ledger):
    """Holds what a sink saw against the history."""
    seen, bodies = {}, {}
    for entry in ledger:
        job, key = jobs.get(entry["job"]), (entry["job"], entry["attempt"])
        check(job and job["destination"] == destination, "nobody sent", entry)
        equal(entry["event"], job["event"])
        check(key not in seen, "an attempt was sent twice:", entry)
        seen[key] = entry["status"]
        first = bodies.setdefault(entry["job"], entry["body"])
        equal(entry["body"], first, "the body changed:", key)
        check(("executing", entry["attempt"]) in
              [(step["state"], step["attempt"]) for step in job["chain"]], "never claimed:", entry)
    for id, job in jobs.items():
        if job["destination"] == destination:
            succeeded = job["chain"][-1]["attempt"]
            equal(seen.get((id, succeeded)), 200, "the destination knows of no success:", id)


def check_tee(jobs, crowd, text):
    """Holds the lines of the command's file against the history and what was sent."""
    written = set()
    for line in text.splitlines():
        delivery = json.loads(line)
        id, data = delivery["job"]["id"], delivery["data"]
        check(id in jobs and jobs[id]["event"] == delivery["id"], "nobody sent", line)
        equal((delivery["name"], json.dumps(data)),
              crowd.clients[data["client"]].sent[data["number"]])
        written.add(id)
    equal(written, {id for id, job in jobs.items() if job["destination"] == "tee"})


def check_all(lab, crowd, sinks):
    """Every promise, after all jobs have ended. Returns how many attempts were taken over."""
    lab.verify()
    stored = check_store(lab, crowd)
    jobs = check_jobs(lab, stored)
    for name, sink in sinks.items():
        check_ledger(jobs, name, sink.ledger())
    check_tee(jobs, crowd, lab.read("tee.ledger"))
    steps = [step["state"] for job in jobs.values() for step in [{"state": None}, *job["chain"]]]
    return sum(pair == ("executing", "executing") for pair in zip(steps, steps[1:]))


# ---- kill -9 -------------------------------------------------------------------------------------


@test
def what_was_acknowledged_survives_kill_9_at_any_instant_and_is_delivered(lab):
    seed = SEED if SEED is not None else random.randrange(1 << 32)
    print(f"# seed {seed}, {ROUNDS} rounds", flush=True)
    chance = random.Random(seed)
    sinks = {"healthy": lab.sink("healthy"), "flaky": lab.sink("flaky", "--fail-share", 20)}
    lab.config({"healthy": {"kind": "http", "url": sinks["healthy"].url, "addresses": "any",
                            "events": ROUTES["healthy"], **FLAKY},
                "flaky": {"kind": "http", "url": sinks["flaky"].url, "addresses": "any",
                          "events": ROUTES["flaky"], **FLAKY},
                "tee": {"kind": "command", "command": ["/usr/bin/tee", "-a",
                                                       lab.path("tee.ledger")],
                        "events": ROUTES["tee"], **FLAKY}})
    crowd = Crowd(seed)
    for _ in range(ROUNDS):
        daemon = lab.launch()
        end = time.monotonic() + chance.uniform(0.02, 0.4)
        while not (address := daemon.announced()) and time.monotonic() < end:
            time.sleep(0.002)
        crowd.go(address)
        time.sleep(max(0, end - time.monotonic()))
        check(daemon.runs(), "it ended by itself:", daemon.log())
        daemon.kill()
        crowd.go(None)
    daemon = lab.launch().ready()
    before = crowd.acknowledged()
    crowd.go(daemon.address)
    wait_for(lambda: crowd.acknowledged() > before + 100, "the clients' return")
    crowd.stop()
    lab.drain(daemon, 300)
    daemon.terminate()
    cut_off = check_all(lab, crowd, sinks)
    print(f"# {crowd.acknowledged()} events acknowledged, {crowd.unanswered()} requests and"
          f" {cut_off} attempts cut off", flush=True)
    check(ROUNDS < 10 or crowd.unanswered() and cut_off, "nothing was put to the test")


def strace(*options):
    """A wrapper that leaves the process its own place, so that signals and exit codes are its."""
    if not shutil.which("strace"):
        raise Skip("no strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL,
                      check=False).returncode:
        raise Skip("strace may not trace here")
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", *options]


def traced(lab):
    """The environment of what runs under strace, where LeakSanitizer does not work."""
    return lab.environment(ASAN_OPTIONS="detect_leaks=0")


@test
def kill_9_at_every_call_that_changes_a_file_loses_nothing(lab):
    calls = "fdatasync,fsync,pwrite64,write,ftruncate,unlink,openat"
    wrapper = strace("-e", f"trace={calls}")
    config = lab.config({"x": {"kind": "command", "command": ["/bin/true"], "events": ["*"]}})
    lines = b'{"n":1}\n' * 20
    points = killed = 0
    while True:
        points += 1 if harness.LONG else 2
        lab.store = lab.path(f"{points}.db")
        result = subprocess.run(
            [*wrapper, "-e", f"inject={calls}:signal=SIGKILL:when={points}", harness.INGOT, "emit",
             "a", "--ndjson", "--json", "-c", config], input=lines, capture_output=True,
            env=traced(lab), timeout=60, check=False, cwd=lab.folder)
        told = [json.loads(line)["id"] for line in result.stdout.splitlines()]
        again = lab.run("emit", "a", "--json", "-c", config)
        equal(again.returncode, 0, "after a kill at call", points, again.stderr)
        lab.verify()
        there = {ksuid_text(id) for id, in lab.sql("SELECT id FROM events")}
        check(set(told) <= there, "told, but not stored, after a kill at call", points)
        check(len(there) in (1, 21), "half a batch is stored after a kill at call", points)
        if result.returncode == 0:
            equal(len(told), 20)
            break
        equal(result.returncode, -signal.SIGKILL, result.stderr)
        killed += 1
    print(f"# killed at {killed} calls of {points}", flush=True)
    check(killed > 10)


# ---- the disk ------------------------------------------------------------------------------------


def acknowledged_while(daemon, condition, size=20000):
    """Sends events one by one while the condition holds; the ids answered 2xx, and the statuses."""
    ids, statuses = [], set()
    while daemon.runs() and condition(statuses):
        try:
            answer = daemon.post({"source": "test", "name": "a", "data": "x" * size})
        except (OSError, http.client.HTTPException):
            continue
        statuses.add(answer.status)
        if answer.status == 200:
            ids += answer.ids()
        else:
            check(answer.status in (503, 507), answer.status, answer.body)
    return ids, statuses


def check_stored(lab, ids):
    there = {ksuid_text(id) for id, in lab.sql("SELECT id FROM events")}
    missing = set(ids) - there
    check(not missing, "acknowledged, but lost:", len(missing), "of", len(ids))


def small_disk(lab, size):
    """A folder on a file system of its own."""
    folder = lab.path("disk")
    os.mkdir(folder)
    if not shutil.which("mount"):
        raise Skip("no mount")
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder],
                            capture_output=True, check=False)
    if result.returncode:
        raise Skip("file systems cannot be mounted here")
    lab.cleanups.append(lambda: subprocess.run(["umount", "-l", folder], check=True))
    return folder


@test
def a_full_disk_is_told_and_passes(lab):
    folder = small_disk(lab, "3m")
    sink = lab.sink()
    lab.store = os.path.join(folder, "store.db")
    daemon = lab.daemon({"sink": {"kind": "http", "url": sink.url, "addresses": "any",
                                  "events": ["*"], "schedule": "@every 10ms"}})
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb") as file:
        file.write(bytes(1 << 20))
    ids, _ = acknowledged_while(daemon, lambda statuses: 507 not in statuses)
    check(ids, "nothing was stored")
    for _ in range(20):
        answer = daemon.post({"source": "test", "name": "a", "data": "x" * 20000})
        equal(answer.status, 507, answer.body)
        check(answer.headers["Retry-After"])
        matches(answer.json()["message"], "full")
    check(daemon.runs(), daemon.log())
    os.unlink(ballast)
    ids += wait_for(lambda: acknowledged_while(daemon, lambda seen: not seen)[0], "space is back")
    lab.drain(daemon)
    daemon.terminate()
    lab.verify()
    check_stored(lab, ids)
    there = lab.sql("SELECT count(*) FROM events")[0][0]
    equal(there, len(ids), "more is stored than was acknowledged")
    equal(sorted(entry["event"] for entry in sink.accepted()), sorted(ids))


@test
def a_store_that_cannot_grow_loses_nothing(lab):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600000, 600000))

    lab.config()
    daemon = lab.launch(preexec_fn=limit, restore_signals=False).ready()
    ids, statuses = acknowledged_while(daemon, lambda statuses: not statuses - {200})
    check(ids and (not daemon.runs() or statuses & {503, 507}), statuses)
    if not daemon.runs():
        equal(daemon.wait(), 3, daemon.log())
        matches(daemon.log(), r"(?m)^ingot: store/sqlite: .*store\.db")
    daemon.kill()
    check_stored(lab, ids)
    daemon = lab.launch().ready()
    ids += daemon.emit()
    daemon.terminate()
    check_stored(lab, ids)
    lab.verify()


def run_into_failing_fsync(lab, when):
    """A daemon for which every fsync from that one on fails; the ids that it acknowledged."""
    calls = "fdatasync,fsync"
    wrapper = strace("-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={when}+")
    daemon = lab.launch(wrapper=wrapper, env=traced(lab)).ready()
    ids, _ = acknowledged_while(daemon, lambda _: True, 100)
    equal(daemon.wait(), 3, daemon.log())
    matches(daemon.log(), r"(?m)^ingot: store/sqlite: .*store\.db: disk I/O error")
    check(ids, "nothing was stored")
    check_stored(lab, ids)
    lab.verify()
    return ids


@test
def a_failed_fsync_ends_the_daemon_and_nothing_acknowledged_is_lost(lab):
    sink = lab.sink()
    lab.config({"sink": {"kind": "http", "url": sink.url, "addresses": "any", "events": ["*"],
                         "schedule": "@every 10ms"}})
    ids = [id for when in (20, 21, 27) for id in run_into_failing_fsync(lab, when)]
    daemon = lab.launch().ready()
    lab.drain(daemon)
    daemon.terminate()
    lab.verify()
    check(set(ids) <= {entry["event"] for entry in sink.accepted()}, "not all was delivered")


@test
def an_event_whose_fsync_failed_is_not_acknowledged(lab):
    lab.config()  # without destinations every commit is an event
    ids = []
    for runs, when in enumerate((20, 25, 30), 1):
        ids += run_into_failing_fsync(lab, when)
        # SQLite had written it, so that it is there, but that was luck
        equal(lab.sql("SELECT count(*) FROM events")[0][0], len(ids) + runs)


def main():
    global ROUNDS, SEED
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("parts", nargs="*", metavar="TEST")
    arguments = parser.parse_args()
    ROUNDS, SEED = arguments.rounds, arguments.seed
    return harness.main(arguments.parts)


if __name__ == "__main__":
    sys.exit(main())
