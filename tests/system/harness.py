"""What the system tests share.

A test is a function marked with @test, whose name is the promise that it checks. It gets a Lab:
a folder of its own, in which it starts daemons and sinks and runs commands; what still runs at its
end is ended, and a report of a sanitizer in any log fails it. The programs come from the
environment: INGOT and INGOT_SINK. Arguments of a test program choose tests by parts of their
names; results are printed as TAP.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

INGOT = os.environ["INGOT"]
SINK = os.environ["INGOT_SINK"]
LONG = bool(os.environ.get("INGOT_TEST_LONG"))

PATIENCE_S = 20  # for what ought to happen at once, on a machine that has other things to do
TEST_S = 900 if LONG else 120

EPOCH = 1400000000  # second 0 of a KSUID
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

TERMINAL = (4, 6)  # succeeded, discarded
NAMES = [None, "acknowledged", "awaiting", "executing", "succeeded", "failed", "discarded"]

_tests = []


class Skip(Exception):
    """A test cannot run here; its text says why."""


def test(function):
    """Marks a function as a test."""
    _tests.append(function)
    return function


# ---- what tests say ------------------------------------------------------------------------------


def check(condition, *details):
    """Fails the test with the details unless the condition holds."""
    if not condition:
        raise AssertionError(" ".join(str(detail) for detail in details) or "this does not hold")


def equal(got, wanted, *details):
    """Fails the test unless both are the same."""
    check(got == wanted, *details, f"\n  got    {got!r}\n  wanted {wanted!r}")


def matches(text, pattern, *details):
    """Fails the test unless the pattern is found in the text."""
    check(re.search(pattern, text), *details, f"\n  got    {text!r}\n  wanted {pattern!r}")


def wait_for(condition, what, seconds=PATIENCE_S):
    """Waits until the condition gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        check(time.monotonic() < end, f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)


def ksuid(second=None, payload=None):
    """A KSUID of a second of Unix time, now if none is given, as text."""
    second = int(time.time()) if second is None else second
    payload = os.urandom(16) if payload is None else payload
    number = int.from_bytes((second - EPOCH).to_bytes(4, "big") + payload, "big")
    text = ""
    for _ in range(27):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def ksuid_text(raw):
    """The text of the 20 bytes that stand in a table."""
    return ksuid(int.from_bytes(raw[:4], "big") + EPOCH, raw[4:])


def free_port():
    """A port that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# ---- processes -----------------------------------------------------------------------------------


class Process:
    """A program that was started, with what it writes to standard error in a file."""

    def __init__(self, lab, name, arguments, **options):
        self.log_path = lab.path(f"{name}.log")
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=log,
                                          stdout=log, cwd=lab.folder, **options)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def runs(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds=PATIENCE_S):
        """Waits for its end; the exit code, negative for a signal."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.log_path}: no end within {seconds} s") from None

    def kill(self):
        """Ends it with SIGKILL, if it still runs."""
        self.popen.kill()
        self.popen.wait()


class Sink(Process):
    """A destination that keeps a ledger."""

    def __init__(self, lab, name, *options):
        self.port_path, self.ledger_path = lab.path(f"{name}.port"), lab.path(f"{name}.ledger")
        super().__init__(lab, name, [SINK, "--port-file", self.port_path, "--ledger",
                                     self.ledger_path, *map(str, options)])
        wait_for(lambda: not self.runs() or os.path.exists(self.port_path), f"the port of {name}")
        check(self.runs(), self.log())
        with open(self.port_path, encoding="ascii") as file:
            self.port = int(file.read())
        self.url = f"http://127.0.0.1:{self.port}/"

    def ledger(self):
        """What it took: dictionaries of job, attempt, event, status and body (its SHA-256)."""
        entries = []
        with open(self.ledger_path, encoding="ascii") as file:
            for line in file.read().splitlines():
                job, attempt, event, status, body = line.split("\t")
                entries.append({"job": job, "attempt": int(attempt), "event": event,
                                "status": int(status), "body": body})
        return entries

    def accepted(self):
        return [entry for entry in self.ledger() if entry["status"] == 200]


