#!/usr/bin/env python3
"""What a job costs, in what does not depend on the clock: bytes of the log, system calls,
allocations, and instructions as callgrind counts them. A figure is held against the one in
figures.txt; the two of issue 4 have bounds of their own besides.

    test_cost.py [PART…]            tests, those whose names contain one of the parts, or all
    test_cost.py --record [PART…]   measures the same, and writes figures.txt anew

Without INGOT_COST in the environment the programs of build-check are measured, and built before
they are recorded. No server is needed: it starts one of its own.
"""

import functools
import os
import platform
import re
import sqlite3
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = None if "INGOT_COST" in os.environ else os.path.realpath(
    os.path.join(HERE, "../../build-check"))
if BUILD:
    os.environ |= {"INGOT": os.path.join(BUILD, "ingot"),
                   "INGOT_SINK": os.path.join(BUILD, "tests/ingot-sink"),
                   "INGOT_COST": os.path.join(BUILD, "tests/ingot-cost")}
sys.path.insert(0, os.path.join(HERE, "../system"))

import harness
from harness import Lab, OwnServer, Skip, check, equal, test

COST = os.environ["INGOT_COST"]
FIGURES = os.path.join(HERE, "figures.txt")

TOLERANCE = 0.05
SERVER_TOLERANCE = 0.25  # an answer may come in more pieces than it did

JOBS_FIRST, JOBS = 2000, 10000

SECTIONS = ["ksuid_format", "ksuid_parse", "map_put", "map_get", "map_remove", "scheduler",
            "scheduler_retry", "delivery_encode", "request_read", "delivery_loop"]
STORE_SECTIONS = ["store_events", "store_claims", "store_outcomes"]


# ---- the figures ---------------------------------------------------------------------------------


HEADER = """\
# What tests/cost/test_cost.py measured when it was last run with --record. To record anew what
# build-check gives, all of it or by tests with a part in their name, with no server needed:
#
#     tests/cost/test_cost.py --record [PART...]
#
# bytes.*         a job's whole life (event with 200 bytes of data, claim, success), in commits of
#                 1,000 rows: WAL without full-page images on PostgreSQL, growth of the file on
#                 SQLite
# calls.*         system calls for 1,000 such jobs, of the process that uses the store. On SQLite
#                 nearly all write or read a page of 4 KiB, of the WAL or at a checkpoint. On
#                 PostgreSQL two send, two wait and one receives, for each commit; since an answer may
#                 come in more pieces, these may be off by a quarter
# allocations.*   calls of malloc, calloc and realloc, of the libraries too, for each job, row, id,
#                 key, body or request
# instructions.*  for each of the same, as callgrind counts them
#
# Each may be off by 5 % in either direction: what has become cheaper is to be recorded, or it
# could grow again unseen. They hold for what they were made with, and are passed over elsewhere.
# valgrind shows every program the same processor, so that the machine hardly matters: without
# AVX2, by which the C library chooses its memcpy, they are off by less than 2 %. Two runs count
# the same to the last instruction.
"""


def read_figures():
    """The recorded figures, and what they were made with."""
    figures, made_with = {}, None
    try:
        with open(FIGURES, encoding="ascii") as file:
            lines = [line.split(" = ", 1) for line in file.read().splitlines()
                     if line and not line.startswith("#")]
    except FileNotFoundError:
        lines = []
    for name, value in lines:
        if name == "made_with":
            made_with = value
        else:
            figures[name] = float(value)
    return figures, made_with


def write_figures(figures, made_with):
    with open(FIGURES, "w", encoding="ascii") as file:
        file.write(HEADER)
        file.write(f"\nmade_with = {made_with}\n")
        group = None
        for name, value in sorted(figures.items()):
            if name.split(".")[0] != group:
                file.write("\n")
            group = name.split(".")[0]
            file.write(f"{name} = {value:.10g}\n")


