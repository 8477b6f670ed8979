#!/usr/bin/env python3
"""ingot bench from outside: every measurement comes to its end, says all that it measured, and
leaves nothing behind, however it ended. What the figures are is no matter here."""

import glob
import json
import os
import re
import resource
import signal
import sys
import xml.etree.ElementTree

import harness
from harness import check, equal, lasts, matches, test, wait_for

TINY = ["--jobs", "1000", "--rounds", "1", "--history", "1000", "--live", "1000", "--data", "100"]

# What is measured on both stores: how many figures each has at least, and which of its verdicts.
BOTH = {"insert": (6, 1), "drain": (5, 4), "lifecycle": (6, 5), "pickup": (3, 4),
        "http-in": (2, 1), "http-out": (2, 1), "history": (6, 4), "find": (2, 2), "start": (1, 1),
        "memory": (2, 1)}
ON_POSTGRES = BOTH | {"pickup": (5, 6), "pinned": (6, 4)}


class Ground:
    """Where a test measures: beside a file of its lab, or on the server."""

    def __init__(self, lab, server=None, user=None):
        self.lab, self.server, self.user = lab, server, user

    def environment(self):
        env = self.lab.environment()
        if self.server:
            env |= {"PGPASSWORD": self.server.password,
                    "INGOT_STORE": self.server.url("postgres", self.user)}
        return env

    def left_behind(self):
        """Files beside the store, databases on the server."""
        left = [os.path.basename(path) for path in glob.glob(self.lab.store + "*")]
        if self.server:
            left += self.server.ask("SELECT datname FROM pg_database"
                                    " WHERE datname LIKE 'ingot\\_bench\\_%'")
        return left

    def bench(self, *arguments, **options):
        result = self.lab.run("bench", *arguments, env=self.environment(), seconds=300, **options)
        equal(self.left_behind(), [], "was left behind by", arguments)
        return result

    def launch(self, *arguments, **options):
        return self.lab.keep(harness.Process(self.lab, "bench", [harness.INGOT, "bench", *arguments],
                                             env=self.environment(), **options))


def grounds(lab):
    return [Ground(lab), Ground(lab, harness.Server())]


def names_of(figures):
    """Of what was measured, in its order."""
    return list(dict.fromkeys(figure["bench"] for figure in figures))


def everything_is_said(ground, expected):
    arguments = ["--baseline", *TINY, "--svg", ground.lab.path("charts")]
    result = ground.bench("all", *arguments, "--json")
    equal((result.returncode, result.stderr), (0, ""))
    said = json.loads(result.stdout)
    equal({figure["bench"] for figure in said["figures"]}, set(expected))
    for figure in said["figures"]:
        check(figure["runs"], figure)
        # What few jobs take is lost in what a process takes besides.
        check(figure["bench"] == "memory" or all(run > 0 for run in figure["runs"]), figure)
    for name, (figures, verdicts) in expected.items():
        mine = [figure for figure in said["figures"] if figure["bench"] == name]
        check(len(mine) >= figures, name, [figure["variant"] for figure in mine])
        mine = [verdict for verdict in said["verdicts"] if verdict["what"].startswith(name + ":")]
        equal(len(mine), verdicts, name, [verdict["what"] for verdict in mine])
    facts = said["facts"]
    for fact in ("ingot", "date", "compiler", "processor", "cores", "memory", "kernel", "store",
                 "--history", "queue", "raw limit"):
        check(facts.get(fact), fact, facts)
    equal((facts["--jobs"], facts["--baseline"]), ("1000", "yes"))
    matches(facts["took"], ", ".join(rf"{name} \d+ s" for name in names_of(said["figures"])))
    charts = os.listdir(ground.lab.path("charts"))
    for name in ("insert-latency.svg", "http-in-latency.svg", "pickup-latency.svg"):
        check(name in charts, name, charts)
    for chart in charts:
        xml.etree.ElementTree.parse(os.path.join(ground.lab.path("charts"), chart))
    return facts


