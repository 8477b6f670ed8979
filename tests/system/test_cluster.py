#!/usr/bin/env python3
"""Several processes on one store in PostgreSQL, and what may happen to them and to the server.

Clients put events in through the gateways and by SQL, and remember what they were told; sinks keep
ledgers; at the end both are held against the store (see audit()).
usage: test_cluster.py [--seconds N] [--seed S] [TEST...]
"""

import argparse
import concurrent.futures
import http.client
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import harness
import proxy
from harness import (OwnServer, Pooler, Refused, check, equal, ksuid, ksuid_text, lasts, matches,
                     test, wait_for)

SOAK_S = 600 if harness.LONG else 60
SEED = random.randrange(1 << 32)
PAUSE_S = 0.4 if harness.LONG else 0.1  # at most, between two batches of a client

LEASE_S = 2
RETRY = {"schedule": "@every 100ms", "retries": 20000, "max_interval": "1s"}

# Several destinations, so that several schedulers have lanes with something in them.
NAMES = "abcdef"
ROUTES = {"healthy": ["*"], "flaky": ["*", "b"]} | {name: [name] for name in "cdef"}

COMMIT = b"synchronous_commit"  # stands in the pipeline of each commit, and in no other

# What a client of PostgreSQL gets to see while the server is treated as it is here: terminated,
# shut down, starting up, too many connections, serialization, deadlock, locks, no answer.
PASSING = {"57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03", "57014"}


# ---- clients -------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Makes events, and remembers what became of them."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number = cluster, number
        self.random = random.Random(f"{SEED}/{number}")
        self.stopping, self.problem = False, None
        self.sent = {}             # id of an event: its name and its data
        self.acknowledged = set()  # the ids that were said to be stored
        self.undone = set()        # those that were rolled back
        self.unanswered = 0

    def run(self):
        try:
            while not self.stopping:
                time.sleep(self.random.uniform(0, PAUSE_S))
                self.send(self.make_batch(self.random.choice((1, 1, 2, 5, 20))))
        except Exception as error:
            self.problem = f"client {self.number}: {harness.explain(error)}"

    def make_batch(self, count):
        events = []
        for _ in range(count):
            data = {"client": self.number, "number": len(self.sent),
                    "text": "x" * self.random.choice((0, 10, 100, 3000))}
            events.append({"id": ksuid(), "source": "cluster", "name": self.random.choice(NAMES),
                           "data": data})
            self.sent[events[-1]["id"]] = events[-1]["name"], data
        return events

    def stop(self):
        self.stopping = True
        if self.ident:
            self.join(60)
        check(not self.is_alive(), f"client {self.number} does not end")
        check(not self.problem, self.problem)


class HttpClient(Client):
    """Sends to any of the gateways, and the same again until it is answered."""

    def send(self, events):
        body = json.dumps(events)
        while True:
            status, answer = self.post(body)
            if status == 200:
                self.acknowledged |= {event["id"] for event in events}
                return
            check(status in (None, 503), "a gateway answered", status, answer)
            self.unanswered += status is None
            if self.stopping:
                return
            time.sleep(0.02)

    def post(self, body):
        addresses = self.cluster.addresses()
        if not addresses:
            return 503, b"nobody is there"
        connection = http.client.HTTPConnection(self.random.choice(addresses),
                                                timeout=harness.PATIENCE_S)
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


class SqlClient(Client):
    """Calls ingot.insert_queue() in transactions of its own, and rolls some of them back."""

    def __init__(self, cluster, number, port=None):
        super().__init__(cluster, number)
        self.port, self.session = port, None

    def run(self):
        super().run()
        if self.session:
            self.session.close()

    def send(self, events):
        keeps = self.random.random() < 0.8
        if not keeps:
            self.undone |= {event["id"] for event in events}
        try:
            self.session = self.session or self.cluster.lab.server.psql(
                self.cluster.lab.database, self.cluster.lab.server.WRITER, self.port)
            self.session.ask("BEGIN")
            try:
                self.session.ask("SELECT ingot.insert_queue($q$"
                                 + json.dumps({"events": events}) + "$q$)")
            except Refused:
                self.session.ask("ROLLBACK")
                raise
            self.session.ask("COMMIT" if keeps else "ROLLBACK")
            if keeps:
                self.acknowledged |= {event["id"] for event in events}
        except ConnectionError:
            self.unanswered += 1
            self.session.close()
            self.session = None
            time.sleep(0.1)
        except Refused as error:
            if error.sqlstate not in PASSING:
                raise


# ---- the cluster ---------------------------------------------------------------------------------