@functools.cache
def versions():
    """What the same work has another price with."""
    answer = subprocess.run([COST, "versions"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    return f"{answer.stdout.strip()}, {valgrind.stdout.strip()}, {platform.machine()}"


class Judge:
    """Holds what is measured against what is recorded."""

    def __init__(self):
        self.recorded, self.made_with = read_figures()

    def judge(self, name, measured, tolerance=TOLERANCE, details=""):
        if self.made_with != versions():
            raise Skip(f"the figures were made with {self.made_with}; this is {versions()}")
        check(name in self.recorded, f"{name} is not in figures.txt; measured {measured:g}")
        recorded = self.recorded[name]
        ratio = measured / recorded if recorded else float("inf") if measured else 1
        check(abs(measured - recorded) <= tolerance * recorded,
              f"{name}: recorded {recorded:g}, measured {measured:g}, {ratio:.3f} times as much; "
              f"if that is as it should be: tests/cost/test_cost.py --record\n{details}")
        print(f"# {name}: recorded {recorded:g}, measured {measured:g}")


class Recorder(Judge):
    """Takes what is measured for right, and writes it down."""

    def judge(self, name, measured, tolerance=TOLERANCE, details=""):
        old = self.recorded.get(name)
        if self.made_with != versions():
            self.recorded, self.made_with = {}, versions()
        self.recorded[name] = round(measured, 3)
        print(f"# {name}: {'none' if old is None else format(old, 'g')} before, now {measured:g}")

    def write(self):
        write_figures(self.recorded, versions())


JUDGE = Judge()


# ---- measuring -----------------------------------------------------------------------------------


class Place:
    """The server that all tests share, in a lab of its own. Nothing else writes to it."""
    lab = None

    @classmethod
    def server(cls):
        if not cls.lab:
            cls.lab = Lab("cost-server")
            # without images of pages; what the server does by itself would be counted too
            cls.own = OwnServer(cls.lab, full_page_writes="off", autovacuum="off",
                                checkpoint_timeout="1h", max_wal_size="2GB")
        return cls.own

    @classmethod
    def close(cls):
        if cls.lab:
            cls.lab.close()


def use_postgres(lab):
    lab.use_postgres(Place.server())
    return lab.url()


def use_sqlite(lab):
    return lab.url()


def environment(lab):
    """Always the same, because it stands in the memory of what is measured."""
    server = {key: value for key, value in lab.environment().items() if key.startswith("PG")}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", **server}


def drive(lab, *arguments, wrapper=()):
    """Runs the driver; how many units it measured, and how many allocations."""
    result = subprocess.run([*wrapper, COST, *map(str, arguments)], capture_output=True, text=True,
                            check=False, cwd=lab.folder, env=environment(lab))
    equal(result.returncode, 0, result.stdout, result.stderr)
    units, allocations = re.match(r"units (\d+) allocations (\d+)$", result.stdout.strip()).groups()
    return int(units), int(allocations)


def calls_of_lives(lab, url, jobs, seed):
    """The system calls of a process that has so many jobs live, by name."""
    path = lab.path(f"calls-{jobs}")
    drive(lab, "store_life", url, jobs, seed,
          wrapper=["strace", "-f", "-c", "-U", "calls,name", "-o", path])
    with open(path, encoding="ascii") as file:
        rows = re.findall(r"^ *(\d+) (\w+)$", file.read(), re.MULTILINE)
    return {name: int(count) for count, name in rows if name != "total"}


def judge_calls(lab, name, url, tolerance=TOLERANCE):
    """What more jobs cost more, so that the beginning and the end do not count."""
    few = calls_of_lives(lab, url, JOBS_FIRST, 1)
    many = calls_of_lives(lab, url, JOBS_FIRST + JOBS, 2)
    more = {call: (count - few.get(call, 0)) * 1000 / JOBS for call, count in many.items()}
    table = "\n".join(f"  {count:8.1f} {call}" for call, count in
                      sorted(more.items(), key=lambda item: -item[1]) if count)
    JUDGE.judge(name, sum(more.values()), tolerance, table)


def judge_allocations(lab, section, name, *arguments):
    units, allocations = drive(lab, section, *arguments)
    JUDGE.judge(f"allocations.{name}", allocations / units)


def judge_instructions(lab, section, name, *arguments):
    path = lab.path(f"{section}.callgrind")
    units, _ = drive(lab, section, *arguments, wrapper=[
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={path}",
        "--toggle-collect=cost_measured", "--toggle-collect=cost_apart"])
    with open(path, encoding="ascii", errors="replace") as file:
        instructions = int(re.search(r"^summary: (\d+)", file.read(), re.MULTILINE)[1])
    check(instructions, "callgrind collected nothing")
    JUDGE.judge(f"instructions.{name}", instructions / units)


def file_bytes(lab):
    """The length of the SQLite file, when everything is in it."""
    connection = sqlite3.connect(lab.store)
    equal(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], 0)
    connection.close()
    return os.path.getsize(lab.store)


def wal_bytes(server):
    return int(server.ask("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])


# ---- bytes ---------------------------------------------------------------------------------------


@test
def a_jobs_whole_life_writes_at_most_1250_bytes_of_wal(lab):
    url = use_postgres(lab)
    drive(lab, "store_life", url, JOBS_FIRST, 1)
    before = wal_bytes(lab.server)
    drive(lab, "store_life", url, JOBS, 2)
    measured = (wal_bytes(lab.server) - before) / JOBS
    check(measured <= 1250, f"bytes of WAL for a job: {measured:.0f}")
    JUDGE.judge("bytes.postgres", measured)


@test
def a_jobs_whole_life_lets_the_file_of_sqlite_grow_by_at_most_1000_bytes(lab):
    drive(lab, "store_life", lab.url(), JOBS_FIRST, 1)
    before = file_bytes(lab)
    drive(lab, "store_life", lab.url(), JOBS, 2)
    measured = (file_bytes(lab) - before) / JOBS
    check(measured <= 1000, f"bytes of the file for a job: {measured:.0f}")
    JUDGE.judge("bytes.sqlite", measured)


# ---- system calls --------------------------------------------------------------------------------


@test
def a_jobs_whole_life_takes_as_many_system_calls_as_recorded_on_postgres(lab):
    judge_calls(lab, "calls.postgres", use_postgres(lab), SERVER_TOLERANCE)


@test
def a_jobs_whole_life_takes_as_many_system_calls_as_recorded_on_sqlite(lab):
    judge_calls(lab, "calls.sqlite", use_sqlite(lab))


# ---- allocations ---------------------------------------------------------------------------------


@test
def the_scheduler_allocates_nothing_for_a_job(lab):
    for section in ("scheduler", "scheduler_retry"):
        equal(drive(lab, section)[1], 0, section)


@test
def a_body_is_encoded_without_an_allocation(lab):
    equal(drive(lab, "delivery_encode")[1], 0)


@test
def a_request_is_read_with_as_many_allocations_as_recorded(lab):
    judge_allocations(lab, "request_read", "request_read")


@test
def a_job_is_delivered_with_as_many_allocations_as_recorded(lab):
    judge_allocations(lab, "delivery_loop", "delivery_loop")


@test
def a_jobs_whole_life_takes_as_many_allocations_as_recorded_on_postgres(lab):
    judge_allocations(lab, "store_life", "store_life_postgres", use_postgres(lab), JOBS)


@test
def a_jobs_whole_life_takes_as_many_allocations_as_recorded_on_sqlite(lab):
    judge_allocations(lab, "store_life", "store_life_sqlite", use_sqlite(lab), JOBS)


# ---- instructions --------------------------------------------------------------------------------


def add_instructions(section, name, use=None):
    """Makes the test of a section; use gives the store that it works on, if it needs one."""
    def measure(lab):
        judge_instructions(lab, section, name, *([use(lab)] if use else []))
    measure.__name__ = f"{name}_takes_as_many_instructions_as_recorded"
    test(measure)


for _section in SECTIONS:
    add_instructions(_section, _section)
for _section in STORE_SECTIONS:
    add_instructions(_section, f"{_section}_postgres", use_postgres)
    add_instructions(_section, f"{_section}_sqlite", use_sqlite)


# ---- the program ---------------------------------------------------------------------------------


def record(parts):
    """Measures, and keeps the figures of what could be measured."""
    global JUDGE
    if BUILD:
        subprocess.run(["ninja", "-C", BUILD, "--quiet", "ingot", "tests/ingot-cost"], check=True)
    JUDGE = Recorder()
    code = harness.main(parts)
    JUDGE.write()
    return code


def main(arguments):
    try:
        if arguments[:1] == ["--record"]:
            return record(arguments[1:])
        return harness.main(arguments)
    finally:
        Place.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