class Answer:
    """What the gateway answered."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def events(self):
        return self.json()["events"]

    def ids(self):
        return [event["id"] for event in self.events()]


class Daemon(Process):
    """ingot serve."""

    def __init__(self, lab, config, wrapper=(), env=None, **options):
        self.lock_path = lab.store + "-lock"
        super().__init__(lab, "daemon", [*wrapper, INGOT, "serve", "-c", config],
                         env=env or lab.environment(), **options)

    def ready(self):
        """Waits until it takes events in."""
        self.address = wait_for(lambda: not self.runs() or self.announced(), "the daemon's address")
        check(self.runs(), "the daemon ended:", self.log())
        return self

    def announced(self):
        """The address that this very process wrote to the lock, if it did."""
        try:
            with open(self.lock_path, encoding="ascii") as file:
                # behind the line may still stand the rest of an older one
                pid, _, address = file.readline().strip().partition(" ")
        except FileNotFoundError:
            return None
        return address if pid == str(self.pid) else None

    def connect(self, seconds=PATIENCE_S):
        host, port = self.address.rsplit(":", 1)
        return http.client.HTTPConnection(host, int(port), timeout=seconds)

    def request(self, method, path, body=None, headers=None, connection=None):
        used = connection or self.connect()
        used.request(method, path, body, headers or {})
        response = used.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if not connection:
            used.close()
        return answer

    def post(self, body, media_type="application/json", connection=None):
        """Sends events: bytes or text as they are, anything else as JSON."""
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return self.request("POST", "/v1/events", body, {"Content-Type": media_type}, connection)

    def emit(self, name="test", count=1, **fields):
        """Puts events in, and returns their ids."""
        answer = self.post([{"source": "test", "name": name, **fields}] * count)
        equal(answer.status, 200, answer.body)
        return answer.ids()

    def terminate(self, number=signal.SIGTERM, seconds=PATIENCE_S):
        """Ends it as an operator does."""
        self.signal(number)
        equal(self.wait(seconds), 0, self.log())


# ---- the lab -------------------------------------------------------------------------------------


class Lab:
    """A folder with a store, and what a test started there."""

    def __init__(self, name):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix=f"ingot-{name[:40]}-"))
        self.store = self.path("store.db")
        self.processes, self.cleanups = [], []

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **more):
        inherited = {key: value for key, value in os.environ.items()
                     if not key.startswith("INGOT") and key != "http_proxy"}
        return inherited | {"INGOT_STORE": f"sqlite:{self.store}",
                            "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}

    def write(self, name, contents):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(contents if isinstance(contents, bytes) else contents.encode())
        return path

    def has(self, name):
        return os.path.exists(self.path(name))

    def read(self, name):
        """The text of a file, empty if there is none yet."""
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def script(self, name, text):
        """A program for a command destination; it stands in the lab's folder."""
        path = self.write(name, f"#!/bin/sh\ncd {self.folder} || exit 1\n{text}\n")
        os.chmod(path, 0o755)
        return path

    def keep(self, process):
        self.processes.append(process)
        return process

    def sink(self, name="sink", *options):
        return self.keep(Sink(self, name, *options))

    def config(self, destinations=None, **top):
        """Writes a configuration; JSON is YAML."""
        whole = {"listen": "127.0.0.1:0", "shutdown": "5s", "destinations": destinations or {}}
        return self.write("ingot.yaml", json.dumps(whole | top, indent=1))

    def launch(self, config=None, **options):
        """Starts a daemon and does not wait for it."""
        return self.keep(Daemon(self, config or self.path("ingot.yaml"), **options))

    def daemon(self, destinations=None, **top):
        """Writes a configuration and starts a daemon with it."""
        self.config(destinations, **top)
        return self.launch().ready()

    def run(self, *arguments, given=None, seconds=30, env=None, **options):
        """Runs a verb of ingot to its end."""
        result = subprocess.run([INGOT, *arguments], input=given, capture_output=True,
                                timeout=seconds, cwd=self.folder, check=False,
                                env=self.environment() if env is None else env, **options)
        result.stdout = result.stdout.decode(errors="replace")
        result.stderr = result.stderr.decode(errors="replace")
        check_log(result.stderr)
        return result

    def sql(self, query, *values):
        """Rows of the store, read beside whoever writes to it."""
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=PATIENCE_S)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def jobs(self):
        """All jobs by their id: a dictionary of event, number, destination, name, and chain."""
        jobs, places = {}, {}
        for event, born in self.sql("SELECT id, jobs FROM events"):
            for number, job in enumerate(json.loads(born)):
                jobs[job["id"]] = {"event": ksuid_text(event), "number": number,
                                   "destination": job["destination"], "name": job["event"],
                                   "chain": []}
                places[event, number] = jobs[job["id"]]
        rows = self.sql("SELECT event_id, job, state_after, attempt, due_at, error, created_at"
                        " FROM transitions ORDER BY event_id, job, seq")
        for event, number, *row in rows:
            step = dict(zip(("state", "attempt", "due", "error", "at"), row))
            step["state"] = NAMES[step["state"]]
            places[event, number]["chain"].append(step)
        return jobs

    def live(self):
        """How many jobs have not ended."""
        jobs = "SELECT coalesce(sum(json_array_length(jobs)), 0) FROM events"
        ended = f"SELECT count(*) FROM transitions WHERE state_after IN {TERMINAL}"
        return self.sql(f"SELECT ({jobs}) - ({ended})")[0][0]

    def drain(self, daemon=None, seconds=60):
        """Waits until every job has ended."""
        def drained():
            check(not daemon or daemon.runs(), "the daemon ended:", daemon and daemon.log())
            return self.live() == 0
        wait_for(drained, "the end of all jobs", seconds)

    def verify(self):
        """Holds the store against its invariants."""
        result = self.run("verify")
        equal(result.returncode, 0, result.stdout, result.stderr)

    def close(self):
        for process in self.processes:
            process.kill()
        for cleanup in self.cleanups:
            cleanup()
        try:
            for process in self.processes:
                check_log(process.log())
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def check_log(text):
    """Fails the test if a sanitizer complained."""
    check(not re.search(r"Sanitizer|runtime error:|Assertion .* failed", text), text[-6000:])


