"""What the system tests share.

A test is a function marked with @test, whose name is the promise that it checks. It gets a Lab:
a folder of its own, in which it starts daemons and sinks and runs commands; what still runs at its
end is ended, and a report of a sanitizer in any log fails it. The programs come from the
environment: INGOT and INGOT_SINK. Arguments of a test program choose tests by parts of their
names; results are printed as TAP. Tests on PostgreSQL find a server by PGHOST, PGPORT, PGUSER (a
superuser) and PGPASSWORD, as tools/with-postgres.sh sets them.
"""

import csv
import glob
import http.client
import itertools
import json
import os
import pwd
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

PATIENCE_S = 60  # for what ought to happen at once, on a machine that has other things to do
TEST_S = 900 if LONG else 400

EPOCH = 1400000000  # second 0 of a KSUID
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

TERMINAL = (4, 6)  # succeeded, discarded
NAMES = [None, "acknowledged", "awaiting", "executing", "succeeded", "failed", "discarded"]

_tests = []
_numbers = itertools.count()


class Skip(Exception):
    """A test cannot run here; its text says why."""


def test(function):
    """Marks a function as a test."""
    _tests.append(function)
    return function


def lasts(seconds):
    """Gives a test more time than others have."""
    def mark(function):
        function.seconds = seconds
        return function
    return mark


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
            self.log_begins = log.tell()  # behind what a process before this one wrote
            self.popen = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=log,
                                          stdout=log, cwd=lab.folder, **options)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def own_log(self):
        """Only what this very process wrote."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_begins)
            return log.read().decode(errors="replace")

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
    """ingot serve, gateway or scheduler."""

    def __init__(self, lab, config, wrapper=(), env=None, verb="serve", name="daemon", **options):
        self.lock_path = None if lab.server else lab.store + "-lock"
        self.address = None
        super().__init__(lab, name, [*wrapper, INGOT, verb, "-c", config],
                         env=env or lab.environment(), **options)

    def ready(self):
        """Waits until it takes events in, or delivers them."""
        wait_for(lambda: not self.runs() or self.announced(), "the daemon's start")
        check(self.runs(), "the daemon ended:", self.log())
        self.address = self.announced()
        return self

    def announced(self):
        """The address that this very process wrote to the lock, or without one to its log."""
        if not self.lock_path:
            found = re.search(r"event=started\b(?:.* address=(\S+))?", self.own_log())
            return found and (found[1] or "none")
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


# ---- PostgreSQL ----------------------------------------------------------------------------------


class Refused(Exception):
    """An error that the server reported; sqlstate says which."""

    def __init__(self, sqlstate, message):
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate


class Psql:
    """A session of psql that stays open, for transactions that last and for many small queries."""

    END = "end of the answer"

    def __init__(self, url, env):
        self.popen = subprocess.Popen(
            ["psql", "-XqtA", "--csv", "-P", "null=\\N", "-v", "VERBOSITY=terse", url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=env | {"PGCLIENTENCODING": "UTF8"})

    def tell(self, sql):
        """Sends SQL and does not wait for an answer."""
        try:
            self.popen.stdin.write(f"{sql}\n;\\echo '{self.END}' :ERROR :LAST_ERROR_SQLSTATE\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise ConnectionError("psql has ended") from None

    def hear(self):
        """The rows of what was told, as lists of texts; Refused, or ConnectionError at the end."""
        lines = []
        while not (line := self.popen.stdout.readline()).startswith(self.END):
            if not line:
                raise ConnectionError("".join(lines))
            lines.append(line)
        error, sqlstate = line[len(self.END):].split()
        if error == "true":
            raise Refused(sqlstate, "".join(lines).strip())
        rows = csv.reader(line for line in lines if not line.startswith(("NOTICE:", "WARNING:")))
        return [[None if value == "\\N" else value for value in row] for row in rows]

    def ask(self, sql):
        self.tell(sql)
        return self.hear()

    def close(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


class Server:
    """A PostgreSQL server that runs already."""

    WRITER = "ingot_test"  # a login with the rights of ingot_writer, and no others

    def __init__(self, host=None, port=None, user=None, password=None):
        check(host or "PGHOST" in os.environ,
              "this test needs a PostgreSQL server; run it under tools/with-postgres.sh")
        self.host = host or os.environ["PGHOST"]
        self.port = int(port or os.environ.get("PGPORT", 5432))
        self.user = user or os.environ.get("PGUSER", "postgres")
        self.password = password or os.environ.get("PGPASSWORD", "")

    def environment(self):
        """What libpq needs besides an URL."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return inherited | {"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": str(PATIENCE_S)}

    def url(self, database, user=None, port=None):
        host = "127.0.0.1" if port else self.host
        return f"postgres://{user or self.user}@{host}:{port or self.port}/{database}"

    def psql(self, database="postgres", user=None, port=None):
        return Psql(self.url(database, user, port), self.environment())

    def ask(self, sql, database="postgres"):
        session = self.psql(database)
        try:
            return session.ask(sql)
        finally:
            session.close()

    def create(self, database):
        self.ask(f"CREATE DATABASE {database}")

    def drop(self, database):
        self.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def create_writer(self):
        """The login of the daemons, once the roles are there; others may be at it as well."""
        self.ask(f"""SELECT pg_advisory_lock(20261124);
                     DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles
                       WHERE rolname = '{self.WRITER}')
                     THEN CREATE ROLE {self.WRITER} LOGIN PASSWORD '{self.password}';
                     END IF; END $$; GRANT ingot_writer TO {self.WRITER}""")