class Cluster:
    """Processes on one store, their sinks and their clients."""

    def __init__(self, lab, server=None, routes=None, **top):
        lab.use_postgres(server)
        self.lab, self.port = lab, None  # of the server; or of what stands before it
        self.routes = routes or ROUTES
        self.numbers, self.members, self.clients = itertools.count(1), [], []
        self.random = random.Random(SEED)
        self.sinks = {name: lab.sink(name, *(("--fail-share", 20) if name == "flaky" else ()),
                                     "--delay", 20)
                      for name in self.routes}
        lab.config({name: {"kind": "http", "url": sink.url, "addresses": "any",
                           "events": self.routes[name], "concurrency": 16, **RETRY}
                    for name, sink in self.sinks.items()}, **({"lease": f"{LEASE_S}s"} | top))

    def launch(self, verb="serve", port=None):
        """Starts a process, and does not wait for it."""
        server = self.lab.server
        url = server.url(self.lab.database, server.WRITER, port or self.port)
        member = self.lab.launch(verb=verb, name=f"{verb}-{next(self.numbers)}",
                                 env=self.lab.environment(INGOT_STORE=url))
        member.verb = verb
        self.members.append(member)
        return member

    def start(self, verb="serve", port=None):
        return self.launch(verb, port).ready()

    def populate(self, http_clients=3, sql_clients=1, sql_port=None):
        wait_for(lambda: self.lab.sql("SELECT version FROM ingot.routes"), "routes")
        for _ in range(http_clients):
            self.clients.append(HttpClient(self, len(self.clients)))
        for _ in range(sql_clients):
            self.clients.append(SqlClient(self, len(self.clients), sql_port))
        for client in self.clients:
            client.start()

    def living(self, *verbs):
        return [member for member in list(self.members)
                if member.runs() and (not verbs or member.verb in verbs)]

    def addresses(self):
        found = [member.address or member.announced() for member in self.living("serve", "gateway")]
        return [address for address in found if address and address != "none"]

    def acknowledged(self):
        for client in self.clients:
            check(not client.problem, client.problem)
        return sum(len(client.acknowledged) for client in self.clients)

    def goes_on(self, count=100):
        """Waits until so many more events were stored: whatever it was is over."""
        before = self.acknowledged()
        wait_for(lambda: self.acknowledged() >= before + count, "that events go in again", 60)

    def replace(self, victim):
        """Ends a process with SIGKILL and starts another of its kind."""
        victim.kill()
        return self.launch(victim.verb)

    def check_alive(self):
        """Nobody ends by himself, unless there was no server when he started."""
        for member in list(self.members):
            code = member.popen.poll()
            if code == 3 and not member.announced():
                # a line of libpq's may be before it, if the server ended what had just begun
                matches(member.log(), "(?m)^ingot: store/postgres: .*connect")
                self.members.remove(member)
                self.launch(member.verb)  # as a supervisor does
                continue
            check(code in (None, -signal.SIGKILL), member.log_path, "ended:", code,
                  member.log()[-3000:])

    def settle(self, seconds=180):
        """Ends the clients, waits for the end of all jobs, and ends the processes."""
        for client in self.clients:
            client.stop()
        self.check_alive()
        left = []

        def settled():
            self.check_alive()
            time.sleep(0.2)
            left[:] = [self.lab.live()]
            return left == [0]
        try:
            wait_for(settled, "the end of all jobs", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {left} are live\n{stuck(self.lab)}") from None
        for member in self.living():
            member.terminate()

    def finish(self, **allowed):
        """Settles, and holds everything against each other."""
        self.settle()
        return audit(self, **allowed)


def stuck(lab):
    """Some of the jobs that do not end, with their chains."""
    jobs = [(id, job) for id, job in lab.jobs().items()
            if not job["chain"] or job["chain"][-1]["state"] not in ("succeeded", "discarded")]
    return "\n".join(f"{id} {job['destination']} {job['event']}: " + ", ".join(
        f"{step['state']} {step['attempt']}" for step in job["chain"][-6:])
        for id, job in jobs[:10])


# ---- judging -------------------------------------------------------------------------------------


def check_store(cluster):
    """Holds the stored events against what the clients sent and were told."""
    sent = {id: event for client in cluster.clients for id, event in client.sent.items()}
    stored = {}
    for raw, source, name, data in cluster.lab.sql(
            "SELECT encode(id, 'hex'), source, name, data::text FROM ingot.events"):
        id = ksuid_text(bytes.fromhex(raw))
        equal((source, (name, json.loads(data))), ("cluster", sent.get(id)), id)
        stored[id] = name
    for client in cluster.clients:
        lost = client.acknowledged - set(stored)
        check(not lost, f"client {client.number}: {len(lost)} of {len(client.acknowledged)} events"
              " were acknowledged and are not stored:", sorted(lost)[:5])
        undone = client.undone & set(stored)
        check(not undone, "rolled back, but stored:", sorted(undone)[:5])
    return stored


def check_jobs(cluster, stored):
    """Every event has the jobs that the routes want, and each of them succeeded, once."""
    jobs = cluster.lab.jobs()
    wanted = sorted((id, destination, event) for id, name in stored.items()
                    for destination, events in cluster.routes.items() for event in events
                    if event in ("*", name))
    equal(sorted((job["event"], job["destination"], job["name"]) for job in jobs.values()), wanted)
    for id, job in jobs.items():
        states = [step["state"] for step in job["chain"]]
        equal((states.count("succeeded"), states.count("discarded"), states[-1]),
              (1, 0, "succeeded"), id)
        outcomes = [step["attempt"] for step in job["chain"]
                    if step["state"] in ("succeeded", "failed")]
        equal(len(outcomes), len(set(outcomes)), "two outcomes of one attempt:", id, job["chain"])
    return jobs


def check_ledger(jobs, destination, ledger):
    """Holds what a sink saw against the history."""
    sends, accepted, bodies = {}, set(), {}
    for entry in ledger:
        job, key = jobs.get(entry["job"]), (entry["job"], entry["attempt"])
        check(job and job["destination"] == destination, "nobody sent", entry)
        sends[key] = sends.get(key, 0) + 1
        if entry["status"] == 200:
            accepted.add(key)
        first = bodies.setdefault(entry["job"], (entry["event"], entry["body"]))
        equal((entry["event"], entry["body"]), first, "the body changed:", key)
    for (id, attempt), count in sends.items():
        claims = [step["attempt"] for step in jobs[id]["chain"]
                  if step["state"] == "executing"].count(attempt)
        check(count <= claims, f"attempt {attempt} of {id} was sent {count} times, and claimed"
              f" {claims} times")
    for id, job in jobs.items():
        if job["destination"] == destination:
            check((id, job["chain"][-1]["attempt"]) in accepted,
                  "the destination knows of no success:", id, job["chain"])


def counters(lab):
    """By table: updated, deleted and dead rows since the server's last crash."""
    return {name: counts for name, *counts in lab.sql(
        "SELECT schemaname || '.' || relname, n_tup_upd, n_tup_del, n_dead_tup"
        " FROM pg_stat_user_tables")}


def check_counters(lab, exactly=False):
    """Nothing is ever updated. What lost a race, or was aborted, may have left dead rows."""
    for name, (updated, deleted, dead) in counters(lab).items():
        equal(updated, 0, "rows were updated in", name)
        if exactly:
            equal((deleted, dead), (0, 0), "deleted and dead rows in", name)
        elif not re.search(r"\.(events|transitions|added_jobs|retirements|routes)", name):
            equal(deleted, 0, "rows were deleted in", name)


def check_deleted(cluster):
    """A row that is taken back, because it lost a race, is a lost one that somebody counts."""
    ends = [re.search(r"event=ended .*claims_lost=(\d+) outcomes_lost=(\d+)", member.log())
            for member in cluster.members]
    if all(ends):
        deleted = sum(counts[1] for name, counts in counters(cluster.lab).items()
                      if name.startswith("ingot.transitions"))
        lost = sum(int(number) for end in ends for number in end.groups())
        check(deleted <= lost, f"{deleted} rows were taken back, and {lost} lost")


def audit(cluster, exactly=False):
    """Every promise, after all jobs have ended. Returns how many attempts were taken over."""
    cluster.lab.verify()
    stored = check_store(cluster)
    jobs = check_jobs(cluster, stored)
    for name, sink in cluster.sinks.items():
        check_ledger(jobs, name, sink.ledger())
    check_counters(cluster.lab, exactly)
    check_deleted(cluster)
    chains = [[None, *(step["state"] for step in job["chain"])] for job in jobs.values()]
    takeovers = sum(pair == ("executing", "executing") for chain in chains
                    for pair in zip(chain, chain[1:]))
    print(f"# {len(stored)} events, {len(jobs)} jobs, {takeovers} attempts taken over,"
          f" {sum(client.unanswered for client in cluster.clients)} requests not answered",
          flush=True)
    return takeovers


# ---- processes -----------------------------------------------------------------------------------


@test
def one_process_loses_no_race_and_leaves_no_dead_row(lab):
    cluster = Cluster(lab)
    cluster.start()
    cluster.populate(http_clients=3, sql_clients=0)
    cluster.goes_on(500)
    equal(cluster.finish(exactly=True), 0)


def kill_some(lab, schedulers):
    cluster = Cluster(lab)
    for verb in ["gateway"] * 2 + ["scheduler"] * schedulers:
        cluster.launch(verb)
    cluster.populate()
    cluster.goes_on()
    for _ in range(8):
        time.sleep(cluster.random.uniform(0.1, 0.8))
        cluster.replace(cluster.random.choice(cluster.living("scheduler")))
    cluster.replace(cluster.living("gateway")[0])
    cluster.goes_on()
    check(cluster.finish(), "nothing was taken over: this tested nothing")


@test
def two_schedulers_lose_nothing_by_kill_9(lab):
    kill_some(lab, 2)


@test
def five_schedulers_lose_nothing_by_kill_9(lab):
    kill_some(lab, 5)


def claims_of(lab, owner):
    """How many of its claims have no row behind them."""
    return lab.sql("SELECT count(*) FROM ingot.transitions c WHERE state_after = 3"
                   f" AND owner = '\\x{owner}' AND NOT EXISTS (SELECT FROM ingot.transitions n"
                   " WHERE n.event_id = c.event_id AND n.job = c.job AND n.seq = c.seq + 1)")[0][0]


def stop_at_work(cluster):
    """Stops a scheduler that has claims, as a machine that hangs does; the process, its owner."""
    for _ in range(100):
        [(owner, pid)] = cluster.lab.sql(
            "SELECT encode(owner, 'hex'), (about ->> 'pid')::int FROM"
            " (SELECT owner FROM ingot.transitions WHERE state_after = 3"
            " ORDER BY created_at DESC LIMIT 1) newest JOIN ingot.heartbeats ON scheduler = owner"
            " LIMIT 1")
        [zombie] = [member for member in cluster.members if member.pid == pid]
        zombie.signal(signal.SIGSTOP)
        time.sleep(0.1)  # a commit that is under way has its end
        if claims_of(cluster.lab, owner):
            return zombie, owner
        zombie.signal(signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError("nobody was caught at work")


def stop_some(lab, schedulers):
    cluster = Cluster(lab)
    for verb in ["gateway"] + ["scheduler"] * schedulers:
        cluster.launch(verb)
    cluster.populate()
    cluster.goes_on()
    wait_for(lambda: is_shared(lab, schedulers), "the lanes to be shared")
    for _ in range(2):
        zombie, owner = stop_at_work(cluster)
        wait_for(lambda: not claims_of(lab, owner), "others to take over what it had claimed")
        zombie.signal(signal.SIGCONT)
        cluster.goes_on()
    check(cluster.finish(), "nothing was taken over: this tested nothing")


@test
def two_schedulers_outlive_a_zombie(lab):
    stop_some(lab, 2)


@test
def five_schedulers_outlive_a_zombie(lab):
    stop_some(lab, 5)


MANY = {f"d{number}": ["*"] for number in range(24)}  # so that each scheduler has some lanes


def delivered_everywhere(cluster, id):
    """Waits until every destination has an event; the seconds that it took."""
    begun = time.monotonic()

    def arrived():
        return all(any(entry["event"] == id for entry in sink.accepted())
                   for sink in cluster.sinks.values())
    wait_for(arrived, "the event at all destinations")
    return time.monotonic() - begun


def holders(lab):
    """The lanes of those who have said in their last heartbeat that they have some."""
    return [lanes for lanes, in lab.sql(
        "SELECT lanes FROM (SELECT DISTINCT ON (scheduler) scheduler, encode(lanes, 'hex') lanes"
        " FROM ingot.heartbeats ORDER BY scheduler, n DESC) newest WHERE lanes IS NOT NULL")
        if int(lanes, 16)]


def is_shared(lab, count):
    """Whether so many hold every lane between them, each of them one holder's."""
    found = [int(lanes, 16) for lanes in holders(lab)]
    return len(found) == count and sum(found) == (1 << 256) - 1


def workers(lab, id):
    """How many processes worked the jobs of an event."""
    raw = [event for event, in lab.sql("SELECT encode(id, 'hex') FROM ingot.events")
           if ksuid_text(bytes.fromhex(event)) == id][0]
    return lab.sql("SELECT count(DISTINCT owner) FROM ingot.transitions"
                   f" WHERE event_id = '\\x{raw}'")[0][0]


@test
def lanes_move_at_once_when_a_scheduler_starts_or_stops(lab):
    cluster = Cluster(lab, routes=MANY, lease="10m")
    first = cluster.start()

    def workers_of_one_more():
        id = first.emit()[0]
        delivered_everywhere(cluster, id)
        return workers(lab, id)
    equal(workers_of_one_more(), 1)
    second, third = (cluster.start("scheduler") for _ in range(2))
    wait_for(lambda: workers_of_one_more() == 3, "three to share the lanes")
    second.terminate()
    equal(workers_of_one_more(), 2)
    third.terminate()
    equal(workers_of_one_more(), 1)
    first.terminate()
    equal(holders(lab), [])
    lab.verify()
    check_counters(lab)


@test
def lanes_move_within_two_leases_when_a_scheduler_dies(lab):
    cluster = Cluster(lab, routes=MANY)
    gateway = cluster.start("gateway")
    schedulers = [cluster.start("scheduler") for _ in range(3)]
    wait_for(lambda: is_shared(lab, 3), "three to hold all lanes between them")
    for victim in schedulers[:2]:
        victim.kill()
        took = delivered_everywhere(cluster, gateway.emit()[0])
        check(took < 3 * LEASE_S, f"it took {took:.1f} s, with a lease of {LEASE_S} s")
    cluster.settle()
    lab.verify()
    check_counters(lab)


# ---- connections ---------------------------------------------------------------------------------


@test
def terminated_backends_lose_nothing(lab):
    cluster = Cluster(lab)
    for verb in ("serve", "gateway", "scheduler"):
        cluster.launch(verb)
    cluster.populate(sql_clients=2)
    cluster.goes_on()
    for _ in range(20):
        time.sleep(cluster.random.uniform(0, 0.4))
        lab.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE random() < 0.5"
                f" AND datname = '{lab.database}' AND usename = '{lab.server.WRITER}'")
    cluster.goes_on()
    cluster.finish()


CROWD, CROWD_EVENTS = 5, 3000  # requests, of which a commit holds one, and the events of each


def crowd(member, between):
    """Sends a member what takes several commits, while the first of them is not answered."""
    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        between.pause()
        sent = [pool.submit(member.emit, "nobody's", CROWD_EVENTS) for _ in range(CROWD)]
        # they wait in the journal then; if not, the next crowd does
        concurrent.futures.wait(sent, timeout=1)
        between.resume()
        for request in sent:
            request.result()


@test
def nothing_is_sent_behind_a_commit_that_a_pooler_has_not_answered(lab):
    cluster = Cluster(lab, routes={"healthy": ["somebody's"]})
    plain, pooler = (proxy.Proxy(lab.server.host, lab.server.port) for _ in range(2))
    pooler.hides_server = True
    members = []
    for between in (plain, pooler):
        lab.cleanups.append(between.close)
        cluster.port = between.port
        members.append(cluster.start())

    crowds = itertools.count()

    def is_sent_ahead():
        next(crowds)
        for member, between in zip(members, (plain, pooler)):
            crowd(member, between)
        return plain.ahead
    for _ in range(3):  # the pooler's member has had its chances too
        wait_for(is_sent_ahead, "a commit behind another where nothing is in the way")
    equal(pooler.ahead, 0)
    equal(lab.sql("SELECT count(*) FROM ingot.events"),
          [(next(crowds) * len(members) * CROWD * CROWD_EVENTS,)])
    cluster.settle()
    lab.verify()


@test
def an_answer_that_was_cut_off_is_asked_for_again(lab):
    cluster = Cluster(lab)
    between = proxy.Proxy(lab.server.host, lab.server.port)
    lab.cleanups.append(between.close)
    cluster.port = between.port
    for verb in ("serve", "gateway", "scheduler"):
        cluster.launch(verb)
    cluster.populate(sql_clients=0)
    cluster.goes_on()
    for _ in range(10):
        for fate in (proxy.SWALLOW, proxy.SEVER, proxy.DROP):
            before = between.struck
            between.strike(fate, COMMIT)
            wait_for(lambda: between.struck > before, f"a commit to {fate}")
    for _ in range(3):
        between.cut()
        cluster.goes_on(20)
    cluster.finish()


@test
def a_network_that_stands_still_or_is_slow_ends_nobody(lab):
    cluster = Cluster(lab)
    between = proxy.Proxy(lab.server.host, lab.server.port)
    lab.cleanups.append(between.close)
    cluster.start("scheduler")
    cluster.port = between.port
    for verb in ("gateway", "scheduler"):
        cluster.launch(verb)
    cluster.populate()
    cluster.goes_on()
    between.pause()
    time.sleep(2 * LEASE_S)
    between.resume()
    cluster.goes_on()
    between.delay_s = 0.02
    cluster.goes_on(20)
    between.delay_s = 0
    cluster.finish()


@test
def an_end_that_takes_longer_than_the_shutdown_time_ends_well(lab):
    cluster = Cluster(lab, shutdown="200ms")
    between = proxy.Proxy(lab.server.host, lab.server.port)
    lab.cleanups.append(between.close)
    cluster.port = between.port
    for verb in ("serve", "scheduler"):
        member = cluster.start(verb)
        between.pause()  # the last heartbeat is not answered
        member.signal(signal.SIGTERM)
        time.sleep(1)
        between.resume()
        equal(member.wait(), 0, member.log())
        cluster.members.remove(member)
    lab.verify()


@test
def who_was_silent_himself_takes_nothing_over(lab):
    cluster = Cluster(lab, routes=MANY)  # PROTOCOL 5.1
    between = proxy.Proxy(lab.server.host, lab.server.port)
    lab.cleanups.append(between.close)
    cluster.port = between.port
    gateway = cluster.start("gateway")
    for _ in range(2):
        cluster.start("scheduler")
    wait_for(lambda: is_shared(lab, 2), "two to hold all lanes between them")
    time.sleep(2 * LEASE_S)  # so that both may judge
    for sink in cluster.sinks.values():
        sink.signal(signal.SIGSTOP)
    gateway.emit()
    wait_for(lambda: lab.sql("SELECT count(*) FROM ingot.transitions") == [(len(MANY),)],
             "all attempts to begin")
    check(len(lab.sql("SELECT DISTINCT owner FROM ingot.transitions")) == 2, "one works alone")
    between.pause()
    time.sleep(3 * LEASE_S)
    between.resume()
    time.sleep(3 * LEASE_S)
    for sink in cluster.sinks.values():
        sink.signal(signal.SIGCONT)
    cluster.settle()
    equal(lab.sql("SELECT state_before, state_after, count(*) FROM ingot.transitions"
                  " GROUP BY 1, 2 ORDER BY 1"), [(1, 3, len(MANY)), (3, 4, len(MANY))])
    lab.verify()
    check_counters(lab)


@test
@lasts(240)
def fifty_clients_share_two_connections_behind_pgbouncer(lab):
    cluster = Cluster(lab)
    pooler = lab.keep(Pooler(lab, lab.server, lab.database))
    cluster.port = pooler.port
    for verb in ("serve", "gateway", "scheduler"):
        cluster.launch(verb)
    cluster.populate(http_clients=20, sql_clients=30, sql_port=pooler.port)
    cluster.goes_on(2000)
    cluster.replace(cluster.living("scheduler")[0])
    cluster.goes_on(500)
    most = lab.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{lab.database}'"
                   f" AND usename = '{lab.server.WRITER}'")[0][0]
    check(most <= 2, most, "connections: somebody went round pgbouncer")
    cluster.finish()


