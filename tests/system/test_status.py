#!/usr/bin/env python3
"""ingot status and ingot migrate accept-restore on PostgreSQL: what an operator sees of several
processes, with which rights, and how a store that was restored goes on."""

import json
import re
import signal
import sys

import harness
from harness import check, equal, ksuid, matches, test, wait_for

DESTINATIONS = {name: {"kind": "command", "command": ["/bin/true"], "events": ["*"],
                       "schedule": "@every 9h", "realtime": False} for name in ("one", "two")}
DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")


def shown(lab, **environment):
    """What --json tells; the same call without it must work as well, and nothing is dangerous."""
    env = lab.environment(**environment)
    for arguments in (["status"], ["status", "--json"]):
        result = lab.run(*arguments, env=env)
        equal((result.returncode, result.stderr), (0, ""), arguments)
        bad = DANGEROUS.search(result.stdout)
        check(not bad, arguments, bad and repr(result.stdout[:bad.end()][-80:]))
        check(lab.server.password not in result.stdout, "the password was shown")
    return json.loads(result.stdout)


def by_role(status):
    return {process["about"]["role"]: process for process in status["processes"]}


def plant(lab, about, lanes=None, age_s=1, process=None):
    """A heartbeat that was never one of Ingot's; the id of its process."""
    process = process or ksuid()
    number = 0
    for digit in process:
        number = number * 62 + harness.DIGITS.index(digit)
    mask = sum(1 << lane for lane in lanes or ()).to_bytes(32, "little").hex()
    worked = "NULL" if lanes is None else f"'\\x{mask}'"
    session = lab.server.psql(lab.database)
    try:
        session.ask(f"""INSERT INTO ingot.heartbeats (created_at, scheduler, n, lanes, about)
            VALUES (clock_timestamp() - interval '{age_s} s', '\\x{number.to_bytes(20, "big").hex()}',
                    7, {worked}, $about${about}$about$)""")
    finally:
        session.close()
    return process


# ---- processes -----------------------------------------------------------------------------------


@test
def status_shows_processes_while_they_work_and_after_they_ended(lab):
    lab.use_postgres()
    check(not shown(lab)["processes"], "somebody is at work")
    lab.config(DESTINATIONS)
    gateway = lab.launch(verb="gateway", name="gateway").ready()
    scheduler = lab.launch(verb="scheduler", name="scheduler").ready()
    gateway.emit("a", 5)

    def is_ready():
        about = by_role(shown(lab)).get("scheduler", {}).get("about", {})
        return about.get("lanes_ready") == 256 and about.get("live") == 10
    wait_for(is_ready, "the scheduler's heartbeat with all lanes and jobs")
    status = shown(lab)
    roles = by_role(status)
    equal({role: (process["state"], process["lanes"], process["about"]["pid"])
           for role, process in roles.items()},
          {"gateway": ("working", 0, gateway.pid), "scheduler": ("working", 256, scheduler.pid)})
    equal(roles["gateway"]["about"]["address"], gateway.address)
    equal(status["idle_lanes"], [])
    table = lab.run("status").stdout
    matches(table, r"(?m)^lanes +all 256 are worked$")
    head = rf"{roles['scheduler']['process'][:8]} +"
    matches(table, rf"(?m)^{head}scheduler +working +\d\.\d s ago +\S+ +{scheduler.pid} +- +\d")
    matches(table, rf"(?m)^{head}256 +256 +10 +0 +\d+ +0 +0$")
    matches(table, rf"(?m)^\S+ +gateway +working .* {gateway.pid} +{gateway.address} ")
    for process in (gateway, scheduler):
        process.terminate()
    status = shown(lab)
    equal([process["state"] for process in status["processes"]], ["ended"] * 2)
    equal(status["idle_lanes"], list(range(256)))
    matches(lab.run("status").stdout, r"(?m)^lanes +nobody works any.*`ingot scheduler`$")