# ---- the program ---------------------------------------------------------------------------------


def explain(error):
    """Where in the tests it went wrong, and what."""
    frames = [f"{os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}"
              for frame in traceback.extract_tb(error.__traceback__)
              if not isinstance(error, AssertionError) or frame.filename != __file__]
    return "\n".join([*frames, f"{type(error).__name__}: {error}"])


def run_one(function):
    """Runs a test; None, or what went wrong."""
    def too_late(_number, _frame):
        raise AssertionError(f"no end within {TEST_S} s")

    lab = Lab(function.__name__)
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(TEST_S)
    problem = None
    try:
        function(lab)
    except Skip:
        raise
    except Exception as error:
        problem = explain(error)
    finally:
        signal.alarm(0)
        try:
            lab.close()
        except AssertionError as error:
            problem = (problem or "") + str(error)
    return problem


def main(parts=None):
    """Runs the tests whose names contain one of the parts, or all; the exit code."""
    parts = sys.argv[1:] if parts is None else parts
    chosen = [function for function in _tests
              if not parts or any(part in function.__name__ for part in parts)]
    failures = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, function in enumerate(chosen, 1):
        name = function.__name__
        begun = time.monotonic()
        try:
            problem = run_one(function)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            continue
        if problem:
            failures += 1
            print(f"not ok {number} - {name}")
            print("# " + problem.rstrip().replace("\n", "\n# "))
        else:
            print(f"ok {number} - {name}")
        print(f"# {time.monotonic() - begun:.2f} s", flush=True)
    return 1 if failures else 0