# ---- the server ----------------------------------------------------------------------------------


@test
def a_server_that_is_stopped_in_mid_commit_loses_nothing(lab):
    server = OwnServer(lab)
    cluster = Cluster(lab, server)
    for verb in ("gateway", "scheduler", "scheduler"):
        cluster.launch(verb)
    cluster.populate(sql_clients=2)
    cluster.goes_on()
    for _ in range(5):
        time.sleep(cluster.random.uniform(0.1, 0.5))
        check_counters(lab)
        server.crash()
        time.sleep(cluster.random.uniform(0, 0.5))
        server.start()
        cluster.goes_on(50)
    cluster.finish()


def expect_refusal(cluster, member, reason):
    """Who runs tells that nothing goes in, and waits; nobody can start, and all say why."""
    wait_for(lambda: re.search(f"event=heartbeat_failed .*{reason}", member.log()), "the reason")
    equal(member.request("GET", "/healthz").status, 503)
    answer = member.post([{"source": "cluster", "name": "a"}])
    equal(answer.status, 503, answer.body)
    matches(answer.body.decode(), reason)
    for verb in ("serve", "gateway", "scheduler"):
        late = cluster.launch(verb)
        equal(late.wait(), 3, late.log())
        matches(late.log(), f"(?m)^ingot: .*{reason}")
        cluster.members.remove(late)
    result = cluster.lab.run("counts")
    equal((result.returncode, result.stdout), (3, ""), result.stderr)
    matches(result.stderr, reason)


