#!/usr/bin/env python3
"""The command line: what each verb prints, what it ends with, and how it meets hostile stores."""

import fcntl
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import harness
from harness import check, equal, ksuid, matches, test, wait_for

VERBS = ["serve", "gateway", "scheduler", "emit", "find", "show", "counts", "status", "verify",
         "migrate", "help"]
DESTINATIONS = {
    "bad": {"kind": "command", "command": ["/bin/false"], "events": ["a"], "retries": "none"},
    "late": {"kind": "command", "command": ["/bin/true"], "schedule": "@every 9h",
             "realtime": False, "events": ["*"]},
    "ok": {"kind": "command", "command": ["/bin/true"], "events": ["a", "b"]},
}


def normal(lab, text):
    """The text without what differs from run to run."""
    for pattern, word in ((re.escape(lab.folder), "DIR"),
                          (r"\b[0-9A-Za-z]{27}\b|\b3[0-9A-Za-z]{7}\b", "ID"),
                          (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"), (r"\b\d{14}\b", "VERSION"),
                          (r"\b\d+\.\d\d\b", "SECONDS"), (r" +", " "), (r" +$", "")):
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


def filled(lab):
    """A store with two events, some of whose jobs have ended; nobody holds it. Their ids."""
    daemon = lab.daemon(DESTINATIONS)
    now = int(time.time())
    ids = [ksuid(now - 20), ksuid(now - 10)]
    daemon.post([{"id": ids[0], "source": "shop", "name": "a", "data": {"n": 1}},
                 {"id": ids[1], "source": "shop", "name": "b", "context": [True]}])
    wait_for(lambda: lab.live() == 2, "the jobs that are due")
    daemon.terminate()
    return ids


def emitted(lab, count=1, name="a"):
    """A store with that many events, put in directly."""
    result = lab.run("emit", name, "--ndjson", "-c", lab.config(DESTINATIONS),
                     given=b'{"n":1}\n' * count)
    equal(result.returncode, 0, result.stderr)


def plant(lab, sql, *values):
    """Changes the store behind Ingot's back."""
    connection = sqlite3.connect(lab.store)
    with connection:
        connection.execute(sql, values)
    connection.close()


# ---- what it says --------------------------------------------------------------------------------


@test
def every_verb_explains_itself(lab):
    for verb in VERBS:
        result = lab.run(verb, "--help")
        equal(result.returncode, 0, verb)
        matches(result.stdout, rf"\Ausage: ingot {verb}\b", verb)
        matches(result.stdout, rf"example: ingot {verb}\b", verb)
        equal(lab.run("help", verb).stdout, result.stdout, verb)
    result = lab.run("--help")
    equal(result.returncode, 0)
    for verb in VERBS:
        matches(result.stdout, rf"(?m)^  {verb} +\w", verb)
    matches(lab.run("--version").stdout, r"\Aingot \d+\.\d+\.\d+\n\Z")


@test
def wrong_arguments_end_with_2_and_say_what_is_wrong(lab):
    cases = [
        ([], "usage: ingot"), (["fnd"], 'did you mean "find"'), (["frobnicate"], "ingot --help"),
        (["--frobnicate"], "--frobnicate"), (["--store"], "--store needs"),
        (["counts", "--store", "mysql:x"], "sqlite"),
        (["find", "--frobnicate"], "usage: ingot find"),
        (["find", "extra"], "usage: ingot find"), (["find", "--status", "done"], "discarded"),
        (["find", "--limit", "0"], "--limit"), (["find", "--limit", "-1"], "--limit"),
        (["find", "--limit", "99999999999999999999"], "--limit"),
        (["find", "--max-attempts", "65536"], "--max-attempts"), (["find", "--limit"], "usage"),
        (["show"], "usage: ingot show"), (["show", "a", "b"], "usage"), (["counts", "x"], "usage"),
        (["verify", "--frobnicate"], "usage"), (["emit", "--frobnicate"], "usage"),
        (["migrate", "sideways"], "usage"), (["migrate", "down"], "--yes"),
        (["migrate", "accept-restore", "x"], "usage"), (["status", "x"], "usage: ingot status"),
        (["emit"], "usage: ingot emit"), (["emit", "a", "b"], "usage"), (["help", "fnd"], "find"),
        (["serve", "x"], "usage: ingot serve"),
    ]
    for arguments, message in cases:
        result = lab.run(*arguments)
        equal(result.returncode, 2, arguments, result.stderr)
        equal(result.stdout, "", arguments)
        matches(result.stderr, message, arguments)
    check(not lab.has("store.db"), "a wrong argument made a store")


@test
def find_counts_verify_and_migrate_print_what_is_expected(lab):
    filled(lab)
    golden = {
        ("find",): """\
EVENT JOB NAME DESTINATION STATE ATTEMPT DUE/SINCE ERROR
ID 0 a bad discarded 1 TIME exit code 1
ID 1 a late acknowledged 0 TIME
ID 2 a ok succeeded 1 TIME
ID 0 b late acknowledged 0 TIME
ID 1 b ok succeeded 1 TIME
""",
        ("counts",): """\
DESTINATION ACKNOWLEDGED AWAITING EXECUTING SUCCEEDED FAILED DISCARDED JOBS
bad 0 0 0 0 0 1 1
late 2 0 0 0 0 0 2
ok 0 0 0 2 0 0 2
(all) 2 0 0 2 0 1 5

2 events, 5 jobs, 6 transitions
""",
        ("verify",): "verified 2 events, 5 jobs, 6 transitions in SECONDS s: 0 violations,"
                     " 2 live jobs\n",
        ("migrate",): "nothing to do: 2 migrations have run\n",
        ("migrate", "accept-restore"): "nothing to do: the store is not known to have been"
                                       " restored or copied\n",
        ("migrate", "status"): "VERSION NAME STATE SINCE\nVERSION store applied TIME\n"
                               "VERSION presence applied TIME\n",
    }
    for arguments, text in golden.items():
        result = lab.run(*arguments)
        equal((result.returncode, result.stderr), (0, ""), arguments)
        equal(normal(lab, result.stdout).replace("\n ", "\n").lstrip(), text, arguments)


@test
def show_prints_an_event_or_one_job_with_its_history(lab):
    ids = filled(lab)
    header = ("event ID\nname a\nsource shop\nreceived TIME\ningested TIME\n")
    job = """
job 0 ID
destination bad
for a
state discarded, attempt 1
SEQ AT BEFORE AFTER ATTEMPT OWNER DUE ERROR
 0 TIME - acknowledged 0 - -
 1 TIME acknowledged executing 1 ID -
 2 TIME executing discarded 1 ID - exit code 1
"""
    whole = normal(lab, lab.run("show", ids[0]).stdout)
    check(whole.startswith(header), whole)
    check(job in whole, whole)
    equal(re.findall(r"(?m)^job (\d) ID", whole), ["0", "1", "2"])
    job_id = next(id for id, job in lab.jobs().items()
                  if job["event"] == ids[0] and job["destination"] == "bad")
    for name in (f"{ids[0]}/0", f"{ids[0]}/{job_id}", job_id):
        result = lab.run("show", name)
        equal(result.returncode, 0, name, result.stderr)
        text = normal(lab, result.stdout)
        check(job in text, name, text)
        equal(re.findall(r"(?m)^job (\d) ID", text), ["0"], name)
    for name in ("x", ids[0][:-1] + "-", ids[0] + "0", ids[0] + "/", ids[0] + "/-1", "z" * 27):
        result = lab.run("show", name)
        equal((result.returncode, result.stdout), (2, ""), name, result.stderr)
    for name in (ksuid(), f"{ids[0]}/7", f"{ids[0]}/{ksuid()}", f"{ksuid()}/0"):
        result = lab.run("show", name)
        equal((result.returncode, result.stdout), (1, ""), name)
        matches(result.stderr, r"\Aingot: .*\bno\b", name)


@test
def json_is_valid_for_every_verb_and_tells_the_same(lab):
    ids = filled(lab)
    found = [json.loads(line) for line in lab.run("find", "--json").stdout.splitlines()]
    equal([event["id"] for event in found], ids)
    equal([[job["destination"] for job in event["jobs"]] for event in found],
          [["bad", "late", "ok"], ["late", "ok"]])
    equal([(event["data"], event["context"]) for event in found],
          [({"n": 1}, None), (None, [True])])
    shown = json.loads(lab.run("--json", "show", ids[0]).stdout)
    equal(shown["event"]["id"], ids[0])
    steps = shown["jobs"][0]["transitions"]
    equal([step["state_after"] for step in steps], ["acknowledged", "executing", "discarded"])
    equal([step["seq"] for step in steps], [0, 1, 2])
    equal(steps[2]["error"]["message"], "exit code 1")
    counted = json.loads(lab.run("counts", "--json").stdout)
    equal((counted["events"], counted["jobs"], counted["transitions"]), (2, 5, 6))
    equal([entry["destination"] for entry in counted["destinations"]], ["bad", "late", "ok"])
    verified = json.loads(lab.run("verify", "--json").stdout)
    equal((verified["violations"], verified["found"], verified["live"]), (0, [], 2))
    for action in ("up", "status"):
        migrations = json.loads(lab.run("migrate", action, "--json").stdout)["migrations"]
        equal([(migration["name"], migration["state"]) for migration in migrations],
              [("store", "applied"), ("presence", "applied")])
    accepted = json.loads(lab.run("migrate", "accept-restore", "--json").stdout)
    equal(accepted, {"accepted": False})
    (line,) = lab.run("emit", "a", "--json").stdout.splitlines()
    equal((json.loads(line)["status"], json.loads(line)["jobs"]), ("stored", 3))


@test
def find_finds_by_destination_event_state_and_attempts(lab):
    filled(lab)
    cases = [
        (["--destination", "bad"], "a/bad"), (["--destination", "ok"], "a/ok b/ok"),
        (["--destination", "ok", "--destination", "bad"], "a/bad a/ok b/ok"),
        (["--event", "a"], "a/bad a/ok"), (["--event", "*"], "a/late b/late"),
        (["--event", "*", "--event", "b"], "a/late b/late b/ok"),
        (["--status", "discarded"], "a/bad"), (["--status", "succeeded"], "a/ok b/ok"),
        (["--status", "discarded", "--status", "acknowledged"], "a/bad a/late b/late"),
        (["--not-status", "succeeded", "--not-status", "discarded"], "a/late b/late"),
        (["--destination", "ok", "--event", "b"], "b/ok"), (["--limit", "2"], "a/bad a/late"),
        (["--limit", "none"], "a/bad a/late a/ok b/late b/ok"), (["--max-attempts", "1"],
                                                                  "a/bad a/late a/ok b/late b/ok"),
    ]
    for arguments, jobs in cases:
        result = lab.run("find", *arguments)
        equal(result.returncode, 0, arguments, result.stderr)
        rows = [line.split() for line in result.stdout.splitlines()[1:]]
        equal(" ".join(f"{row[2]}/{row[3]}" for row in rows), jobs, arguments)
        result = lab.run("find", "--json", *arguments)
        events = [json.loads(line) for line in result.stdout.splitlines()]
        equal(" ".join(f"{event['name']}/{job['destination']}" for event in events
                       for job in event["jobs"]), jobs, arguments, "with --json")
    matches(lab.run("find", "--limit", "2").stderr, "there may be more")
    for arguments in (["--destination", "nobody"], ["--event", "c"], ["--status", "executing"]):
        result = lab.run("find", *arguments)
        equal((result.returncode, result.stdout), (1, ""), arguments)


@test
def a_long_find_is_complete(lab):
    emitted(lab, 1234)
    rows = lab.run("find", "--limit", "none").stdout.splitlines()
    equal(len(rows), 1 + 3 * 1234)
    events = [json.loads(line) for line in
              lab.run("find", "--limit", "none", "--json").stdout.splitlines()]
    equal([len(event["jobs"]) for event in events], [3] * 1234)
    equal([event["id"] for event in events], sorted(event["id"] for event in events))
    equal(len(lab.run("find").stdout.splitlines()), 101)


@test
def a_long_find_that_cannot_be_written_says_only_that(lab):
    emitted(lab, 2500)
    with open("/dev/full", "wb") as full:
        result = subprocess.run([harness.INGOT, "find", "--json", "--limit", "none"], stdout=full,
                                stderr=subprocess.PIPE, env=lab.environment(), check=False,
                                timeout=60)
    equal(result.returncode, 3)
    equal(len(result.stderr.splitlines()), 1, result.stderr)


@test
def a_signal_ends_a_long_find(lab):
    emitted(lab, 20000)
    with open(lab.path("found"), "wb") as found:
        process = subprocess.Popen([harness.INGOT, "find", "--limit", "none"],
                                   stdout=found, stderr=subprocess.PIPE, env=lab.environment())
        wait_for(lambda: os.path.getsize(lab.path("found")) > 0, "the first events")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    equal(process.returncode, 130, said)
    with open(lab.path("found"), "rb") as found:
        check(len(found.read().splitlines()) < 3 * 20000)


# ---- which store ---------------------------------------------------------------------------------


@test
def the_store_is_named_by_option_then_environment_then_default(lab):
    config = lab.config(DESTINATIONS)

    def emit(*arguments, **environment):
        result = lab.run("emit", "a", "-c", config, *arguments,
                         env=lab.environment() | environment)
        equal(result.returncode, 0, result.stderr)

    emit("--store", f"sqlite:{lab.path('option.db')}", INGOT_STORE="sqlite:environment.db")
    emit("--store=sqlite:equals.db")
    emit(INGOT_STORE="sqlite:environment.db")
    emit(INGOT_STORE="")
    for name in ("option.db", "equals.db", "environment.db", "ingot.db"):
        check(lab.has(name), name)
        result = lab.run("--store", f"sqlite:{name}", "counts")
        matches(result.stdout, r"(?m)^1 events", name)


# ---- emit ----------------------------------------------------------------------------------------


@test
def emit_without_routes_says_what_to_do(lab):
    result = lab.run("emit", "a")
    equal(result.returncode, 3)
    matches(result.stderr, "ingot serve.*-c")
    equal(lab.sql("SELECT count(*) FROM events"), [(0,)])


@test
def emit_puts_events_in_directly_and_remembers_no_routes(lab):
    result = lab.run("emit", "a", "-s", "me", "-d", ' {"x": 1.0} ', "-c", lab.config(DESTINATIONS))
    equal((result.returncode, result.stdout), (0, "1 events stored, 3 jobs\n"), result.stderr)
    ((source, name, data),) = lab.sql("SELECT source, name, data FROM events")
    equal((source, name, json.loads(data)), ("me", "a", {"x": 1.0}))
    equal(lab.run("emit", "a").returncode, 3, "nobody published routes")
    lab.verify()


@test
def emit_uses_the_routes_that_a_daemon_published(lab):
    lab.daemon(DESTINATIONS).terminate()
    result = lab.run("emit", "b")
    equal((result.returncode, result.stdout), (0, "1 events stored, 2 jobs\n"), result.stderr)
    equal(lab.run("emit", "nobody.wants.it").stdout, "1 events stored, 1 jobs\n")


@test
def emit_goes_through_the_daemon_that_holds_the_store(lab):
    daemon = lab.daemon(DESTINATIONS)
    result = lab.run("emit", "a", "-d", '{"x":1}')
    equal((result.returncode, result.stdout), (0, "1 events stored, 3 jobs\n"), result.stderr)
    wait_for(lambda: lab.live() == 1, "the deliveries of what the daemon took in")
    result = lab.run("emit", "a", "--ndjson", "-d", "-", given=b"1\n\n2\r\n3")
    equal((result.returncode, result.stdout), (0, "3 events stored, 9 jobs\n"), result.stderr)
    equal(lab.sql("SELECT data FROM events ORDER BY n"), [('{"x":1}',), ("1",), ("2",), ("3",)])
    pretty = '{\n  "x": [\n    1\n  ]\n}'
    result = lab.run("emit", "a", "-d", "-", given=f" {pretty}\n".encode())
    equal(result.returncode, 0, result.stderr)
    equal(lab.sql("SELECT data FROM events ORDER BY n DESC LIMIT 1"), [(pretty,)])
    result = lab.run("emit", "*")
    equal(result.returncode, 2)
    matches(result.stderr, "wildcard|not acceptable")
    check(daemon.runs())


@test
def emit_takes_data_from_argument_file_and_input(lab):
    config = lab.config()
    path = lab.write("data.json", '{"from":\n"file"}\n')
    for data, given in (('"argument"', None), (f"@{path}", None), ("-", b'["input"]')):
        result = lab.run("emit", "a", "-c", config, "-d", data, given=given)
        equal(result.returncode, 0, data, result.stderr)
    result = lab.run("emit", "a", "-c", config, "--ndjson", given=b"1\n2\n")
    equal(result.returncode, 0, result.stderr)
    equal(lab.run("emit", "a", "-c", config).returncode, 0)
    stored = [data and json.loads(data) for data, in lab.sql("SELECT data FROM events ORDER BY n")]
    equal(stored, ["argument", {"from": "file"}, ["input"], 1, 2, None])


@test
def emit_refuses_data_that_is_not_json(lab):
    config = lab.config()
    cases = [(["-d", "{"], b"", "not JSON"), (["-d", ""], b"", "not JSON"),
             (["-d", "@none.json"], b"", r"none\.json"), (["-d", "-"], b"\xff", "not JSON"),
             (["-d", "@" + lab.folder], b"", "could not"),
             (["--ndjson"], b"1\n2\n\n{\n5\n", "line 4"), (["--ndjson"], b"1\n2\n\0\n", "line 3")]
    for arguments, given, message in cases:
        result = lab.run("emit", "a", "-c", config, *arguments, given=given)
        equal(result.returncode, 2, arguments, result.stderr)
        matches(result.stderr, message, arguments)
    for name in ("", "*", "a\nb", "\x1b[2J", "n" * 256):
        result = lab.run("emit", name, "-c", config)
        equal(result.returncode, 2, repr(name), result.stderr)
        check("\x1b" not in result.stderr, repr(result.stderr))
    check(lab.run("find").returncode in (1, 3), "something was stored")


@test
def emit_with_a_configuration_that_is_wrong_ends_with_2(lab):
    wrong = lab.write("wrong.yaml", "lisen: 1\n")
    for path, message in ((lab.path("none.yaml"), r"none\.yaml does not exist"),
                          (wrong, r"wrong\.yaml:1:1: .*\"listen\"")):
        result = lab.run("emit", "a", "-c", path)
        matches(result.stderr, message)
        equal(result.returncode, 2, result.stderr)


@test
def emit_tells_how_much_was_stored_before_a_bad_line(lab):
    result = lab.run("emit", "a", "--ndjson", "-c", lab.config(), given=b"1\n" * 1500 + b"{\n")
    equal(result.returncode, 2)
    matches(result.stderr, "(?s)1000 events were stored.*line 1501")
    equal(lab.sql("SELECT count(*) FROM events"), [(1000,)])


@test
def emit_waits_for_another_process_to_give_the_store_back(lab):
    emitted(lab)
    with open(lab.store + "-lock", "r+", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()} \n")
        lock.flush()
        for verb in (["migrate"], ["serve", "-c", lab.path("ingot.yaml")]):
            result = lab.run(*verb)
            equal(result.returncode, 3, verb)
            matches(result.stderr, rf"held by process {os.getpid()}\b", verb)
        waiting = subprocess.Popen([harness.INGOT, "emit", "a", "-c", lab.path("ingot.yaml")],
                                   env=lab.environment(), stdout=subprocess.PIPE)
        try:
            waiting.wait(0.3)
        except subprocess.TimeoutExpired:
            pass
        equal(waiting.poll(), None, "it did not wait")
    equal(waiting.communicate(timeout=harness.PATIENCE_S)[0], b"1 events stored, 3 jobs\n")
    equal(waiting.returncode, 0)


# ---- status --------------------------------------------------------------------------------------


@test
def status_shows_schema_settings_and_who_holds_the_store(lab):
    daemon = lab.daemon(DESTINATIONS)
    for address, holder in ((daemon.address, {"pid": daemon.pid, "address": daemon.address}),
                            (None, None)):
        if not holder:
            daemon.terminate()
        result = lab.run("status")
        equal((result.returncode, result.stderr), (0, ""))
        matches(result.stdout, r"\Astore +sqlite\nschema +2 migrations have run\n")
        held = f"process {daemon.pid} at {address}" if holder else "nobody"
        matches(result.stdout, rf"(?m)^held by +{held}$")
        matches(result.stdout, r"(?m)^SETTING +VALUE\n(?s:.*)^synchronous +full$")
        check("PROCESS" not in result.stdout, result.stdout)
        result = lab.run("status", "--json")
        equal((result.returncode, result.stderr), (0, ""))
        shown = json.loads(result.stdout)
        equal((shown["store"], shown["holder"]), ("sqlite", holder))
        equal((shown["settings"]["journal_mode"], shown["settings"]["path"]), ("wal", lab.store))
        equal([migration["state"] for migration in shown["migrations"]], ["applied"] * 2)
        equal((shown["processes"], shown["idle_lanes"]), (None, None))


@test
def status_sums_up_the_newest_complete_checkpoint_of_each_lane(lab):
    emitted(lab)
    matches(lab.run("status").stdout, r"(?m)^checkpoints +none\b")
    equal(json.loads(lab.run("status", "--json").stdout)["checkpoints"],
          {"lanes": 0, "bytes": 0, "newest_at": None, "oldest_at": None})
    now = int(time.time())
    for age_s, lane, part, parts, body in ((90, 3, 0, 1, "new"), (9000, 3, 0, 1, "older"),
                                           (7230, 200, 0, 2, "two"), (7230, 200, 1, 2, "parts"),
                                           (5, 201, 0, 2, "not whole")):
        plant(lab, "INSERT INTO checkpoints VALUES (?, ?, ?, ?, 'cursor', ?)",
              (now - age_s) * 1000000, lane, part, parts, body.encode())
    matches(lab.run("status").stdout,
            r"(?m)^checkpoints +2 lanes, 11 bytes, the newest \d+ s old, the oldest 2 h$")
    shown = json.loads(lab.run("status", "--json").stdout)["checkpoints"]
    equal((shown["lanes"], shown["bytes"]), (2, 11))
    for key, age_s in (("newest_at", 90), ("oldest_at", 7230)):
        wanted = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(now - age_s))
        equal(shown[key], wanted, key)