@test
@lasts(300)
def everything_is_measured_on_sqlite(lab):
    facts = everything_is_said(Ground(lab), BOTH)
    equal((facts["store"], facts["synchronous"], facts["journal_mode"]), ("sqlite", "full", "wal"))
    check(facts["sqlite_version"], facts)
    check("path" not in facts, "it names a file that is gone")


@test
@lasts(600)
def everything_is_measured_on_postgres(lab):
    server = harness.Server()
    facts = everything_is_said(Ground(lab, server), ON_POSTGRES)
    equal((facts["store"], facts["fsync"], facts["synchronous_commit"]), ("postgres", "on", "on"))
    for name in ("postgres_version", "full_page_writes", "shared_buffers", "wal_level", "connection",
                 "wal_buffers"):
        check(facts[name], name)
    check(server.password not in json.dumps(facts), "the password was shown")


@test
def a_table_of_80_columns_has_the_figures_and_the_verdicts_beside_their_aims(lab):
    result = Ground(lab).bench("drain", "start", "--baseline", *TINY)
    equal((result.returncode, result.stderr), (0, ""))
    matches(result.stdout, r"(?m)^drain, jobs/s +MEDIAN .* RUNS .*\n^ingot +[\d,]+ ")
    matches(result.stdout, r"(?m)^drain: ingot / queue, 1 connection.* x +at least 1.50 +(ok|missed)$")
    equal([line for line in result.stdout.split("\n") if len(line) > 80], [])
    matches(result.stdout, r"(?m)^start: .* ms +at most 3,000 +(ok|missed)$")


@test
@lasts(120)
def growth_is_measured_when_it_is_named(lab):
    for ground in grounds(lab):
        charts = ground.lab.path("charts")
        result = ground.bench("growth", *TINY, "--most", "1000", "--svg", charts, "--json")
        equal((result.returncode, result.stderr), (0, ""))
        figures = json.loads(result.stdout)["figures"]
        equal([figure["variant"] for figure in figures],
              ["1,000 jobs", "1 destination, a job an event", "4 destinations, a job an event",
               "16 destinations, a job an event", "64 destinations, a job an event",
               "16 destinations, 3 jobs an event", "16 destinations, 10 jobs an event",
               "payload of 100 B", "payload of 1 kB", "payload of 10 kB", "payload of 100 kB",
               "payload of 1 MB"])
        check(all(figure["bench"] == "growth" and figure["median"] > 0 for figure in figures))
        check("growth-medians.svg" in os.listdir(charts))


@test
def sizes_grow_tenfold_up_to_the_most(lab):
    result = Ground(lab).bench("growth", *TINY, "--most", "100000", "--rounds", "2", "--json")
    figures = json.loads(result.stdout)["figures"]
    equal([figure["variant"] for figure in figures[:3]],
          ["10,000 jobs", "100,000 jobs", "1 destination, a job an event"])


@test
def rounds_are_measured_as_often_as_was_asked_for(lab):
    result = Ground(lab).bench("drain", "find", *TINY, "--rounds", "3", "--json")
    equal(result.returncode, 0, result.stderr)
    equal([len(figure["runs"]) for figure in json.loads(result.stdout)["figures"]], [3] * 3)


@test
def few_jobs_are_not_started_with_when_they_are_done(lab):
    result = Ground(lab).bench("start", *TINY, "--rounds", "3", "--json")
    equal([len(figure["runs"]) for figure in json.loads(result.stdout)["figures"]], [1])