def is_healthy(member):
    return member.request("GET", "/healthz").status == 200


@test
def a_server_that_has_become_a_standby_is_refused_until_it_is_promoted(lab):
    server = OwnServer(lab)
    cluster = Cluster(lab, server)
    member = cluster.start()
    cluster.populate(sql_clients=0)
    cluster.goes_on()
    server.demote()
    expect_refusal(cluster, member, "is a standby")
    server.promote()
    cluster.goes_on()
    wait_for(lambda: is_healthy(member), "its health")
    cluster.finish()


@test
def a_server_that_does_without_fsync_is_refused(lab):
    server = OwnServer(lab)
    cluster = Cluster(lab, server)
    member = cluster.start()
    cluster.populate(sql_clients=0)
    cluster.goes_on()
    for setting in ("off", "on"):
        server.ask(f"ALTER SYSTEM SET fsync = {setting}")
        server.stop()
        server.start()
        if setting == "off":
            expect_refusal(cluster, member, "fsync = off")
    cluster.goes_on()
    wait_for(lambda: is_healthy(member), "its health")
    cluster.finish()


def next_xid(server):
    return int(server.ask("SELECT pg_current_xact_id()")[0][0])


@test
def a_crash_that_hands_out_xids_again_voids_the_cursor(lab):
    # what was rolled back reaches the disk late, and so may be forgotten in a crash
    server = OwnServer(lab, wal_writer_delay="10s", autovacuum="off")
    cluster = Cluster(lab, server, lease="20s")
    scheduler = cluster.start("scheduler")
    for _ in range(20):
        before = next_xid(server)
        session = server.psql()
        session.ask("BEGIN; SELECT pg_current_xact_id(); ROLLBACK;" * 300)
        time.sleep(0.1)  # some polls go by, whose cursors are beyond
        session.close()
        scheduler.signal(signal.SIGSTOP)  # so that it does not poll until there is something
        server.crash()
        server.start()
        if next_xid(server) < before + 250:
            break
        scheduler.signal(signal.SIGCONT)
        time.sleep(1)  # it connects again
    check(next_xid(server) < before + 280, "no xid was handed out again")
    client = SqlClient(cluster, 0)
    cluster.clients.append(client)
    for _ in range(5):
        client.send(client.make_batch(3))
    check(client.acknowledged, "nothing was stored")
    check(next_xid(server) < before + 300, "the xids are beyond the old cursor")
    scheduler.signal(signal.SIGCONT)
    # at once: in a minute the sweep would find them
    wait_for(lambda: client.acknowledged <= {entry["event"] for entry in
                                             cluster.sinks["healthy"].accepted()},
             "the delivery of what has such xids")
    cluster.finish()