@test
def who_was_not_heard_of_for_a_lease_is_silent_and_works_no_lane(lab):
    lab.use_postgres()
    half = range(0, 128)
    said = '{"state":"working","role":"scheduler"%s}'
    alive = plant(lab, said % "", half, 5)
    silent = plant(lab, said % "", range(100, 256), 16)
    patient = plant(lab, said % ',"lease_ms":60000', [200, 201, 202, 204], 16)
    hasty = plant(lab, said % ',"lease_ms":2000', [255], 5)
    gateway = plant(lab, '{"state":"working","role":"gateway"}', None, 5)
    deaf_gateway = plant(lab, '{"state":"working","role":"gateway"}', None, 20)
    ended = plant(lab, '{"state":"ended","role":"scheduler"}', None, 5)
    forgotten = plant(lab, said % "", half, 3700)
    status = shown(lab)
    equal({process["process"]: process["state"] for process in status["processes"]},
          {alive: "working", silent: "silent", patient: "working", hasty: "silent",
           gateway: "working", deaf_gateway: "silent", ended: "ended"}, forgotten)
    equal([process["state"] for process in status["processes"]],
          ["working"] * 3 + ["silent"] * 3 + ["ended"])
    idle = [lane for lane in range(128, 256) if lane not in (200, 201, 202, 204)]
    equal(status["idle_lanes"], idle)
    matches(lab.run("status").stdout, r"(?m)^lanes +nobody works 124 of 256: 128 to 199, 203,"
                                      r" 205 to 255$")


@test
def lanes_are_shown_as_soon_as_they_have_moved(lab):
    lab.use_postgres()
    lab.config(DESTINATIONS, lease="10m")  # a heartbeat every two minutes

    def shared_by(count):
        lanes = [process["lanes"] for process in shown(lab)["processes"] if process["lanes"]]
        return len(lanes) == count and sum(lanes) == 256
    schedulers = []
    for count in (1, 2):
        schedulers.append(lab.launch(verb="scheduler", name=f"scheduler-{count}").ready())
        wait_for(lambda count=count: shared_by(count), f"{count} that hold all lanes", 30)
    schedulers.pop().terminate()
    wait_for(lambda: shared_by(1), "one to hold all lanes again", 30)
    schedulers.pop().terminate()


@test
def what_a_process_says_of_itself_is_taken_for_hostile(lab):
    lab.use_postgres()
    deep = "[" * 500 + "]" * 500
    abouts = ["null", "[]", '"working"', "{}", '{"state":7,"pid":"x","live":{},"role":[1]}',
              '{"pid":-1,"live":1.5,"running":99999999999999999999,"lag_ms":1e9}',
              '{"role":"a","role":"b"}', '{"role":"\\u0000"}', '{"role":"\\ud800"}',
              '{"deep":%s}' % deep, '{"role":"\\u001b[2J\\u202e\\r\\n","host":"\\u009b31m"}',
              '{"host":"\x1b[2J\u202e","\x1b":1}', '{"host":"%s"}' % ("h" * 100000), '{"pid":"\x7f"}',
              '{"lease_ms":-5,"version":"%s%n"}', '{"lease_ms":9223372036854775807}',
              '{"role":"b","lanes":-3,"lanes_ready":18446744073709551615}']
    planted = []
    for about in abouts:
        try:
            planted.append(plant(lab, about, [1]))
        except harness.Refused:
            pass  # it is no JSON for PostgreSQL either
    check(len(planted) > 10, planted)
    for locale in ("C.UTF-8", "C"):
        status = shown(lab, LC_ALL=locale)
        equal(sorted(process["process"] for process in status["processes"]), sorted(planted))
        check(all(process["about"] is None or isinstance(process["about"], dict)
                  for process in status["processes"]), status)
        equal(len(status["idle_lanes"]), 255)
        lines = lab.run("status", env=lab.environment(LC_ALL=locale)).stdout.splitlines()
        equal(sum(line[:8] == process[:8] for line in lines for process in set(
            process[:8] for process in planted)), 2 * len(planted), "a row has two lines")


# ---- rights, settings, schema --------------------------------------------------------------------


@test
def a_reader_sees_the_status_and_its_settings(lab):
    lab.use_postgres()
    reader = f"ingot_reader_{lab.database}"
    lab.server.ask(f"CREATE ROLE {reader} LOGIN PASSWORD '{lab.server.password}';"
                   f" GRANT ingot_reader TO {reader}")
    try:
        status = shown(lab, INGOT_STORE=lab.server.url(lab.database, reader))
        equal((status["store"], status["holder"]), ("postgres", None))
        equal(status["settings"]["fsync"], "on")
        check(all(migration["state"] == "applied" for migration in status["migrations"]), status)
        equal(status["checkpoints"],
              {"lanes": 0, "bytes": 0, "newest_at": None, "oldest_at": None})
    finally:
        lab.server.drop(lab.database)
        lab.server.ask(f"DROP ROLE {reader}")


