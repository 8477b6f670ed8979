#!/usr/bin/env python3
"""From the gateway to the destinations: routing, attempts, retries, schedules, and taking over."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import harness
from harness import check, equal, ksuid, matches, test, wait_for

SECOND_US = 1000000


def http(sink, events=("*",), **more):
    """An HTTP destination that goes to a sink or a receiver."""
    return {"kind": "http", "url": sink.url, "addresses": "any", "events": events} | more


def command(path, events=("*",), **more):
    return {"kind": "command", "command": [path], "events": events} | more


def states(job):
    return [(step["state"], step["attempt"]) for step in job["chain"]]


def failures(count):
    """The steps of so many attempts that failed and are followed by another."""
    return [step for attempt in range(1, count + 1)
            for step in (("executing", attempt), ("failed", attempt), ("awaiting", attempt))]


def one_job(lab, **wanted):
    """The only job with these properties."""
    jobs = [job for job in lab.jobs().values()
            if all(job[key] == value for key, value in wanted.items())]
    equal(len(jobs), 1, wanted)
    return jobs[0]


def delays(job):
    """Seconds from each failure to the due time of the next attempt."""
    return [(step["due"] - step["at"]) / SECOND_US for step in job["chain"]
            if step["state"] == "awaiting"]


class Receiver:
    """A destination within the test, which keeps what it gets and answers as it is told."""

    def __init__(self, lab, *answers):
        """answers: a status and headers for each request; the last one is for the rest."""
        requests = self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append({"headers": self.headers, "body": body, "at": time.time()})
                status, headers = answers[min(len(requests), len(answers)) - 1]
                self.send_response(status)
                for name, value in (headers | {"Content-Length": "0"}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        lab.cleanups += [server.shutdown, server.server_close]
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hook"


# ---- routing -------------------------------------------------------------------------------------


@test
def an_event_goes_to_whoever_names_it_and_to_wildcards(lab):
    sinks = {name: lab.sink(name) for name in ("specific", "wildcard", "both", "other", "none")}
    events = {"specific": ["a"], "wildcard": ["*"], "both": ["*", "a"], "other": ["b"], "none": []}
    daemon = lab.daemon({name: http(sinks[name], events[name]) for name in sinks})
    (a,), (b,), (c,) = daemon.emit("a"), daemon.emit("b"), daemon.emit("c")
    lab.drain(daemon)
    got = {name: sorted(entry["event"] for entry in sink.accepted())
           for name, sink in sinks.items()}
    equal(got, {"specific": [a], "wildcard": sorted([a, b, c]), "both": sorted([a, a, b, c]),
                "other": [b], "none": []})
    names = sorted((job["event"], job["name"]) for job in lab.jobs().values()
                   if job["destination"] == "both")
    equal(names, sorted([(a, "*"), (a, "a"), (b, "*"), (c, "*")]))
    check(all(states(job) == [("executing", 1), ("succeeded", 1)] for job in lab.jobs().values()))
    lab.verify()


@test
def a_destination_gets_the_event_with_its_headers(lab):
    receiver = Receiver(lab, (500, {}), (200, {}))
    daemon = lab.daemon({"hook": http(receiver, ["a"], schedule="@every 20ms",
                                      headers={"Authorization": "Bearer t0ken"})})
    data = '{"n":1.0, "s":"\u00e4\\u00e4"}'
    answer = daemon.post('{"source":"shop","name":"a","context":[1],"data":%s,'
                         '"sent_at":"2026-01-02T03:04:05.6Z"}' % data)
    (event,) = answer.ids()
    lab.drain(daemon)
    (job_id, job), = lab.jobs().items()
    for number, request in enumerate(receiver.requests, 1):
        headers = request["headers"]
        equal(headers["Content-Type"], "application/json")
        equal(headers["Authorization"], "Bearer t0ken")
        equal((headers["Idempotency-Key"], headers["webhook-id"]), (job_id, job_id))
        equal((headers["Ingot-Event-Id"], headers["Ingot-Attempt"]), (event, str(number)))
        check(abs(int(headers["webhook-timestamp"]) - request["at"]) < 5, headers)
        check(data.encode() in request["body"], "the data is not as it was sent")
        body = json.loads(request["body"])
        received = body.pop("received_at")
        equal(body, {"id": event, "source": "shop", "name": "a", "context": [1],
                     "data": {"n": 1.0, "s": "\u00e4\u00e4"}, "sent_at": body["sent_at"],
                     "job": {"id": job_id, "destination": "hook", "event": "a"}})
        matches(body["sent_at"], r"^2026-01-02T03:04:05\.60*Z$")
        matches(received, r"^20\d\d-\d\d-\d\dT[\d:.]+Z$")
    equal(len(receiver.requests), 2)
    equal(receiver.requests[0]["body"], receiver.requests[1]["body"])
    equal(states(job), failures(1) + [("executing", 2), ("succeeded", 2)])
    error = json.loads(job["chain"][1]["error"])
    equal(error["statusCode"], 500, error)
    check("t0ken" not in daemon.log() + job["chain"][1]["error"], "a secret was written")


@test
def the_first_attempt_is_claimed_in_the_commit_of_its_event(lab):
    sink = lab.sink()
    daemon = lab.daemon({"here": http(sink), "later": http(sink, realtime=False)})
    daemon.emit()
    wait_for(sink.ledger, "the delivery")
    daemon.emit(id=ksuid())  # somebody else may have sent it as well: it is claimed afterwards
    wait_for(lambda: len(sink.ledger()) == 2, "the delivery of the one with an id")
    rows = lab.sql("SELECT e.n, t.job, t.created_at = e.ingested_at FROM transitions t"
                   " JOIN events e ON e.id = t.event_id WHERE t.seq = 1 ORDER BY e.n")
    equal(rows, [(1, 0, 1), (2, 0, 0)])
    daemon.terminate()


@test
def a_command_gets_the_event_and_its_environment(lab):
    script = lab.script("take", "cat >body; env | sort >environment; pwd >folder")
    daemon = lab.daemon({"take": command(script, env={"LANG": "C", "MINE": "a b"})})
    (event,) = daemon.emit("a", data={"n": [1]})
    lab.drain(daemon)
    (job_id, job), = lab.jobs().items()
    body = lab.read("body")
    equal(body[-1], "\n")
    equal(json.loads(body)["job"], {"id": job_id, "destination": "take", "event": "*"})
    equal((json.loads(body)["id"], json.loads(body)["data"]), (event, {"n": [1]}))
    variables = dict(line.split("=", 1) for line in lab.read("environment").splitlines())
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):
        variables.pop(name, None)  # the shell's own
    path = variables.pop("PATH")
    check("/usr/bin" in path.split(":"), path)
    equal(variables, {"INGOT_EVENT_ID": event, "INGOT_JOB_ID": job_id, "INGOT_ATTEMPT": "1",
                      "INGOT_DESTINATION": "take", "LANG": "C", "MINE": "a b"})
    equal(states(job), [("executing", 1), ("succeeded", 1)])


# ---- retries -------------------------------------------------------------------------------------


@test
def a_failing_destination_is_tried_until_it_succeeds_with_the_same_key_and_body(lab):
    sink = lab.sink("sink", "--fail-share", 60)
    daemon = lab.daemon({"flaky": http(sink, schedule="@every 5ms")})
    ids = daemon.emit(count=60, data={"text": "x" * 100})
    lab.drain(daemon)
    ledger, jobs = sink.ledger(), lab.jobs()
    equal(sorted(entry["event"] for entry in sink.accepted()), sorted(ids))
    for job_id, job in jobs.items():
        entries = [entry for entry in ledger if entry["job"] == job_id]
        equal(len({entry["body"] for entry in entries}), 1, "the body changed")
        equal([entry["attempt"] for entry in entries], list(range(1, len(entries) + 1)))
        equal([entry["status"] for entry in entries], [503] * (len(entries) - 1) + [200])
        equal(states(job), failures(len(entries) - 1)
              + [("executing", len(entries)), ("succeeded", len(entries))])
    check(max(entry["attempt"] for entry in ledger) > 2, "there were no retries")
    lab.verify()


@test
def the_interval_grows_up_to_its_cap_and_jitter_only_adds(lab):
    sink = lab.sink("sink", "--fail-share", 100)
    daemon = lab.daemon({"down": http(sink, schedule="@every 20ms", backoff=2, retries=5,
                                      max_interval="100ms", jitter=0.5)})
    daemon.emit()
    lab.drain(daemon)
    job = one_job(lab)
    equal(states(job), failures(5) + [("executing", 6), ("discarded", 6)])
    for wanted, delay in zip((0.02, 0.04, 0.08, 0.1, 0.1), delays(job)):
        # the decision is a moment older than the row that tells it
        check(wanted - 0.05 < delay <= wanted * 1.5, wanted, delay)
    for before, claim in zip(job["chain"][2::3], job["chain"][3::3]):
        check(claim["at"] >= before["due"], "claimed before it was due")


@test
def after_the_last_retry_a_job_is_discarded(lab):
    sink = lab.sink("sink", "--fail-share", 100, "--fail-status", 404)
    counts = {"none": "none", "zero": 0, "one": 1, "three": 3}
    daemon = lab.daemon({name: http(sink, schedule="@every 10ms", retries=retries)
                         for name, retries in counts.items()})
    daemon.emit()
    lab.drain(daemon)
    for name, retries in (("none", 0), ("zero", 0), ("one", 1), ("three", 3)):
        job = one_job(lab, destination=name)
        equal(states(job), failures(retries)
              + [("executing", retries + 1), ("discarded", retries + 1)], name)
        equal(json.loads(job["chain"][-1]["error"])["statusCode"], 404)
    equal(len(sink.ledger()), 1 + 1 + 2 + 4)


@test
def retry_after_is_honoured(lab):
    receiver = Receiver(lab, (429, {"Retry-After": "1"}), (200, {}))
    daemon = lab.daemon({"busy": http(receiver, ["a", "b"], schedule="@every 10ms")})
    daemon.emit("a")
    wait_for(lambda: receiver.requests, "the first attempt")
    wait_for(lambda: len(one_job(lab)["chain"]) == 3, "its outcome")
    daemon.emit("b")  # nothing else of the destination may come earlier
    lab.drain(daemon)
    first, *later = [request["at"] for request in receiver.requests]
    equal(len(later), 2)
    check(min(later) - first >= 0.99, "too early", min(later) - first)
    (delay,) = delays(one_job(lab, name="a"))
    check(0.9 < delay <= 1.1, delay)


@test
def what_is_no_success_is_a_failure(lab):
    moved = {"Location": "http://127.0.0.1:1/"}
    answers = [(301, moved), (302, moved), (304, {}), (400, {}), (500, {}), (599, {}), (204, {})]
    receiver = Receiver(lab, *answers)
    refuses = f"http://127.0.0.1:{harness.free_port()}/"
    daemon = lab.daemon({
        "hook": http(receiver, schedule="@every 10ms"),
        "closed": {"kind": "http", "url": refuses, "addresses": "any", "events": ["*"],
                   "retries": "none"},
        "private": {"kind": "http", "url": receiver.url, "events": ["*"], "retries": "none"},
        "exits": command(lab.script("exits", "echo out; echo why >&2; exit 3"), retries="none"),
        "killed": command(lab.script("killed", "kill -9 $$"), retries="none"),
        "late": command(lab.script("late", "while [ -d . ]; do sleep 0.02; done"), timeout="50ms",
                        retries="none"),
        "absent": command(lab.path("absent"), retries="none")})
    daemon.emit()
    lab.drain(daemon)
    codes = [json.loads(step["error"])["statusCode"]
             for step in one_job(lab, destination="hook")["chain"] if step["state"] == "failed"]
    equal(codes, [status for status, _ in answers[:-1]])
    equal(len(receiver.requests), len(answers), "a private address was connected to")
    for name, message in (("closed", "(?i)connect"), ("private", "address"),
                          ("absent", "(?i)no such"), ("exits", "exit code 3"),
                          ("killed", "signal 9"), ("late", "no end within")):
        job = one_job(lab, destination=name)
        equal(states(job), [("executing", 1), ("discarded", 1)], name)
        matches(json.loads(job["chain"][1]["error"])["message"], message, name)
    matches(one_job(lab, destination="exits")["chain"][1]["error"], "why")
    lab.verify()


@test
def a_failing_destination_delays_no_other(lab):
    healthy, hanging = lab.sink("healthy"), lab.sink("hanging", "--delay", 60000)
    down = lab.sink("down", "--fail-share", 100)
    wait = lab.script("wait", "while [ -d . ]; do sleep 0.05; done")
    daemon = lab.daemon({"hanging": http(hanging, concurrency=4), "down": http(down),
                         "stuck": command(wait, concurrency=2), "healthy": http(healthy)},
                        shutdown="0s")
    ids = daemon.emit(count=500)
    wait_for(lambda: len(healthy.ledger()) == 500, "the deliveries to the healthy one")
    ids += daemon.emit(count=500)
    wait_for(lambda: len(healthy.ledger()) == 1000, "the second lot")
    equal(sorted(entry["event"] for entry in healthy.accepted()), sorted(ids))
    running = [job["destination"] for job in lab.jobs().values()
               if job["chain"] and job["chain"][-1]["state"] == "executing"]
    equal((running.count("hanging"), running.count("stuck")), (4, 2), "not as many as allowed")
    daemon.terminate()
    lab.verify()


# ---- schedules -----------------------------------------------------------------------------------


@test
def a_schedule_is_looked_for_in_the_event_then_the_destination_then_the_defaults(lab):
    down = lab.sink("down", "--fail-share", 100)
    events = {"a": {"schedule": "@every 100s"}, "b": {"jitter": 0}, "*": {"retries": "none"}}
    daemon = lab.daemon({"own": http(down, events, schedule="@every 200s", jitter=0.5),
                         "plain": http(down, ["a"])},
                        defaults={"schedule": "@every 400s", "jitter": 0, "backoff": 3})
    daemon.emit("a")
    daemon.emit("b")

    def all_tried():
        return all(len(job["chain"]) >= 2 and job["chain"][-1]["state"] in ("awaiting", "discarded")
                   for job in lab.jobs().values())
    wait_for(all_tried, "the first attempts")
    jobs = lab.jobs().values()
    delay = {(job["destination"], job["name"]): delays(job) for job in jobs}
    check(99 < delay["own", "a"][0] <= 150, delay)
    check(199 < delay["own", "b"][0] <= 200, delay)
    check(399 < delay["plain", "a"][0] <= 400, delay)
    equal(delay["own", "*"], [])
    equal(sum(job["name"] == "*" for job in jobs), 2)


@test
def what_is_not_realtime_waits_for_its_schedule(lab):
    sink = lab.sink()
    daemon = lab.daemon({"batch": http(sink, {"soon": {"schedule": "@every 1s"},
                                              "late": {"schedule": "0 3 1 1 *"}}, realtime=False),
                         "now": http(sink, ["soon", "late"], schedule="@every 9h")})
    daemon.emit("late")
    (soon,) = daemon.emit("soon")
    received_us, = lab.sql("SELECT received_at FROM events WHERE name = 'soon'")[0]
    wait_for(lambda: lab.live() == 1, "all but one")
    claim = one_job(lab, destination="batch", event=soon)["chain"][0]
    check(claim["at"] - received_us >= 0.99 * SECOND_US, "it did not wait")
    equal(one_job(lab, destination="batch", name="late")["chain"], [])
    equal(len(sink.ledger()), 3)


@test
def concurrency_is_not_exceeded(lab):
    script = lab.script("count", "mkdir running.$$; ls -d running.* | wc -l >>seen; sleep 0.02;"
                                 " rmdir running.$$")
    daemon = lab.daemon({"three": command(script, concurrency=3)})
    daemon.emit(count=30)
    lab.drain(daemon)
    seen = [int(line) for line in lab.read("seen").split()]
    equal(len(seen), 30)
    check(1 < max(seen) <= 3, seen)


# ---- ends and starts -----------------------------------------------------------------------------


@test
def jobs_of_a_destination_that_is_gone_wait_for_its_return(lab):
    sink = lab.sink("sink", "--fail-for", 1)
    destinations = {"here": http(sink, schedule="@every 10ms"),
                    "gone": http(sink, schedule="@every 10ms", realtime=False)}
    daemon = lab.daemon(destinations)
    daemon.terminate()
    daemon = lab.daemon({"gone": destinations["gone"] | {"schedule": "@every 9h"}})
    ids = daemon.emit(count=3)
    daemon.terminate()
    daemon = lab.daemon({"here": destinations["here"]})
    wait_for(lambda: "event=unknown_destinations jobs=3" in daemon.log(), "the word of them")
    daemon.emit()
    wait_for(lambda: lab.live() == 3, "the jobs of the other destination")
    matches(lab.run("counts").stdout, r"(?m)^gone +3 ")
    daemon.terminate()
    daemon = lab.daemon(destinations)
    lab.drain(daemon)
    accepted = [entry["event"] for entry in sink.accepted()]
    equal(sorted(id for id in accepted if id in ids), sorted(ids))
    lab.verify()


@test
def a_start_finds_all_live_jobs_however_many(lab):
    lab.config({name: command("/bin/true", realtime=False, schedule="@every 9h")
                for name in ("a", "b", "c")})
    result = lab.run("emit", "x", "--ndjson", "-c", lab.path("ingot.yaml"), given=b"1\n" * 7000)
    equal(result.stdout, "7000 events stored, 21000 jobs\n", result.stderr)
    daemon = lab.launch().ready()
    wait_for(lambda: "event=recovered live=21000\n" in daemon.log(), "all of them")
    daemon.emit()
    daemon.terminate()
    daemon = lab.launch().ready()
    wait_for(lambda: "event=recovered live=21003\n" in daemon.own_log(), "the new ones as well")
    daemon.terminate()


@test
def what_a_killed_daemon_ran_is_claimed_again_at_once_with_the_next_attempt(lab):
    wait = lab.script("wait", 'echo "$INGOT_ATTEMPT $INGOT_JOB_ID" >>attempts; cat >>bodies\n'
                              "while [ -d . ] && [ ! -e go ]; do sleep 0.02; done")
    daemon = lab.daemon({"slow": command(wait, schedule="@every 9h", retries=5)})
    daemon.emit(data="x" * 50)
    for attempt in (1, 2, 3):
        wait_for(lambda: len(lab.read("bodies").splitlines()) == attempt, f"attempt {attempt}")
        daemon.kill()
        daemon = lab.launch().ready()
    wait_for(lambda: len(lab.read("bodies").splitlines()) == 4, "attempt 4")
    lab.write("go", "")
    lab.drain(daemon)
    (job_id, job), = lab.jobs().items()
    equal(states(job), [("executing", attempt) for attempt in (1, 2, 3, 4)] + [("succeeded", 4)])
    equal(lab.read("attempts"), "".join(f"{attempt} {job_id}\n" for attempt in (1, 2, 3, 4)))
    equal(len(set(lab.read("bodies").splitlines())), 1, "the body changed")
    lab.verify()


@test
def a_job_that_always_takes_the_daemon_down_ends_discarded(lab):
    # the attempt is counted before it runs (FAULTS F31)
    kill = lab.script("kill", 'echo "$INGOT_ATTEMPT" >>attempts; kill -9 "$PPID"')
    lab.config({"poison": command(kill, retries=2, schedule="@every 9h")})
    equal(lab.run("emit", "a", "-c", lab.path("ingot.yaml")).returncode, 0)
    for _ in range(3):
        equal(lab.launch().wait(), -9)
    daemon = lab.launch().ready()
    lab.drain(daemon)
    equal(lab.read("attempts"), "1\n2\n3\n")
    equal(states(one_job(lab)), [("executing", attempt) for attempt in (1, 2, 3)]
          + [("discarded", 3)])
    lab.verify()


@test
def a_restart_delivers_nothing_twice(lab):
    sink = lab.sink()
    destinations = {"sink": http(sink, schedule="@every 10ms")}
    ids = []
    for _ in range(4):
        daemon = lab.daemon(destinations)
        ids += daemon.emit(count=100)
        daemon.terminate()
    lab.drain(lab.daemon(destinations))
    keys = [(entry["job"], entry["attempt"]) for entry in sink.ledger()]
    equal(sorted(entry["event"] for entry in sink.ledger()), sorted(ids))
    equal(len(set(keys)), 400)
    lab.verify()


@test
def commands_do_not_outlive_their_deadline(lab):
    script = lab.script("forks", "(while [ -d . ]; do touch alive; sleep 0.02; done) &\n"
                                 "echo $! >child; exec sleep 60")
    daemon = lab.daemon({"forks": command(script, timeout="100ms", retries="none")})
    daemon.emit()
    lab.drain(daemon)
    child = int(lab.read("child"))

    def is_gone():
        try:
            with open(f"/proc/{child}/stat", encoding="ascii") as file:
                return file.read().split()[2] == "Z"
        except FileNotFoundError:
            return True
    wait_for(is_gone, "the end of what the command left behind")


if __name__ == "__main__":
    sys.exit(harness.main())