@test
def transactions_held_open_make_no_poll_dearer(lab):
    cluster = Cluster(lab)
    reader, writer = (lab.server.psql(lab.database) for _ in range(2))
    lab.cleanups += [reader.close, writer.close]
    reader.ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.ask("SELECT count(*) FROM ingot.events")
    writer.ask("BEGIN")
    writer.ask("SELECT pg_current_xact_id()")
    for verb in ("serve", "scheduler"):
        cluster.launch(verb)
    cluster.populate(http_clients=4)
    cluster.goes_on(1000)
    for client in cluster.clients:
        client.stop()
    lab.drain()

    def polled():
        return lab.sql("SELECT sum(idx_scan), sum(idx_tup_read) FROM pg_stat_user_indexes"
                       " WHERE indexrelname LIKE '%xid%'")[0]
    time.sleep(1.5)  # counters are sent once a second
    scans, rows = polled()
    time.sleep(3)
    scans, rows = (int(now) - int(then) for now, then in zip(polled(), (scans, rows)))
    check(scans > 20, scans, "scans in 3 s: nobody polled")
    check(rows < scans / 10, f"{rows} rows were read in {scans} scans that had nothing to find")
    cluster.finish()


class Builder(threading.Thread):
    """Drops the partitions of the last day that there are, and has them made again."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.lab, self.stopping, self.problem, self.rounds = cluster.lab, False, None, 0
        self.start()

    def run(self):
        while not self.stopping:
            session = None
            try:
                session = self.lab.server.psql(self.lab.database)
                session.ask("SET lock_timeout = '1s'; SET statement_timeout = '5s'")
                for parent in ("events", "added_jobs", "transitions", "retirements"):
                    self.drop_last(session, parent)
                session.ask("SELECT ingot.make_segments()")
                self.rounds += 1
            except ConnectionError:
                time.sleep(0.2)
            except Refused as error:
                if error.sqlstate not in PASSING:
                    self.problem = str(error)
                    return
            finally:
                if session:
                    session.close()
            time.sleep(0.1)

    def drop_last(self, session, parent):
        rows = session.ask(f"""SELECT inhrelid::regclass, inhdetachpending FROM pg_inherits
            WHERE inhparent = 'ingot.{parent}'::regclass
            ORDER BY inhdetachpending DESC, inhrelid::regclass::text DESC LIMIT 1""")
        for name, pending in rows:
            how = "FINALIZE" if pending == "t" else "CONCURRENTLY"
            session.ask(f"ALTER TABLE ingot.{parent} DETACH PARTITION {name} {how}")
            session.ask(f"DROP TABLE {name}")

    def stop(self):
        self.stopping = True
        self.join(60)
        check(not self.problem, "the partitions:", self.problem)


@test
def partitions_are_made_and_dropped_under_load(lab):
    cluster = Cluster(lab)
    for verb in ("gateway", "scheduler", "scheduler"):
        cluster.launch(verb)
    cluster.populate(sql_clients=2)
    cluster.goes_on()
    builder = Builder(cluster)
    wait_for(lambda: builder.problem or builder.rounds >= 5, "partitions made and dropped", 60)
    builder.stop()
    cluster.goes_on()
    cluster.finish()


@test
def a_restored_store_is_refused_until_it_is_accepted(lab):
    cluster = Cluster(lab)
    first = cluster.start()
    cluster.sinks["healthy"].signal(signal.SIGSTOP)  # so that something is left to do
    cluster.populate()
    cluster.goes_on()
    for client in cluster.clients:
        client.stop()
    first.terminate()
    cluster.members.remove(first)
    check(lab.live(), "everything was delivered")
    old, lab.server = lab.server, OwnServer(lab)
    dump = subprocess.run(
        f"pg_dumpall --roles-only --no-role-passwords -d {old.url('postgres')};"
        f" printf '%s\\n' 'CREATE DATABASE {lab.database};' '\\connect {lab.database}';"
        f" pg_dump -d {old.url(lab.database)}", shell=True, check=True, capture_output=True,
        env=old.environment()).stdout
    session, lab.session = lab.session, None
    session.close()
    subprocess.run(["psql", "-Xq", lab.server.url("postgres")], input=dump, check=True,
                   capture_output=True, env=lab.server.environment())
    old.drop(lab.database)
    refused = cluster.launch()
    equal(refused.wait(), 3, refused.log())
    matches(refused.log(), "ingot migrate accept-restore")
    result = lab.run("migrate", "accept-restore", env=lab.environment(INGOT_STORE=lab.owner_url()))
    equal(result.returncode, 0, result.stderr)
    cluster.members.remove(refused)
    cluster.sinks["healthy"].signal(signal.SIGCONT)
    for verb in ("serve", "scheduler"):
        cluster.start(verb)
    before, cluster.clients = cluster.clients, []
    cluster.populate()
    cluster.goes_on()
    cluster.settle()
    cluster.clients += before
    audit(cluster)


# ---- everything at once --------------------------------------------------------------------------


class Storm:
    """Lets one fault after the other come over a cluster."""

    def __init__(self, cluster, server, between):
        self.cluster, self.server, self.between = cluster, server, between
        self.held, self.counts, self.deck = [], {}, []
        self.faults = [self.kill, self.kill, self.stop, self.terminate, self.terminate, self.crash,
                       self.cut, self.strike, self.strike, self.pause, self.delay, self.hold,
                       self.leave]

    def strike_once(self):
        if not self.deck:  # each has its turn
            self.deck = self.cluster.random.sample(self.faults, len(self.faults))
        fault = self.deck.pop()
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        fault()
        self.cluster.check_alive()

    def some(self, *verbs):
        return self.cluster.random.choice(self.cluster.living(*verbs))

    def kill(self):
        victim = self.some("gateway", "scheduler")
        victim.kill()
        self.replace(victim)

    def leave(self):
        """A process ends as it should, unless it has only begun to start."""
        victim = self.some("gateway", "scheduler")
        victim.signal(signal.SIGTERM)
        code = victim.wait()
        check(code == 0 or not victim.announced(), victim.log_path, "ended:", code,
              victim.log()[-3000:])
        self.cluster.members.remove(victim)
        self.replace(victim)

    def replace(self, victim):
        through = self.cluster.random.random() < 0.7
        self.cluster.launch(victim.verb, self.between.port if through else None)

    def stop(self):
        zombie = self.some("scheduler", "gateway")
        zombie.signal(signal.SIGSTOP)
        time.sleep(self.cluster.random.choice((0.3, 2.5)) * LEASE_S)
        zombie.signal(signal.SIGCONT)

    def terminate(self):
        self.server.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        f" WHERE usename = '{self.server.WRITER}' AND random() < 0.5")

    def crash(self):
        check_counters(self.cluster.lab)
        self.server.crash()
        time.sleep(self.cluster.random.uniform(0, 1))
        self.server.start()
        self.let_go()

    def cut(self):
        self.between.cut()

    def strike(self):
        fate = self.cluster.random.choice((proxy.SWALLOW, proxy.SEVER, proxy.DROP))
        self.between.strike(fate, COMMIT, self.cluster.random.choice((1, 3)))

    def pause(self):
        self.between.pause()
        time.sleep(self.cluster.random.uniform(0, 2 * LEASE_S))
        self.between.resume()

    def delay(self):
        self.between.delay_s = 0.01
        time.sleep(1)
        self.between.delay_s = 0

    def hold(self):
        """Transactions that stay open, one that reads and one with an xid."""
        if self.held:
            self.let_go()
            return
        self.held = [self.server.psql(self.cluster.lab.database) for _ in range(2)]
        self.held[0].ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.held[0].ask("SELECT count(*) FROM ingot.events")
        self.held[1].ask("BEGIN")
        self.held[1].ask("SELECT pg_current_xact_id()")

    def let_go(self):
        for session in self.held:
            session.close()
        self.held = []

    def calm(self):
        self.let_go()
        self.between.spare()
        self.between.resume()
        self.between.delay_s = 0


@test
@lasts(SOAK_S + 600)
def four_schedulers_and_two_gateways_weather_every_fault_at_random(lab):
    print(f"# seed {SEED}, {SOAK_S} s", flush=True)
    server = OwnServer(lab)
    cluster = Cluster(lab, server)
    between = proxy.Proxy(server.host, server.port)
    lab.cleanups.append(between.close)
    for number, verb in enumerate(["gateway"] * 2 + ["scheduler"] * 4):
        cluster.launch(verb, between.port if number % 2 else None)
    cluster.populate(http_clients=4, sql_clients=2)
    cluster.goes_on()
    builder, storm = Builder(cluster), Storm(cluster, server, between)
    end = time.monotonic() + SOAK_S
    while time.monotonic() < end:
        time.sleep(cluster.random.uniform(0, 1))
        storm.strike_once()
    storm.calm()
    builder.stop()
    cluster.goes_on()
    faults = ", ".join(f"{count} {name}" for name, count in sorted(storm.counts.items()))
    print(f"# {faults}; {between.struck} commits cut off, {builder.rounds} rounds of partitions",
          flush=True)
    cluster.finish()


def main():
    global SOAK_S, SEED
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=SOAK_S)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("parts", nargs="*", metavar="TEST")
    arguments = parser.parse_args()
    SOAK_S, SEED = arguments.seconds, arguments.seed
    return harness.main(arguments.parts)


if __name__ == "__main__":
    sys.exit(main())