class OwnServer(Server):
    """A server of the test's own, which may be crashed. PostgreSQL does not run as root."""

    def __init__(self, lab, **settings):
        super().__init__("127.0.0.1", free_port(), "postgres", "unused")
        found = glob.glob("/usr/lib/postgresql/*/bin")
        check(found, "there is no PostgreSQL server in /usr/lib/postgresql")
        self.bin = max(found, key=lambda path: float(path.split("/")[-2]))
        self.folder = lab.path(f"server-{self.port}")
        os.mkdir(self.folder, 0o700)
        self.wrapper = []
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            os.chmod(lab.folder, 0o711)
            self.wrapper = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        self.data = os.path.join(self.folder, "data")
        self.call("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N",
                  "--no-instructions")
        settings = {"port": self.port, "unix_socket_directories": self.folder,
                    "listen_addresses": "127.0.0.1", "max_connections": 200,
                    "shared_buffers": "64MB"} | settings
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        lab.cleanups.append(self.crash)
        self.start()

    def call(self, program, *arguments):
        # what is started goes on, and so may not hold a pipe of ours
        log_path = os.path.join(self.folder, "call.log")
        with open(log_path, "wb") as log:
            popen = subprocess.Popen([*self.wrapper, os.path.join(self.bin, program), *arguments],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     cwd=self.folder)
        try:
            code = popen.wait(100)
        except subprocess.TimeoutExpired:
            popen.kill()
            code = popen.wait()
        if code:
            raise AssertionError(f"{program} {arguments}: {code}\n{self.tail('call.log')}"
                                 f"\n{self.tail('log')}")

    def control(self, *arguments):
        self.call("pg_ctl", "-D", self.data, "-w", "-t", "90", *arguments)

    def tail(self, name):
        """The end of a file of the server's folder."""
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read()[-4000:]
        except FileNotFoundError:
            return ""

    def start(self):
        self.control("-l", os.path.join(self.folder, "log"), "start")

    def stop(self):
        self.control("-m", "fast", "stop")

    def demote(self):
        """Has it go on as a standby, that waits for a primary."""
        self.stop()
        path = os.path.join(self.data, "standby.signal")
        with open(path, "wb"):
            pass
        shutil.chown(path, "postgres" if self.wrapper else None)
        self.start()

    def promote(self):
        self.control("promote")

    def runs(self):
        return os.path.exists(os.path.join(self.data, "postmaster.pid"))

    def crash(self):
        """As after a power cut: nothing is finished."""
        if self.runs():
            self.control("-m", "immediate", "stop")