@test
def mistakes_are_told_before_anything_is_made(lab):
    lab.write("file", "")
    mistakes = [
        (["nonsense"], r"no \"nonsense\"; there are all, insert, drain, .*, memory, growth$"),
        (["drain", "instert"], r"no \"instert\"; did you mean \"insert\"\?"),
        (["--jobs", "999"], r"--jobs is a number from 1000 to \d+, and not \"999\""),
        (["--rounds", "0"], r"--rounds is a number from 1 to \d+, and not \"0\""),
        (["--rounds", "2x"], "--rounds is a number"), (["--data", "31"], "--data is a number from 32"),
        (["--most", "5"], "--most is a number from 1000"),
        (["--rate", "0"], "--rate is a number from 1 to"),
        (["--live", "-1"], "--live is a number"), (["--history", ""], "--history is a number"),
        (["--producers", "99999999999999999999"], "--producers is a number"),
        (["--batch"], "'--batch' requires an argument"), (["--seconds", "3"], "'--seconds'"),
        (["--svg", lab.path("file")], "folder \".*/file\": Not a directory"),
        (["--svg", lab.path("no/charts")], "folder \".*/no/charts\": No such file"),
        (["--store", "memory:"], "\"memory\" cannot be measured; sqlite and postgres can"),
        (["--store", "redis:x"], "\"redis\"; write sqlite:PATH"),
    ]
    for arguments, complaint in mistakes:
        result = Ground(lab).bench(*arguments)
        equal((result.returncode, result.stdout), (2, ""), arguments, result.stderr)
        matches(result.stderr.strip(), complaint, arguments)
    equal(os.listdir(lab.folder), ["file"])


@test
def a_place_where_no_store_can_be_made_is_told(lab):
    charts = ["--svg", lab.path("charts")]
    result = Ground(lab).bench("drain", *charts, "--store", f"sqlite:{lab.path('no')}/store.db")
    equal((result.returncode, result.stdout), (3, ""))
    matches(result.stderr, r"could not open .*/no/store\.db.*No such file")
    result = Ground(lab).bench("drain", *charts, "--store",
                               f"postgres://127.0.0.1:{harness.free_port()}/x")
    equal((result.returncode, result.stdout), (3, ""))
    matches(result.stderr, "could not connect to the server: .*Connection refused")
    equal(os.listdir(lab.folder), [], "the folder for charts stayed")


@test
def a_role_that_may_make_no_databases_is_told(lab):
    server = harness.Server()
    role = f"ingot_bench_test_{os.getpid()}"
    server.ask(f"CREATE ROLE {role} LOGIN PASSWORD '{server.password}'")
    try:
        result = Ground(lab, server, role).bench("drain", *TINY)
        equal((result.returncode, result.stdout), (3, ""))
        matches(result.stderr, "the role needs CREATEDB.*permission denied")
        check(server.password not in result.stderr, "the password was shown")
    finally:
        server.ask(f"DROP ROLE {role}")


@test
def nothing_is_left_behind_by_a_failure(lab):
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    for ground in grounds(lab):
        result = ground.bench("history", "http-in", *TINY, preexec_fn=few_files)
        equal((result.returncode, result.stdout), (3, ""))
        matches(result.stderr, "Too many open files")


@test
def nothing_is_left_behind_by_a_signal(lab):
    long = ["--baseline", "--jobs", "1000000", "--history", "1000000", "--live", "1000000"]
    for ground in grounds(lab):
        for number, names in ((signal.SIGINT, ("lifecycle", "history", "http-in")),
                              (signal.SIGTERM, ("pickup", "http-out", "memory"))):
            for name in names:
                process = ground.launch(name, *long)
                wait_for(ground.left_behind, "a store to measure")
                process.signal(number)
                equal(process.wait(), 128 + number, name, process.log())
                equal(ground.left_behind(), [], "was left behind by", name)
                matches(process.log(), "bench: stopped", name)


@test
def a_signal_that_is_ignored_does_not_stop_it(lab):
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    ground = Ground(lab)
    process = ground.launch("pickup", *TINY, preexec_fn=ignore)
    wait_for(ground.left_behind, "a store to measure")
    # Again and again, and so also while daemons of its own run.
    wait_for(lambda: process.signal(signal.SIGINT) or not process.runs(), "its end")
    equal(process.wait(), 0, process.log())
    check(re.search("one process, from emit", process.log()), process.log())


if __name__ == "__main__":
    sys.exit(harness.main())