@test
def status_escapes_what_a_lock_file_says(lab):
    emitted(lab)
    with open(lab.store + "-lock", "r+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("77 \x1b[2J\u202eowned\n")
        lock.truncate()
        lock.flush()
        for locale in ("C.UTF-8", "C"):
            result = lab.run("status", env=lab.environment(LC_ALL=locale))
            equal(result.returncode, 0, result.stderr)
            matches(result.stdout, r"(?m)^held by +process 77 at \\x1b\[2J\\x")
            result = lab.run("status", "--json", env=lab.environment(LC_ALL=locale))
            check(not DANGEROUS.search(result.stdout.rstrip("\n")), repr(result.stdout))
            equal(json.loads(result.stdout)["holder"],
                  {"pid": 77, "address": "\x1b[2J\u202eowned"})


# ---- stores that are not as they should be -------------------------------------------------------


READERS = [["find"], ["show", ksuid()], ["counts"], ["status"], ["verify"], ["migrate", "status"],
           ["migrate", "accept-restore"]]
WRITERS = [["migrate"], ["serve"], ["emit", "a", "-c", "ingot.yaml"]]


def refused_by_all(lab, verbs, message):
    """Every verb ends with 3 and says why, in one line that begins with the program's name."""
    lab.config()
    for verb in verbs:
        result = lab.run(*verb)
        equal((result.returncode, result.stdout), (3, ""), verb, result.stderr)
        line = [line for line in result.stderr.splitlines() if line.startswith("ingot: ")][-1]
        matches(line, message, verb)


@test
def a_store_that_is_not_there_is_not_made_by_reading(lab):
    refused_by_all(lab, READERS, "there is no store at .*store.db")
    equal(sorted(os.listdir(lab.folder)), ["ingot.yaml"])


@test
def a_folder_that_cannot_be_written_to_is_named(lab):
    for folder in (lab.path("none"), "/proc"):
        lab.store = f"{folder}/store.db"
        refused_by_all(lab, WRITERS, re.escape(lab.store))


@test
def a_file_that_is_no_store_is_refused_and_left_alone(lab):
    other = sqlite3.connect(lab.path("other.db"))
    with other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    lab.write("text.db", b"Dear diary, " * 1000)
    for name, message in (("text.db", "not a database"), ("other.db", "not an Ingot store")):
        lab.store = lab.path(name)
        with open(lab.store, "rb") as file:
            before = file.read()
        refused_by_all(lab, READERS + WRITERS, message)
        with open(lab.store, "rb") as file:
            check(file.read() == before, name, "was changed")


@test
def a_store_of_a_newer_schema_is_refused(lab):
    emitted(lab)
    plant(lab, "INSERT INTO migrations (version, name, direction, up_sha256, created_at)"
               " VALUES (99991231235959, 'future', 'up', ?, 0)", "0" * 64)
    verbs = [verb for verb in READERS + WRITERS if "status" not in verb]
    refused_by_all(lab, verbs, "99991231235959|newer|ahead")
    result = lab.run("status")
    equal(result.returncode, 3, result.stderr)
    matches(result.stdout, r"(?m)^schema +2 of 3 migrations .*`ingot migrate status`$")
    matches(result.stderr, "99991231235959")
    result = lab.run("status", "--json")
    equal(result.returncode, 3, result.stderr)
    shown = json.loads(result.stdout)
    equal([migration["state"] for migration in shown["migrations"]], ["applied", "applied", "ahead"])
    equal((shown["settings"], shown["processes"], shown["checkpoints"]), ({}, None, None))
    result = lab.run("migrate", "status")
    equal(result.returncode, 0, result.stderr)
    matches(result.stdout, "99991231235959 future +ahead")


@test
def verify_ends_with_1_and_names_what_is_wrong(lab):
    emitted(lab, 3)
    events = [id for id, in lab.sql("SELECT id FROM events ORDER BY id")]
    insert = ("INSERT INTO transitions (event_id, job, seq, attempt, state_before, state_after,"
              " owner, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
    owner, now = bytes(range(1, 21)), int(time.time() * 1e6)
    plant(lab, insert, events[0], 0, 2, 1, 1, 3, owner, now)
    plant(lab, insert, events[1], 9, 1, 1, 1, 3, owner, now)
    plant(lab, insert, events[2], 0, 1, 0, 1, 4, owner, now)
    plant(lab, insert, owner, 0, 1, 1, 1, 3, owner, now)
    result = lab.run("verify")
    equal(result.returncode, 1, result.stderr)
    matches(result.stdout, " 4 violations")
    for invariant, event, job, seq in (("I5", events[0], 0, 2), ("I17", events[1], 9, 1),
                                       ("I7", events[2], 0, 1), ("I17", owner, 0, 1)):
        matches(result.stdout, rf"(?m)^{invariant} +{harness.ksuid_text(event)}/{job}  seq {seq}  ")
    result = lab.run("verify", "--json")
    equal(result.returncode, 1)
    equal(len(json.loads(result.stdout)["found"]), 4)


HOSTILE = ["\x9b31mred", "\u202egnp.exe", "a\u200bb", "\ufeff", "\U000e0041", "\u2028line",
           "\u009d0;title", "wide \u6f22\u5b57", "z\u0301" * 80, "n" * 255,
           "'; DROP TABLE events; --", "%s%n", "-rf"]
DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
                       "\ufeff\U000e0000-\U000e0fff]")


@test
def hostile_text_cannot_reach_the_terminal(lab):
    say = lab.script("say", r"printf '\033]0;owned\007\033[2J\r\n\302\233\377'; exit 7")
    daemon = lab.daemon({"evil": {"kind": "command", "command": [say], "retries": "none",
                                  "events": ["*"]}})
    events = [{"source": text, "name": text, "data": [text, "\x1b[2J"], "context": {text: "\r"}}
              for text in HOSTILE]
    body = json.dumps(events, ensure_ascii=False).replace(",", "\t,\r\n")
    equal(daemon.post(body.encode()).status, 200)
    lab.drain(daemon)
    daemon.terminate()
    shows = [["show", harness.ksuid_text(id)] for id, in lab.sql("SELECT id FROM events")]
    for arguments in [["find"], ["find", "--json"], ["counts"], ["find", "\x1b[31m"],
                      ["\x1b[31m"], ["find", "--status", "\u202e"], ["show", "\x1b" * 27],
                      *shows, *[[*show, "--json"] for show in shows]]:
        for locale in ("C.UTF-8", "C"):
            result = lab.run(*arguments, env=lab.environment(LC_ALL=locale))
            output = result.stdout + result.stderr
            bad = DANGEROUS.search(output)
            check(not bad, arguments, locale, bad and repr(output[:bad.end()][-80:]))
    found = [json.loads(line) for line in lab.run("find", "--json").stdout.splitlines()]
    equal(sorted((event["name"], event["data"][0]) for event in found),
          sorted((text, text) for text in HOSTILE), "JSON tells another text")
    equal(len(lab.run("find").stdout.splitlines()), 1 + len(HOSTILE), "a row has two lines")


# ---- where the output goes -----------------------------------------------------------------------


@test
def who_reads_no_more_ends_it_quietly(lab):
    emitted(lab, 2000)
    for arguments in (["find", "--limit", "none"], ["find", "--limit", "none", "--json"]):
        with subprocess.Popen([harness.INGOT, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=lab.environment()) as process:
            check(process.stdout.readline(), arguments)
            process.stdout.close()
            equal(process.stderr.read(), b"", arguments)
        check(process.returncode in (0, -signal.SIGPIPE), arguments, process.returncode)


@test
def output_that_cannot_be_written_is_a_failure(lab):
    ids = filled(lab)
    verbs = [["find"], ["find", "--json"], ["counts"], ["counts", "--json"], ["verify"],
             ["verify", "--json"], ["show", ids[0]], ["status"], ["status", "--json"],
             ["migrate", "status"], ["migrate", "accept-restore"], ["--help"], ["--version"],
             ["emit", "a"], ["emit", "a", "--json"]]
    for verb in verbs:
        with open("/dev/full", "wb") as full:
            result = subprocess.run([harness.INGOT, *verb], stdout=full, stderr=subprocess.PIPE,
                                    env=lab.environment(), check=False, timeout=60)
        equal(result.returncode, 3, verb, result.stderr)
        matches(result.stderr.decode(), "could (not )?be written", verb)


# ---- serve ---------------------------------------------------------------------------------------


@test
def serve_without_a_configuration_says_how_to_write_one(lab):
    for arguments in ([], ["-c", "other.yaml"]):
        result = lab.run("serve", *arguments)
        equal(result.returncode, 2, result.stderr)
        matches(result.stderr, re.escape((arguments or ["", "ingot.yaml"])[1]))
        matches(result.stderr, "destinations:")
    equal(os.listdir(lab.folder), [])


@test
def serve_names_the_place_of_a_mistake(lab):
    secret = "hunter2-do-not-print"
    lines = ["listen: 127.0.0.1:0", "destinations:", "  billing:", "    kind: http",
             f"    url: http://127.0.0.1:1/{secret}", "    events: [a]",
             f"    headers: {{Authorization: {secret}}}"]
    for number, line, place, message in (
            (7, "    retrys: 3", "8:5", 'unknown key "retrys".*did you mean "retries"'),
            (4, "    timeout: 1", "5:14", "timeout|duration|unit"),
            (1, "listen: nowhere", "2:", "listen|address"),
            (7, "    kind: http", "8:5", "kind"), (7, "  x: [", "", "")):
        lab.write("ingot.yaml", "\n".join(lines[:number] + [line] + lines[number:]) + "\n")
        result = lab.run("serve")
        equal(result.returncode, 2, line, result.stderr)
        matches(result.stderr, rf"\Aingot: ingot\.yaml:{place or '[0-9]+:[0-9]+'}", line)
        matches(result.stderr, message, line)
        check(secret not in result.stderr, "a secret was printed:", result.stderr)
    check(not lab.has("store.db"))


@test
def serve_names_the_place_of_an_unknown_store(lab):
    lab.write("ingot.yaml", "store: redis:x\n")
    result = lab.run("serve", env=lab.environment(INGOT_STORE=""))
    equal(result.returncode, 2, result.stderr)
    matches(result.stderr, r"\Aingot: ingot.yaml:1:8: .*sqlite:PATH")


@test
def one_daemon_serves_a_store(lab):
    first = lab.daemon()
    result = lab.run("serve")
    equal(result.returncode, 3)
    matches(result.stderr, rf"held by process {first.pid} at {re.escape(first.address)}\b")
    equal(first.post([]).status, 200)
    first.terminate()
    lab.launch().ready().terminate()


@test
def a_port_in_use_is_named(lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        lab.config(listen=address)
        result = lab.run("serve")
    equal(result.returncode, 3)
    matches(result.stderr, f"could not listen on {address}: .*in use")
    address = lab.daemon().address  # another daemon's: else the two would share what comes in
    result = lab.run("serve", "--store", "sqlite:other.db",
                     env=lab.environment(INGOT_LISTEN=address))
    equal(result.returncode, 3)
    matches(result.stderr, f"could not listen on {address}: .*in use")
    result = lab.run("serve", env=lab.environment(INGOT_LISTEN="127.0.0.1:http"))
    equal(result.returncode, 2)


def slow_daemon(lab, shutdown):
    """A daemon with an attempt under way, which ends when the file "go" is there."""
    wait = lab.script("wait", 'echo "$INGOT_ATTEMPT" >>attempts\n'
                              "while [ -d . ] && [ ! -e go ]; do sleep 0.02; done")
    daemon = lab.daemon({"slow": {"kind": "command", "command": [wait], "events": ["a"]}},
                        shutdown=shutdown)
    daemon.emit("a")
    wait_for(lambda: lab.read("attempts"), "the command's start")
    return daemon


def steps(lab):
    (job,) = lab.jobs().values()
    return [(step["state"], step["attempt"]) for step in job["chain"]]


@test
def what_runs_at_the_end_is_given_back_and_uses_up_no_attempt(lab):
    daemon = slow_daemon(lab, "200ms")
    for number in (signal.SIGTERM, signal.SIGINT):
        begun = time.monotonic()
        daemon.terminate(number)
        check(time.monotonic() - begun < 10, "it took longer than its shutdown time")
        before = lab.read("attempts")
        daemon = lab.launch().ready()
        wait_for(lambda: lab.read("attempts") != before, "the attempt after the restart")
    lab.write("go", "")
    lab.drain(daemon)
    equal(lab.read("attempts"), "1\n1\n1\n")
    equal(steps(lab),
          [("executing", 1), ("awaiting", 1)] * 2 + [("executing", 1), ("succeeded", 1)])
    lab.verify()


@test
def what_ends_within_the_shutdown_time_is_finished(lab):
    daemon = slow_daemon(lab, "60s")
    daemon.signal(signal.SIGTERM)
    wait_for(lambda: "event=ending" in daemon.log(), "the beginning of the end")
    check(daemon.runs())
    lab.write("go", "")
    equal(daemon.wait(), 0, daemon.log())
    equal(steps(lab), [("executing", 1), ("succeeded", 1)])


@test
def a_second_signal_ends_it_at_once(lab):
    daemon = slow_daemon(lab, "60s")
    daemon.signal(signal.SIGTERM)
    wait_for(lambda: "event=ending" in daemon.log(), "the beginning of the end")
    begun = time.monotonic()
    daemon.terminate()
    check(time.monotonic() - begun < 10, "it was not at once")
    equal(steps(lab), [("executing", 1), ("awaiting", 1)])
    lab.verify()


@test
def a_signal_that_is_ignored_from_the_start_does_not_end_it(lab):
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    lab.config({"a": {"kind": "command", "command": ["/bin/true"], "events": ["a"]}})
    daemon = lab.launch(preexec_fn=ignore).ready()
    daemon.signal(signal.SIGINT)
    daemon.emit("a")
    lab.drain(daemon)
    check("event=ending" not in daemon.log(), daemon.log())
    daemon.terminate(signal.SIGTERM)


@test
def environment_and_option_override_the_configuration(lab):
    lab.config(listen="127.0.0.1:1", store="sqlite:/nowhere/at/all.db")
    lab.store = lab.path("environment.db")
    daemon = lab.keep(harness.Daemon(lab, lab.path("ingot.yaml"),
                                     wrapper=["/usr/bin/env", "INGOT_LISTEN=127.0.0.1:0"])).ready()
    daemon.emit()
    daemon.terminate()
    equal(lab.sql("SELECT count(*) FROM events"), [(1,)])


if __name__ == "__main__":
    sys.exit(harness.main())