@test
def status_of_a_database_without_a_store_says_what_to_do(lab):
    lab.use_postgres()
    lab.server.drop(lab.database)
    result = lab.run("status")
    equal((result.returncode, result.stdout), (3, ""), result.stderr)
    lab.server.create(lab.database)
    result = lab.run("status")
    equal((result.returncode, result.stdout), (3, ""), result.stderr)
    matches(result.stderr, "ingot migrate")
    check(lab.server.password not in result.stderr, "the password was shown")


@test
def status_shows_migrations_that_are_pending(lab):
    lab.use_postgres()
    equal(lab.run("migrate", "down", "--yes",
                  env=lab.environment(INGOT_STORE=lab.owner_url())).returncode, 0)
    result = lab.run("status")
    equal(result.returncode, 3, result.stderr)
    matches(result.stdout, r"(?m)^schema +\d+ of \d+ migrations .*`ingot migrate status`$")
    matches(result.stderr, "ingot migrate")
    states = [migration["state"]
              for migration in json.loads(lab.run("status", "--json").stdout)["migrations"]]
    equal(states, ["applied"] * (len(states) - 1) + ["pending"])


@test
def a_daemon_warns_once_of_a_login_that_may_do_too_much(lab):
    lab.use_postgres()
    lab.config(DESTINATIONS)
    daemon = lab.launch(env=lab.environment(INGOT_STORE=lab.owner_url())).ready()
    daemon.terminate()
    equal(daemon.log().count("event=login_may_do_too_much"), 1, daemon.log())


# ---- restored ------------------------------------------------------------------------------------


@test
def a_store_of_another_server_is_refused_until_its_owner_accepts_it(lab):
    lab.use_postgres()
    lab.config(DESTINATIONS)
    daemon = lab.launch().ready()
    daemon.emit("a", 3)
    result = lab.run("migrate", "accept-restore")
    equal((result.returncode, result.stderr), (0, ""))
    matches(result.stdout, r"\Anothing to do: ")
    equal(lab.sql("SELECT max(epoch) FROM ingot.epochs"), [(1,)])
    daemon.terminate()
    # what a dump brings with it: the mark of another server
    lab.server.ask("INSERT INTO ingot.epochs (epoch, system_identifier) VALUES (2, 42)",
                   lab.database)
    for arguments in (["serve"], ["find"], ["counts"], ["verify"]):
        result = lab.run(*arguments)
        equal((result.returncode, result.stdout), (3, ""), arguments)
        matches(result.stderr, "ingot migrate accept-restore", arguments)
    result = lab.run("status")
    equal(result.returncode, 3, result.stderr)
    matches(result.stdout, r"(?m)^schema +\d+ migrations have run$")
    matches(result.stderr, "ingot migrate accept-restore")
    result = lab.run("migrate", "accept-restore")
    equal((result.returncode, result.stdout), (3, ""))
    matches(result.stderr, "permission denied.*owner")
    equal(lab.sql("SELECT max(epoch) FROM ingot.epochs"), [(2,)])
    owner = lab.environment(INGOT_STORE=lab.owner_url())
    result = lab.run("migrate", "accept-restore", "--json", env=owner)
    equal((result.returncode, result.stderr), (0, ""))
    equal(json.loads(result.stdout), {"accepted": True})
    equal(lab.sql("SELECT max(epoch) FROM ingot.epochs"), [(3,)])
    result = lab.run("migrate", "accept-restore", env=owner)
    matches(result.stdout, r"\Anothing to do: ")
    daemon = lab.launch().ready()
    wait_for(lambda: any(process["state"] == "working" and process["about"].get("live") == 6
                         for process in shown(lab)["processes"]), "the jobs of the former life")
    daemon.terminate()
    lab.verify()


@test
def accept_restore_accepts_no_other_trouble(lab):
    lab.use_postgres()
    owner = lab.environment(INGOT_STORE=lab.owner_url())
    equal(lab.run("migrate", "down", "--yes", env=owner).returncode, 0)
    result = lab.run("migrate", "accept-restore", env=owner)
    equal((result.returncode, result.stdout), (3, ""))
    matches(result.stderr, r"\Aingot: .*migrat")
    equal(lab.sql("SELECT max(epoch) FROM ingot.epochs"), [(1,)])
    lab.session.close()
    lab.session = None
    lab.server.drop(lab.database)
    result = lab.run("migrate", "accept-restore", env=owner)
    equal((result.returncode, result.stdout), (3, ""))
    check(lab.server.password not in result.stderr, "the password was shown")


if __name__ == "__main__":
    sys.exit(harness.main())