class Pooler(Process):
    """pgbouncer in transaction mode."""

    def __init__(self, lab, server, database, size=2):
        self.port = free_port()
        as_user = "user = postgres\n" if os.getuid() == 0 else ""
        config = lab.write("pgbouncer.ini", f"""[databases]
{database} = host={server.host} port={server.port} user={server.WRITER} password={server.password}
[pgbouncer]
{as_user}listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 400
""")
        os.chmod(lab.folder, 0o711)
        super().__init__(lab, "pgbouncer", ["pgbouncer", config])
        wait_for(lambda: not self.runs() or self.answers(), "pgbouncer")
        check(self.runs(), self.log())

    def answers(self):
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


# ---- the lab -------------------------------------------------------------------------------------


class Lab:
    """A folder with a store, and what a test started there."""

    def __init__(self, name):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix=f"ingot-{name[:40]}-"))
        self.store = self.path("store.db")
        self.server, self.session = None, None  # of PostgreSQL, if the store is there
        self.processes, self.cleanups = [], []

    def use_postgres(self, server=None):
        """Has a store in a database of its own, and works with the rights of a writer."""
        self.server = server or Server()
        self.database = f"ingot_{os.getpid()}_{next(_numbers)}"
        self.server.create(self.database)
        if not server:
            self.cleanups.append(lambda: self.server.drop(self.database))
        result = self.run("migrate", "up", env=self.environment(INGOT_STORE=self.owner_url()))
        equal(result.returncode, 0, result.stderr)
        self.server.create_writer()

    def url(self):
        if not self.server:
            return f"sqlite:{self.store}"
        return self.server.url(self.database, self.server.WRITER)

    def owner_url(self):
        return self.server.url(self.database)

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **more):
        inherited = self.server.environment() if self.server else os.environ
        inherited = {key: value for key, value in inherited.items()
                     if not key.startswith("INGOT") and key != "http_proxy"}
        return inherited | {"INGOT_STORE": self.url(), "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}

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
        if self.server:
            return self.postgres_sql(query)
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=PATIENCE_S)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def postgres_sql(self, query):
        """The same with PostgreSQL: as superuser, and again if the server went away."""
        while True:
            self.session = self.session or self.server.psql(self.database)
            try:
                rows = self.session.ask(f"SELECT row_to_json(q) FROM ({query}) q")
                return [tuple(value for _, value in json.loads(row, object_pairs_hook=list))
                        for row, in rows]
            except ConnectionError:
                self.session.close()
                self.session = None
                time.sleep(0.1)

    def jobs(self):
        """
        All jobs that were born with events, by their id: a dictionary of event, number,
        destination, name, and chain.
        """
        jobs, places = {}, {}
        if self.server:
            events = [(bytes.fromhex(event), born) for event, born in
                      self.sql("SELECT encode(id, 'hex'), jobs::text FROM ingot.events")]
            rows = [(bytes.fromhex(event), *row) for event, *row in self.sql(
                "SELECT encode(event_id, 'hex') e, job, state_after, attempt,"
                " (extract(epoch FROM due_at) * 1000000)::bigint d, error::text,"
                " (extract(epoch FROM created_at) * 1000000)::bigint c FROM ingot.transitions"
                " ORDER BY event_id, job, seq")]
        else:
            events = self.sql("SELECT id, jobs FROM events")
            rows = self.sql("SELECT event_id, job, state_after, attempt, due_at, error, created_at"
                            " FROM transitions ORDER BY event_id, job, seq")
        for event, born in events:
            for number, job in enumerate(json.loads(born)):
                jobs[job["id"]] = {"event": ksuid_text(event), "number": number,
                                   "destination": job["destination"], "name": job["event"],
                                   "chain": []}
                places[event, number] = jobs[job["id"]]
        for event, number, *row in rows:
            step = dict(zip(("state", "attempt", "due", "error", "at"), row))
            step["state"] = NAMES[step["state"]]
            places[event, number]["chain"].append(step)
        return jobs

    def live(self):
        """How many jobs have not ended."""
        schema = "ingot." if self.server else ""
        jobs = f"SELECT coalesce(sum(json_array_length(jobs)), 0) FROM {schema}events"
        ended = f"SELECT count(*) FROM {schema}transitions WHERE state_after IN {TERMINAL}"
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
        if self.session:
            self.session.close()
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
        raise AssertionError(f"no end within {seconds} s")

    lab = Lab(function.__name__)
    seconds = getattr(function, "seconds", TEST_S)
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
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
    # Programs that are started from here heed it also where a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
