#!/usr/bin/env python3
"""The schema of the PostgreSQL store, and events that come in by SQL in the user's transaction."""

import json
import os
import re
import sys
import time

import harness
from harness import Refused, check, equal, ksuid, matches, test, wait_for

SCHEMA_TABLES = ["added_jobs", "checkpoints", "epochs", "events", "heartbeats", "migrations",
                 "notices", "retirements", "routes", "transitions"]
SEGMENTED = ["added_jobs", "checkpoints", "events", "heartbeats", "notices", "retirements",
             "transitions"]
DAYS = range(-7, 9)

ROUTES = [{"name": 'a "quoted" one', "events": ["*", "order.paid"]},
          {"name": "audit", "events": ["*"]},
          {"name": "mail", "events": ["order.created", "order.paid"]}]

NOT_ACCEPTABLE = "22023"  # invalid_parameter_value
NOT_JSON = ("22P02", "22P05", "22021")
TAKEN = "23505"
FORBIDDEN = "42501"


def store(lab, routes=ROUTES):
    """A new store with published routes; a session of a writer."""
    lab.use_postgres()
    if routes is not None:
        publish(lab, routes)
    return session(lab)


def session(lab, user=None):
    """A session that ends with the test: of a writer, or of the superuser with user=""."""
    user = lab.server.WRITER if user is None else user or lab.server.user
    opened = lab.server.psql(lab.database, user)
    lab.cleanups.insert(0, opened.close)
    return opened


def publish(lab, routes, version=1):
    body = json.dumps({"destinations": routes}, separators=(",", ":"))
    lab.server.ask(f"INSERT INTO ingot.routes (version, body) VALUES ({version}, $r${body}$r$)",
                   lab.database)


def refused(psql, sql, sqlstate, *details):
    """That the SQL is refused with one of these errors; the message."""
    try:
        psql.ask(sql)
    except Refused as error:
        states = (sqlstate,) if isinstance(sqlstate, str) else sqlstate
        check(error.sqlstate in states, sql[:300], error, *details)
        return str(error)
    raise AssertionError(f"this was not refused: {sql[:300]} {details}")


def insert(queue):
    """The SQL that inserts a queue, given as text, as an object, or as a list of events."""
    if isinstance(queue, list):
        queue = {"events": queue}
    if not isinstance(queue, str):
        queue = json.dumps(queue)
    return f"SELECT * FROM ingot.insert_queue($queue${queue}$queue$)"


def event(**fields):
    return {"source": "test", "name": "order.created", **fields}


def one(psql, sql):
    """The one value of a query."""
    [[value]] = psql.ask(sql)
    return value


def stored(psql, id_, column):
    """A column of an event."""
    return one(psql, f"SELECT {column} FROM ingot.events WHERE id = ingot.ksuid_parse('{id_}')")


def some_column(psql, table):
    return one(psql, "SELECT attname FROM pg_attribute"
                     f" WHERE attrelid = '{table}'::regclass AND attnum = 2")


def rows_of(psql):
    """How many rows each table has, those that migrations and heartbeats fill left out."""
    return {table: int(one(psql, f"SELECT count(*) FROM ingot.{table}"))
            for table in SCHEMA_TABLES if table not in ("heartbeats", "migrations")}


def routed(name, routes):
    """The pairs of destination and event of the jobs that a gateway makes."""
    return [(route["name"], wanted) for route in routes for wanted in (name, "*")
            if wanted in route["events"]]


# ---- the schema ----------------------------------------------------------------------------------


@test
def everything_belongs_to_the_owner_and_nobody_else_has_rights(lab):
    store(lab)
    psql = session(lab, "")
    owned = """SELECT relname FROM pg_class WHERE relnamespace = 'ingot'::regnamespace
                 AND relowner <> 'ingot_owner'::regrole
               UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'ingot'::regnamespace
                 AND proowner <> 'ingot_owner'::regrole
               UNION ALL SELECT nspname FROM pg_namespace
               WHERE nspname = 'ingot' AND nspowner <> 'ingot_owner'::regrole"""
    equal(psql.ask(owned), [])
    # a role without name has those of PUBLIC
    public = """SELECT proname FROM pg_proc
                WHERE pronamespace = 'ingot'::regnamespace
                  AND has_function_privilege(0, oid, 'EXECUTE')
                UNION ALL SELECT relname FROM pg_class
                WHERE relnamespace = 'ingot'::regnamespace AND relkind IN ('r', 'p', 'v')
                  AND (has_table_privilege(0, oid, 'SELECT')
                       OR has_any_column_privilege(0, oid, 'INSERT'))
                UNION ALL SELECT 'schema' WHERE has_schema_privilege(0, 'ingot', 'USAGE')"""
    equal(psql.ask(public), [])
    equal(psql.ask("SELECT role FROM unnest('{ingot_writer,ingot_reader}'::name[]) AS role"
                   " WHERE has_function_privilege(role, 'ingot.accept_restore()', 'EXECUTE')"), [])
    for role in ("ingot_owner", "ingot_writer", "ingot_reader"):
        equal(psql.ask(f"SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication,"
                       f" rolbypassrls FROM pg_roles WHERE rolname = '{role}'"), [["f"] * 6])
    equal(psql.ask("SELECT oid::regprocedure FROM pg_proc WHERE prosecdef"
                   " AND pronamespace = 'ingot'::regnamespace"), [["ingot.make_segments()"]])


@test
def a_writer_can_insert_and_read_and_nothing_else(lab):
    psql = store(lab)
    psql.ask(insert([event()]))
    for table in SCHEMA_TABLES:
        psql.ask(f"SELECT * FROM ingot.{table} LIMIT 1")
        column = some_column(psql, f"ingot.{table}")
        for sql in (f"UPDATE ingot.{table} SET {column} = {column}",
                    f"DELETE FROM ingot.{table}",
                    f"TRUNCATE ingot.{table}",
                    f"SELECT * FROM ingot.{table} FOR UPDATE",
                    f"SELECT * FROM ingot.{table} FOR NO KEY UPDATE",
                    f"SELECT * FROM ingot.{table} FOR SHARE",
                    f"SELECT * FROM ingot.{table} FOR KEY SHARE",
                    f"DO $$ BEGIN LOCK TABLE ingot.{table} IN SHARE UPDATE EXCLUSIVE MODE; END $$",
                    f"DROP TABLE ingot.{table}",
                    f"ALTER TABLE ingot.{table} ADD COLUMN x int",
                    f"ALTER TABLE ingot.{table} DISABLE TRIGGER ALL",
                    f"CREATE INDEX ON ingot.{table} ({column})",
                    f"DROP TRIGGER refuse_change ON ingot.{table}",
                    f"CREATE TRIGGER x BEFORE INSERT ON ingot.{table} FOR EACH ROW"
                    " EXECUTE FUNCTION suppress_redundant_updates_trigger()"):
            refused(psql, sql, FORBIDDEN)
        psql.ask(f"GRANT ALL ON ingot.{table} TO PUBLIC")  # a mere warning: there is none to give
        given = f"SELECT has_table_privilege(0::oid, 'ingot.{table}'::regclass, 'SELECT')"
        equal(one(psql, given), "f")
    for sql in ("CREATE TABLE ingot.x (n int)", "CREATE VIEW ingot.x AS SELECT 1",
                "CREATE SEQUENCE ingot.x", "CREATE TYPE ingot.x AS ENUM ()",
                "CREATE FUNCTION ingot.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DROP SCHEMA ingot CASCADE", "DROP FUNCTION ingot.make_segments()",
                "ALTER SCHEMA ingot RENAME TO x", "DROP VIEW ingot.jobs",
                "SET session_replication_role = replica", "SET ROLE ingot_owner",
                "SELECT ingot.accept_restore()",
                "INSERT INTO ingot.epochs (epoch, system_identifier) VALUES (2, 1)",
                "INSERT INTO ingot.migrations DEFAULT VALUES"):
        refused(psql, sql, FORBIDDEN)
    segment = time.strftime("ingot.events_%Y%m%d", time.gmtime())
    refused(psql, f"SELECT * FROM {segment}", FORBIDDEN)
    refused(psql, f"DROP TABLE {segment}", FORBIDDEN)
    equal(one(psql, "SELECT count(*) FROM pg_class WHERE relname = 'x'"), "0")


@test
def what_ingot_and_the_database_set_cannot_be_given(lab):
    psql = store(lab)
    granted = """SELECT c.relname, string_agg(a.attname, ' ' ORDER BY a.attname)
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                 WHERE c.relnamespace = 'ingot'::regnamespace AND c.relkind IN ('r', 'p')
                   AND has_column_privilege('ingot_writer', c.oid, a.attnum, 'INSERT')
                 GROUP BY c.relname ORDER BY c.relname"""
    equal(psql.ask(granted), [
        ["added_jobs", "context data destination due_at event event_id id job parent_job_id"],
        ["checkpoints", "body cursor lane part parts taken_at"],
        ["events", "batch context data id jobs name received_at sent_at source"],
        ["heartbeats", "about lanes n scheduler"],
        ["notices", "event_id job seq"],
        ["retirements", "actor event_id reason"],
        ["routes", "body version"],
        ["transitions", "attempt due_at error event_id job owner seq state_after state_before"]])
    owner = session(lab, "")
    equal(owner.ask("SELECT DISTINCT privilege_type FROM information_schema.column_privileges"
                    " WHERE grantee = 'ingot_reader' AND table_schema = 'ingot'"), [["SELECT"]])


@test
def a_reader_can_read_and_nothing_else(lab):
    psql = store(lab)
    psql.ask(insert([event()]))
    reader = session(lab, "")
    reader.ask("SET ROLE ingot_reader")
    for name in [*SCHEMA_TABLES, "jobs", "history", "job_states"]:
        reader.ask(f"SELECT * FROM ingot.{name} LIMIT 1")
    for sql in (insert([event()]), "SELECT ingot.make_segments()", "SELECT ingot.accept_restore()",
                "INSERT INTO ingot.routes (version, body) VALUES (9, '{}')",
                "DELETE FROM ingot.events", "TRUNCATE ingot.routes", "CREATE TABLE ingot.x ()"):
        refused(reader, sql, FORBIDDEN)


@test
def triggers_refuse_changes_also_by_the_owner(lab):
    writer = store(lab)
    writer.ask(insert([event()]))
    psql = session(lab, "")
    psql.ask("""INSERT INTO ingot.added_jobs (event_id, job, id, destination, event)
                  SELECT id, 9, id, 'd', '*' FROM ingot.events;
                INSERT INTO ingot.transitions
                  (event_id, job, seq, attempt, state_before, state_after)
                  SELECT id, 0, 1, 1, 1, 3 FROM ingot.events;
                INSERT INTO ingot.notices (event_id, job, seq) SELECT id, 0, 1 FROM ingot.events;
                INSERT INTO ingot.retirements (event_id, actor, reason)
                  SELECT id, 'a', 'r' FROM ingot.events;
                INSERT INTO ingot.heartbeats (scheduler, n, about)
                  SELECT id, 1, '{}' FROM ingot.events;
                INSERT INTO ingot.checkpoints (taken_at, lane, part, parts, cursor, body)
                  VALUES (now(), 0, 0, 1, '', '');""")
    for role in ("ingot_owner", lab.server.user):
        psql.ask(f"SET ROLE {role}")
        tables = [table for table, in psql.ask(
            "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'ingot'::regnamespace"
            " AND relkind IN ('r', 'p') ORDER BY relname")]
        equal(len(tables), len(SCHEMA_TABLES) + len(SEGMENTED) * len(DAYS))
        for table in tables:
            refused(psql, f"TRUNCATE {table}", "23001")
            if one(psql, f"SELECT count(*) FROM {table}") == "0":
                continue
            column = some_column(psql, table)
            refused(psql, f"UPDATE {table} SET {column} = {column}", "23001")
            refused(psql, f"DELETE FROM {table}", "23001")
    for table in SCHEMA_TABLES:
        check(one(psql, f"SELECT count(*) FROM ingot.{table}") != "0", f"nothing tried on {table}")


# ---- segments ------------------------------------------------------------------------------------


def segments(psql):
    """The names of the segments of each parent, with the bounds as the server shows them."""
    found = {}
    for parent, name, bound in psql.ask("""
            SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid)
            FROM pg_inherits
            JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
            WHERE c.relnamespace = 'ingot'::regnamespace AND c.relkind = 'r' ORDER BY c.relname"""):
        found.setdefault(parent, {})[name] = re.findall(r"'(.+?)'", bound)
    return found


def drop_segments(psql, day):
    for parent in SEGMENTED:
        psql.ask(f"DROP TABLE ingot.{parent}_{day}")


def day_of(ahead):
    return time.strftime("%Y%m%d", time.gmtime(time.time() + ahead * 86400))


@test
def segments_cover_the_days_that_are_admitted_and_eight_more_without_a_gap(lab):
    psql = store(lab)
    psql.ask("SET timezone = 'UTC'")
    found = segments(psql)
    equal(sorted(found), SEGMENTED)
    for parent, days in found.items():
        equal(sorted(days), [f"{parent}_{day_of(ahead)}" for ahead in DAYS])
        bounds = [days[name] for name in sorted(days)]
        for before, after in zip(bounds, bounds[1:]):
            equal(before[1], after[0], parent)
        first, behind = bounds[7]
        midnight = int(time.time()) // 86400 * 86400
        if first.startswith("\\x"):
            equal(first, f"\\x{midnight - harness.EPOCH:08x}")
            equal(behind, f"\\x{midnight + 86400 - harness.EPOCH:08x}")
        else:
            equal(first, time.strftime("%Y-%m-%d 00:00:00+00", time.gmtime(midnight)))
    equal(one(psql, "SELECT ingot.make_segments()"), "0")
    for ahead in (-86400, 0, 82800):
        second = midnight + 86400 // 2 + ahead if abs(ahead) == 86400 else int(time.time()) + ahead
        psql.ask(insert([event(id=ksuid(second), jobs=[])]))
        name = time.strftime("events_%Y%m%d", time.gmtime(second))
        owner = session(lab, "")
        check(int(one(owner, f"SELECT count(*) FROM ingot.{name}")) > 0, name)


@test
def every_segment_has_what_its_parent_has(lab):
    store(lab)
    psql = session(lab, "")
    drop_segments(psql, day_of(8))  # the migrations changed the others
    psql.ask("SELECT ingot.make_segments()")
    shape = """
        SELECT (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
                                  || attstorage::text
                                  || coalesce(pg_get_expr(adbin, adrelid), ''), ', '
                                  ORDER BY attnum)
                FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = c.oid AND attnum > 0),
               (SELECT string_agg(d, ', ' ORDER BY d)
                FROM pg_constraint, pg_get_constraintdef(oid) AS d WHERE conrelid = c.oid),
               (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND indisvalid),
               (SELECT string_agg(tgname, ', ' ORDER BY tgname)
                FROM pg_trigger WHERE tgrelid = c.oid)
        FROM pg_class c WHERE oid = '{}'::regclass"""
    for parent in SEGMENTED:
        wanted = psql.ask(shape.format(f"ingot.{parent}"))
        matches(wanted[0][3], "refuse_change, refuse_truncate")
        for ahead in DAYS:
            equal(psql.ask(shape.format(f"ingot.{parent}_{day_of(ahead)}")), wanted, parent, ahead)


@test
def making_segments_waits_for_no_reader_and_makes_nobody_wait(lab):
    psql = store(lab)
    owner = session(lab, "")
    drop_segments(owner, day_of(8))
    idle = session(lab)
    idle.ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
    for table in SCHEMA_TABLES:
        idle.ask(f"SELECT count(*) FROM ingot.{table}")
    inserting = session(lab)
    inserting.ask("BEGIN")
    inserting.ask(insert([event()]))
    maker = session(lab)
    maker.ask("BEGIN")
    begun = time.monotonic()
    equal(one(maker, "SELECT ingot.make_segments()"), str(len(SEGMENTED)))
    check(time.monotonic() - begun < 1.5, "it has waited for somebody")
    # it has not committed yet, and others go on
    psql.ask("SET lock_timeout = '1s'")
    psql.ask(insert([event()]))
    for table in SCHEMA_TABLES:
        psql.ask(f"SELECT count(*) FROM ingot.{table}")
    maker.ask("COMMIT")
    idle.ask("SELECT count(*) FROM ingot.events")
    idle.ask("COMMIT")
    inserting.ask("COMMIT")
    equal(len(segments(psql)["events"]), len(DAYS))


@test
def of_two_that_make_segments_at_once_one_makes_them(lab):
    first = store(lab)
    owner = session(lab, "")
    for ahead in (7, 8):
        drop_segments(owner, day_of(ahead))
    first.ask("BEGIN")
    equal(one(first, "SELECT ingot.make_segments()"), str(2 * len(SEGMENTED)))
    second = session(lab)
    second.tell("SELECT ingot.make_segments()")
    wait_for(lambda: one(owner, "SELECT count(*) FROM pg_locks WHERE NOT granted"
                                " AND relation = 'ingot.events'::regclass") == "1",
             "the second one to wait")
    first.ask("COMMIT")
    equal(second.hear(), [["0"]])
    for days in segments(first).values():
        equal(len(days), len(DAYS))


@test
def making_segments_gives_up_with_a_clear_error_when_it_may_not_have_the_lock(lab):
    psql = store(lab)
    owner = session(lab, "")
    drop_segments(owner, day_of(8))
    owner.ask("BEGIN; LOCK TABLE ingot.events IN SHARE UPDATE EXCLUSIVE MODE")
    refused(psql, "SELECT ingot.make_segments()", "55P03")
    owner.ask("COMMIT")
    equal(one(psql, "SELECT ingot.make_segments()"), str(len(SEGMENTED)))


@test
def a_restore_begins_an_epoch_and_leaves_older_rows_as_they_are(lab):
    psql = store(lab)
    owner = session(lab, "")
    equal(owner.ask("SELECT epoch, system_identifier FROM ingot.epochs"),
          [["1", one(owner, "SELECT system_identifier FROM pg_control_system()")]])
    old = psql.ask(insert([event()]))[0][0]
    drop_segments(owner, day_of(8))
    owner.ask("SET ROLE ingot_owner")
    equal(one(owner, "SELECT ingot.accept_restore()"), "2")
    new = psql.ask(insert([event()]))[0][0]
    owner.ask("""INSERT INTO ingot.added_jobs (event_id, job, id, destination, event)
                   SELECT id, 9, id, 'd', '*' FROM ingot.events;
                 INSERT INTO ingot.notices (event_id, job, seq)
                   SELECT id, 0, 1 FROM ingot.events""")
    equal(sorted(psql.ask("SELECT ingot.ksuid_text(id), epoch FROM ingot.events")),
          sorted([[old, "1"], [new, "2"]]))
    for table in ("added_jobs", "notices"):
        equal(psql.ask(f"SELECT DISTINCT epoch FROM ingot.{table}"), [["2"]])
    psql.ask("SELECT ingot.make_segments()")
    equal(one(owner, "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute"
                     f" ON attrelid = adrelid AND attnum = adnum WHERE attname = 'epoch'"
                     f" AND adrelid = 'ingot.events_{day_of(8)}'::regclass"), "2")
    equal(one(owner, "SELECT ingot.accept_restore()"), "3")


# ---- ids and views -------------------------------------------------------------------------------


@test
def ids_in_sql_are_those_of_everybody_else(lab):
    psql = store(lab)
    ids = [ksuid() for _ in range(200)]
    ids += [ksuid(harness.EPOCH, bytes(16)), ksuid(harness.EPOCH + 2**32 - 1, b"\xff" * 16)]
    equal(ids[-2:], ["0" * 27, "aWgEPTl1tmebfsQzFP4bxwgy80V"])
    for text in ids:
        raw = one(psql, f"SELECT encode(ingot.ksuid_parse('{text}'), 'hex')")
        equal(harness.ksuid_text(bytes.fromhex(raw)), text)
        equal(one(psql, f"SELECT ingot.ksuid_text('\\x{raw}')"), text)
    for text in ("", "a" * 26, "0" * 28, "aWgEPTl1tmebfsQzFP4bxwgy80W", "z" * 27, "-" * 27,
                 "0" * 26 + "é", "0" * 26 + " "):
        refused(psql, f"SELECT ingot.ksuid_parse('{text}')", NOT_ACCEPTABLE, text)
    refused(psql, "SELECT ingot.ksuid_text('\\x00')", NOT_ACCEPTABLE)
    equal(psql.ask("SELECT ingot.ksuid_text(NULL), ingot.ksuid_parse(NULL)"), [[None, None]])


@test
def views_show_jobs_and_their_histories_to_people(lab):
    psql = store(lab)
    due = "2026-01-02T03:04:05.678901Z"
    [[id_, _]] = psql.ask(insert([event(
        data={"n": 1}, context=[], jobs=[
            {"destination": "mail", "event": "order.created"},
            {"destination": "mail", "event": "*", "data": 7,
             "transitions": [{"state_after": "awaiting", "created_at": due}]}])]))
    owner = session(lab, "")
    owner.ask(f"""SET timezone = 'UTC';
        INSERT INTO ingot.transitions
          (event_id, job, seq, attempt, state_before, state_after, owner)
          SELECT id, 0, 1, 1, 1, 3, id FROM ingot.events;
        INSERT INTO ingot.transitions
          (event_id, job, seq, attempt, state_before, state_after, error)
          SELECT id, 0, 2, 1, 3, 6, '{{"message":"no"}}' FROM ingot.events;
        INSERT INTO ingot.added_jobs (event_id, job, id, destination, event, parent_job_id, context)
          SELECT id, 2, ingot.ksuid_parse('{ksuid()}'), 'late', '*', id, '3' FROM ingot.events""")
    equal(owner.ask("SELECT event_id, job, destination, event, source, name, context, data,"
                    " parent_job_id FROM ingot.jobs ORDER BY job"),
          [[id_, "0", "mail", "order.created", "test", "order.created", "[]", '{"n": 1}', None],
           [id_, "1", "mail", "*", "test", "order.created", "[]", "7", None],
           [id_, "2", "late", "*", "test", "order.created", "3", '{"n": 1}', id_]])
    equal(owner.ask("SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at,"
                    " error FROM ingot.history ORDER BY job, seq"),
          [[id_, "0", "0", "0", None, "acknowledged", None, None, None],
           [id_, "0", "1", "1", "acknowledged", "executing", id_, None, None],
           [id_, "0", "2", "1", "executing", "discarded", None, None, '{"message":"no"}'],
           [id_, "1", "0", "0", None, "awaiting", None, "2026-01-02 03:04:05.678901+00", None],
           [id_, "2", "0", "0", None, "acknowledged", None, None, None]])
    equal(owner.ask("SELECT event_id, job, destination, event, state, attempt, seq, due_at, error"
                    " FROM ingot.job_states ORDER BY job"),
          [[id_, "0", "mail", "order.created", "discarded", "1", "2", None, '{"message":"no"}'],
           [id_, "1", "mail", "*", "awaiting", "0", "0", "2026-01-02 03:04:05.678901+00", None],
           [id_, "2", "late", "*", "acknowledged", "0", "0", None, None]])
    # the id that is made: the second of the row, the event's middle, job and number
    raw = bytes.fromhex(one(psql, "SELECT encode(id, 'hex') FROM ingot.events"))
    made = ("SELECT id, extract(epoch FROM date_trunc('second', created_at))::bigint, job, seq"
            " FROM ingot.history")
    for text, second, job, seq in owner.ask(made):
        middle = raw[4:16] + int(job).to_bytes(2, "big") + int(seq).to_bytes(2, "big")
        equal(text, ksuid(int(second), middle))
    equal(len({row[0] for row in owner.ask(made)}), 5)


# ---- what comes in -------------------------------------------------------------------------------


def c_string(literals):
    """The bytes of C string literals that stand side by side."""
    escapes = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "b": 8, '"': 34, "\\": 92}
    result = bytearray()
    for literal in re.findall(r'"((?:[^"\\]|\\.)*)"', literals):
        for hexadecimal, octal, letter, plain in re.findall(
                r"\\x([0-9a-fA-F]+)|\\([0-7]{1,3})|\\(.)|([^\\])", literal):
            if plain:
                result += plain.encode()
            else:
                result.append(int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal
                              else escapes[letter])
    return bytes(result)


def json_cases():
    """The cases of tests/json/cases.h: whether the text is valid, and its bytes."""
    path = os.path.join(os.path.dirname(__file__), "..", "json", "cases.h")
    with open(path, encoding="utf-8") as file:
        table = file.read().split("json_cases[] = {", 1)[1]
    table = re.sub(r'("(?:[^"\\]|\\.)*")|/\*.*?\*/', r"\1", table, flags=re.DOTALL)
    found = re.findall(r'\b([YN])\(((?:\s*"(?:[^"\\]|\\.)*")+)\s*\)', table)
    equal(len(found), len(re.findall(r"\b[YN]\(", re.sub(r'"(?:[^"\\]|\\.)*"', "", table))))
    return [(kind == "Y", c_string(literals)) for kind, literals in found]


@test
def json_is_judged_as_everywhere_else_and_kept_byte_by_byte(lab):
    psql = store(lab)
    cases = json_cases()
    check(len(cases) > 500, len(cases))
    psql.ask("BEGIN")
    for valid, text in cases:
        psql.ask("SAVEPOINT one")
        given = f"convert_from('\\x{text.hex()}', 'UTF8')"
        checked = f"SELECT ingot.check_json({given}::json)"
        inserted = f"""SELECT id FROM ingot.insert_queue(('{{"events":[{{"source":"s","name":"n",'
                       || '"jobs":[{{"destination":"d","event":"n","data":' || {given}
                       || '}}],"data":' || {given} || '}}]}}')::json)"""
        if valid:
            psql.ask(checked)
            [[id_]] = psql.ask(inserted)
            kept = psql.ask("SELECT encode(convert_to(data::text, 'UTF8'), 'hex'),"
                            " encode(convert_to(jobs -> 0 ->> 'destination', 'UTF8'), 'hex'),"
                            " encode(convert_to((jobs -> 0 -> 'data')::text, 'UTF8'), 'hex')"
                            f" FROM ingot.events WHERE id = ingot.ksuid_parse('{id_}')")
            raw = text.strip(b" \t\r\n").hex()
            equal(kept, [[raw, b"d".hex(), raw]], text)
        else:
            refused(psql, checked, NOT_JSON, text)
            psql.ask("ROLLBACK TO one")
            refused(psql, inserted, (*NOT_JSON, NOT_ACCEPTABLE), text)
        psql.ask("ROLLBACK TO one")
    psql.ask("ROLLBACK")


@test
def payloads_nest_64_levels_and_those_of_jobs_62(lab):
    psql = store(lab)

    def nested(levels):
        return "[" * (levels - levels // 2) + '{"a":' * (levels // 2) + "1" + "}" * (levels // 2) \
            + "]" * (levels - levels // 2)

    def queue(data, job):
        return ('{"events":[{"source":"s","name":"n","jobs":[{"destination":"d","event":"*","data":'
                + job + '}],"data":' + data + "}]}")

    for data, job, good in ((64, 62, True), (65, 1, False), (1, 63, False), (5000, 1, False)):
        sql = insert(queue(nested(data), nested(job)))
        if good:
            psql.ask(sql)
        else:
            matches(refused(psql, sql, "22P02"), "nested too deep")
    psql.ask(f"SELECT ingot.check_json('{nested(64)}')")
    refused(psql, f"SELECT ingot.check_json('{nested(65)}')", "22P02")


@test
def what_the_gateway_refuses_is_refused_with_its_place(lab):
    psql = store(lab)
    now = int(time.time())
    job, id_ = {"destination": "d", "event": "e"}, ksuid()
    awaiting = {"state_after": "awaiting", "created_at": "2026-01-01T00:00:00Z"}

    def born(**fields):
        return event(jobs=[{**job, "transitions": [{**awaiting, **fields}]}])

    cases = [
        ("[]", "Queue must be an object"), ("1", "Queue must be an object"),
        ('"x"', "Queue must be an object"),
        ({"event": []}, "Queue/event unknown field"),
        ({"events": {}}, "Queue/Events must be an array"),
        ({"events": [], "more": 1}, "Queue/more unknown field"),
        ([1], r"Queue/Events\[0\] must be an object"), ([None], r"Events\[0\] must be an object"),
        ([event(), event(), []], r"Queue/Events\[2\] must be an object"),
        ([event(color="red")], r"Events\[0\]/color unknown field"),
        ([event(sentAt="2026-01-01T00:00:00Z")], r"/sentAt unknown field"),
        ([event(), event(name="")], r"Queue/Events\[1\]/Name must not be empty"),
        ([event(name=None)], "/Name must not be empty"),
        ([{"source": "s"}], "/Name must not be empty"),
        ([{"name": "n"}], "/Source must not be empty"),
        ([event(source="")], "/Source must not be empty"),
        ([event(name=1)], "/Name must be a string"),
        ([event(source=[])], "/Source must be a string"),
        ([event(name="n" * 256)], "/Name must not be longer than 255 bytes"),
        ([event(name="é" * 128)], "/Name must not be longer than 255 bytes"),
        ([event(source="a\tb")], "/Source must be without control characters"),
        ([event(source="a\x7fb")], "/Source must be without control characters"),
        ([event(name="*")], r'/Name must not be "\*"'),
        ([event(id=1)], "/ID must be a string"),
        ([event(id="x")], "/ID must be a valid KSUID: .*27"),
        ([event(id="0" * 27)], "/ID must be a valid KSUID: all zero"),
        ([event(id="-" * 27)], "/ID must be a valid KSUID"),
        ([event(id="z" * 27)], "/ID must be a valid KSUID: .*beyond"),
        ([event(id=ksuid(now - 7 * 86400 - 5))], "/ID is older than 7 days"),
        ([event(id=ksuid(now + 86400 + 60))], "/ID is more than a day ahead"),
        ([event(ingested_at=None)], "/IngestedAt is set by Ingot"),
        ([event(ingested_at="2026-01-01T00:00:00Z")], "/IngestedAt is set by Ingot"),
        ([event(sent_at=1)], "/SentAt must be a string"),
        ([event(data="x" * (8 << 20))], "/Data must not be longer than 8 MiB"),
        ([event(context="x" * (8 << 20))], "/Context must not be longer than 8 MiB"),
        ([event(jobs={})], "/Jobs must be an array"),
        ([event(jobs=[1])], r"/Jobs\[0\] must be an object"),
        ([event(jobs=[job, {**job, "event": "*", "color": 1}])], r"/Jobs\[1\]/color unknown field"),
        ([event(jobs=[{**job, "parent_job_id": ksuid()}])], "/parent_job_id unknown field"),
        ([event(jobs=[{"event": "e"}])], "/Destination must not be empty"),
        ([event(jobs=[{**job, "destination": 1}])], "/Destination must be a string"),
        ([event(jobs=[{"destination": "d"}])], "/Event must not be empty"),
        ([event(jobs=[{**job, "event": "x" * 256}])], "/Event must not be longer than 255"),
        ([event(jobs=[{**job, "id": "x"}])], r"/Jobs\[0\]/ID must be a valid KSUID"),
        ([event(jobs=[{**job, "created_at": "now"}])], r"/CreatedAt must be a time"),
        ([event(jobs=[job, job])], "/Jobs must be at most two for a destination"),
        ([event(jobs=[job, {**job, "event": "other"}])], "at most two for a destination"),
        ([event(jobs=[{**job, "event": "*"}, {**job, "event": "*"}])], "at most two for a dest"),
        ([event(jobs=[{**job, "id": id_}, {**job, "destination": "e", "id": id_}])],
         "id each of its own"),
        ([event(jobs=[{**job, "transitions": {}}])], "/Transitions must be an array of one"),
        ([event(jobs=[{**job, "transitions": []}])], "/Transitions must be an array of one"),
        ([event(jobs=[{**job, "transitions": [1]}])], r"/Transitions\[0\] must be an object"),
        ([event(jobs=[{**job, "transitions": [{}]}])], "/StateAfter must be acknowledged"),
        ([born(state_after="executing")], "/StateAfter must be acknowledged or awaiting"),
        ([born(state_after=1)], "/StateAfter must be a string"),
        ([born(state_before="awaiting")], "/StateBefore must be null"),
        ([born(attempt=1)], "/Attempt must be 0"), ([born(attempt="0")], "/Attempt must be 0"),
        ([born(error={})], "/Error must be absent"), ([born(id="x")], "/ID must be a valid KSUID"),
        ([born(created_at="x")], "/CreatedAt must be a time"),
        ([born(color=1)], "/color unknown field"),
    ]
    before = rows_of(psql)
    for queue, message in cases:
        matches(refused(psql, insert(queue), NOT_ACCEPTABLE), message)
    many = '{"events":[' + ",".join([json.dumps(event(jobs=[]))] * 10001) + "]}"
    matches(refused(psql, insert(many), NOT_ACCEPTABLE), "must not be more than 10000")
    long = '{"events":[]' + " " * (16 << 20) + "}"
    matches(refused(psql, insert(long), NOT_ACCEPTABLE), "16 MiB")
    refused(psql, "SELECT ingot.insert_queue(NULL)", NOT_ACCEPTABLE)
    refused(psql, "SELECT ingot.emit(NULL, '1')", NOT_ACCEPTABLE)
    refused(psql, "SELECT ingot.emit('n', '1', NULL)", NOT_ACCEPTABLE)
    equal(rows_of(psql), before)


@test
def times_are_those_of_rfc_3339(lab):
    psql = store(lab)
    psql.ask("SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German'")
    good = [("2020-10-30T13:19:54.032Z", "2020-10-30T13:19:54.032000"),
            ("2020-10-30t13:19:54z", "2020-10-30T13:19:54.000000"),
            ("2020-10-30T13:19:54.123456789Z", "2020-10-30T13:19:54.123456"),
            ("2020-10-30T13:19:54+05:45", "2020-10-30T07:34:54.000000"),
            ("2020-10-30T13:19:54-23:59", "2020-10-31T13:18:54.000000"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000"),
            ("1969-12-31T23:30:00-01:00", "1970-01-01T00:30:00.000000"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000"),
            ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000"),
            ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00.000000"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999")]
    shown = "to_char(sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    for text, wanted in good:
        [[id_, _]] = psql.ask(insert([event(sent_at=text)]))
        equal(stored(psql, id_, shown), wanted, text)
    for text in ("", "2020-10-30", "2020-10-30T13:19:54", "2020-10-30 13:19:54Z", "now", "infinity",
                 "2020-10-30T13:19Z", "2020-10-30T13:19:54.Z", "2020-10-30T13:19:54.1234567890Z",
                 "2020-10-30T13:19:54+24:00", "2020-10-30T13:19:54+00:60", "2020-10-30T24:00:00Z",
                 "2020-13-01T00:00:00Z", "2020-00-01T00:00:00Z", "2020-01-00T00:00:00Z",
                 "2023-02-29T00:00:00Z", "2020-04-31T00:00:00Z", "2020-01-01T00:60:00Z",
                 "2020-01-01T12:00:60Z", "2020-01-01T00:00:61Z", "1969-12-31T23:59:59Z",
                 "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-00:01", "2020-10-30T13:19:54Z ",
                 "２020-10-30T13:19:54Z"):
        matches(refused(psql, insert([event(sent_at=text)]), NOT_ACCEPTABLE, text), "/SentAt must")


@test
def what_is_absent_and_what_is_null_is_as_over_http(lab):
    psql = store(lab)
    for queue in ("null", "{}", '{"events":null}', '{"events":[]}'):
        equal(psql.ask(insert(queue)), [], queue)
    [[id_, status]] = psql.ask(insert([event(
        id=None, sent_at=None, jobs=None, data=None, received_at={"any": "thing"})]))
    equal(status, "stored")
    [row] = psql.ask("SELECT context::text, data::text, sent_at,"
                     " received_at > now() - interval '1 min', json_array_length(jobs)"
                     " FROM ingot.events")
    equal(row, [None, "null", None, "t", str(len(routed("order.created", ROUTES)))])


@test
def ids_that_are_made_are_of_now_and_grow(lab):
    psql = store(lab)
    before = int(time.time())
    psql.ask("BEGIN")
    ids = [row[0] for _ in range(20) for row in psql.ask(insert([event()] * 5))]
    psql.ask("COMMIT")
    equal(ids, sorted(set(ids)))
    for born, raw in psql.ask("SELECT jobs, encode(id, 'hex') FROM ingot.events"):
        second = int(raw[:8], 16) + harness.EPOCH
        check(before - 1 <= second <= time.time() + 1, second)
        jobs = json.loads(born)
        for job in jobs:
            hexadecimal = one(psql, f"SELECT encode(ingot.ksuid_parse('{job['id']}'), 'hex')")
            equal(hexadecimal[:8], raw[:8], "a job carries the second of its event")
        equal(len({job["id"] for job in jobs}), len(jobs))
    # given ids as well: the job has the second of the given one
    given = ksuid(before - 86400)
    psql.ask(insert([event(id=given)]))
    raw = stored(psql, given, "encode(id, 'hex')")
    for job in json.loads(stored(psql, given, "jobs")):
        equal(one(psql, f"SELECT encode(ingot.ksuid_parse('{job['id']}'), 'hex')")[:8], raw[:8])


@test
def jobs_are_made_from_the_newest_routes_as_the_gateway_makes_them(lab):
    psql = store(lab, routes=None)
    matches(refused(psql, insert([event()]), "55000"), "no routes are published")
    psql.ask(insert([event(jobs=[])]))
    publish(lab, [])
    [[id_, _]] = psql.ask(insert([event()]))
    equal(stored(psql, id_, "jobs"), "[]")
    publish(lab, ROUTES[:1], version=2)
    publish(lab, ROUTES, version=3)
    for name in ("order.paid", "order.created", "else", 'a"b\\c', "é*", "order.pai"):
        [[id_, _]] = psql.ask(insert([event(name=name)]))
        text = stored(psql, id_, "jobs")
        jobs = json.loads(text)
        equal([(job["destination"], job["event"]) for job in jobs], routed(name, ROUTES), name)
        equal(text, json.dumps(jobs, separators=(",", ":"), ensure_ascii=False))
        for job in jobs:
            equal(list(job), ["id", "destination", "event"])


@test
def given_jobs_are_written_as_ingot_writes_them(lab):
    psql = store(lab)
    id_ = ksuid()
    psql.ask(insert(
        '{"events":[{"source":"s","name":"n","jobs":['
        '{"data": {"a" : [1.0, "\\u00e9"]} ,"event":"x\\u00e9",'
        f'"destination":"a \\"b\\" \\\\ c","id":"{id_}","context":null}},'
        '{"destination":"d","event":"*",'
        '"transitions":[{"state_after":"awaiting","state_before":null,"attempt":0,'
        '"created_at":"2026-01-02T03:04:05.678901Z"}]},'
        '{"destination":"e","event":"*","transitions":[null]},'
        '{"destination":"f","event":"*","transitions":[{"state_after":"acknowledged"}]}]}]}'))
    text = one(psql, "SELECT jobs::text FROM ingot.events")
    ids = [job["id"] for job in json.loads(text)]
    equal(ids[0], id_)
    equal(text,
          f'[{{"id":"{ids[0]}","destination":"a \\"b\\" \\\\ c","event":"xé","context":null,'
          '"data":{"a" : [1.0, "\\u00e9"]}},'
          f'{{"id":"{ids[1]}","destination":"d","event":"*","due_at":1767323045678901}},'
          f'{{"id":"{ids[2]}","destination":"e","event":"*"}},'
          f'{{"id":"{ids[3]}","destination":"f","event":"*"}}]')


@test
def ids_are_admitted_from_7_days_ago_to_a_day_ahead(lab):
    psql = store(lab)
    now = int(time.time())
    for second in (now - 7 * 86400 + 30, now + 86400 - 30):
        equal(psql.ask(insert([event(id=ksuid(second))]))[0][1], "stored")


# ---- again, and rolled back ----------------------------------------------------------------------


@test
def the_same_event_again_is_already_there_and_another_one_a_conflict(lab):
    psql = store(lab)
    jobs = [{"destination": "d", "event": "*", "data": [1, 2]}, {"destination": "e", "event": "*"}]
    given = event(id=ksuid(), data={"n": 1}, context=None, sent_at="2026-01-01T00:00:00Z")
    with_jobs = event(id=ksuid(), jobs=jobs)
    equal(psql.ask(insert([given, with_jobs])),
          [[given["id"], "stored"], [with_jobs["id"], "stored"]])
    equal(psql.ask(insert([with_jobs, given])),
          [[with_jobs["id"], "already there"], [given["id"], "already there"]])
    # the jobs were made: other routes make no other event
    publish(lab, ROUTES[:1], version=2)
    equal(psql.ask(insert([given])), [[given["id"], "already there"]])
    equal(psql.ask(insert([{**with_jobs, "jobs": None}])), [[with_jobs["id"], "already there"]])
    before = rows_of(psql)
    others = [{**given, "data": {"n": 2}}, {**given, "source": "x"}, {**given, "name": "x"},
              {**given, "context": 1}, {**given, "sent_at": "2026-01-01T00:00:01Z"},
              {key: value for key, value in given.items() if key != "data"},
              {key: value for key, value in given.items() if key != "context"},
              {**given, "jobs": jobs}, {**with_jobs, "jobs": jobs[:1]},
              {**with_jobs, "jobs": jobs[::-1]},
              {**with_jobs, "jobs": [{**jobs[0], "id": ksuid()}, jobs[1]]},
              {**with_jobs, "jobs": [{**jobs[0], "data": [1, 3]}, jobs[1]]}]
    for other in others:
        message = refused(psql, insert([event(), event(id=ksuid()), other]), TAKEN)
        matches(message, rf"Queue/Events\[2\]/ID is the id of another event: {other['id']}")
    equal(rows_of(psql), before)
    same = f'{{"id":"{given["id"]}","source":"test","name":"order.created","data":{{"n":1}},' \
           '"context":null,"sent_at":"2026-01-01T00:00:00Z"}'
    refused(psql, insert(f'{{"events":[{same}]}}'), TAKEN, "other bytes are other contents")


@test
def an_id_twice_in_a_queue_is_stored_once(lab):
    psql = store(lab)
    twice, once = event(id=ksuid()), event(id=ksuid())
    equal(psql.ask(insert([twice, once, twice])),
          [[twice["id"], "stored"], [once["id"], "stored"], [twice["id"], "already there"]])
    equal(rows_of(psql)["events"], 2)
    another = event(id=ksuid())
    matches(refused(psql, insert([another, {**another, "data": 1}]), TAKEN), r"Events\[1\]/ID")
    equal(rows_of(psql)["events"], 2)


@test
def an_id_that_is_being_inserted_elsewhere_waits_for_the_outcome(lab):
    first, second = store(lab), session(lab)
    owner = session(lab, "")
    for end, status in (("COMMIT", "already there"), ("ROLLBACK", "stored")):
        given = event(id=ksuid())
        first.ask("BEGIN")
        first.ask(insert([given]))
        second.tell(insert([given]))
        wait_for(lambda: one(owner, "SELECT count(*) FROM pg_locks WHERE NOT granted") == "1",
                 "the second one to wait")
        first.ask(end)
        equal(second.hear(), [[given["id"], status]])
    given = event(id=ksuid())
    first.ask("BEGIN")
    first.ask(insert([given]))
    refused(second, insert([given]), "55P03")
    first.ask("COMMIT")


@test
def rolled_back_leaves_nothing(lab):
    psql = store(lab)
    before = rows_of(psql)
    psql.ask("BEGIN")
    psql.ask(insert([event(id=ksuid())] * 3))
    one(psql, "SELECT ingot.emit('order.paid', '{}')")
    equal(rows_of(psql)["events"], 2)
    psql.ask("ROLLBACK")
    equal(rows_of(psql), before)
    psql.ask("BEGIN")
    psql.ask("SAVEPOINT s")
    psql.ask(insert([event()]))
    psql.ask("ROLLBACK TO s")
    kept = psql.ask(insert([event()]))[0][0]
    psql.ask("COMMIT")
    equal(psql.ask("SELECT ingot.ksuid_text(id) FROM ingot.events"), [[kept]])
    refused(psql, insert([event(), event(name="")]), NOT_ACCEPTABLE)
    equal(rows_of(psql)["events"], 1)


@test
def the_transaction_of_an_event_is_committed_synchronously(lab):
    psql = store(lab)
    show = "SELECT current_setting('synchronous_commit')"
    for given, wanted in (("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"),
                          ("remote_apply", "remote_apply")):
        psql.ask(f"SET synchronous_commit = {given}")
        psql.ask("BEGIN")
        psql.ask(insert([event()]))
        equal(one(psql, show), wanted)
        psql.ask("COMMIT")
        equal(one(psql, show), given)


@test
def inserting_in_sql_notifies_nobody(lab):
    psql, listener = store(lab), session(lab)
    listener.ask("LISTEN ingot")
    psql.ask(insert([event()] * 3))
    one(psql, "SELECT ingot.emit('order.paid', '{}')")
    equal(listener.ask("SELECT 1"), [["1"]])
    psql.ask("NOTIFY ingot")  # which would be seen
    check(len(listener.ask("SELECT 1")) > 1, "nothing is heard at all")


@test
def no_row_is_ever_updated(lab):
    psql = store(lab)
    given = event(id=ksuid())
    for _ in range(3):
        psql.ask(insert([given, event()]))
    refused(psql, insert([{**given, "name": "x"}]), TAKEN)
    owner = session(lab, "")
    owner.ask("SELECT ingot.accept_restore()")
    for asked in (psql, owner):  # what a session has counted it tells when it ends
        asked.close()
    owner = session(lab, "")
    counted = "SELECT coalesce(sum({}), 0) FROM pg_stat_user_tables WHERE schemaname = 'ingot'"
    wait_for(lambda: int(one(owner, counted.format("n_tup_ins"))) >= 4, "the counters")
    equal(owner.ask("SELECT relname, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
                    " WHERE schemaname = 'ingot' AND n_tup_upd + n_tup_del > 0"), [])


# ---- with everything else ------------------------------------------------------------------------


@test
def emit_stores_one_event_and_returns_its_id(lab):
    psql = store(lab)
    id_ = one(psql, """SELECT ingot.emit('order.paid', ' {"a" : 1} ', context => '[ ]')""")
    equal(psql.ask("SELECT ingot.ksuid_text(id), source, name, data::text, context::text,"
                   " json_array_length(jobs) FROM ingot.events"),
          [[id_, "sql", "order.paid", '{"a" : 1}', "[ ]", str(len(routed("order.paid", ROUTES)))]])
    id_ = one(psql, "SELECT ingot.emit('a \"b\" é', NULL, 'x\\y')")
    equal(psql.ask("SELECT source, name, data, context FROM ingot.events"
                   f" WHERE id = ingot.ksuid_parse('{id_}')"), [["x\\y", 'a "b" é', None, None]])
    shown = lab.run("show", id_)
    equal(shown.returncode, 0, shown.stderr)
    matches(shown.stdout, id_)
    lab.verify()


@test
def an_event_from_sql_is_delivered_as_one_over_http(lab):
    lab.use_postgres()
    sink = lab.sink()
    target = {"kind": "http", "url": sink.url, "addresses": "any"}
    daemon = lab.daemon({"all": {**target, "events": ["*"]},
                         "both": {**target, "events": ["*", "order.created"]},
                         "none": {**target, "events": ["something.else"]}})
    psql = session(lab)
    [over_http] = daemon.post([event(data={"n": 1})]).ids()
    [[in_sql, _]] = psql.ask(insert([event(data={"n": 1})]))
    psql.ask("BEGIN")
    [[undone, _]] = psql.ask(insert([event(data={"n": 2})]))
    psql.ask("ROLLBACK")
    wait_for(lambda: len(sink.accepted()) >= 6, "the deliveries")
    lab.drain(daemon)
    delivered = [entry["event"] for entry in sink.accepted()]
    equal(sorted(delivered), sorted([over_http] * 3 + [in_sql] * 3))
    check(undone not in delivered, "what was rolled back was delivered")
    texts = [re.sub(r'"id":"\w{27}"', '"id"', stored(psql, id_, "jobs"))
             for id_ in (over_http, in_sql)]
    equal(texts[0], texts[1])
    daemon.terminate()
    lab.verify()


@test
def the_examples_of_the_manual_work(lab):
    store(lab)
    path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "enqueue-in-sql.md")
    with open(path, encoding="utf-8") as file:
        examples = re.findall(r"^```sql\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    check(len(examples) >= 5, examples)
    role = f"shop_{os.getpid()}"  # a role is of the whole server
    psql = session(lab, "")
    try:
        for example in examples:
            psql.ask(re.sub(r"\b(ROLE|TO) shop\b", rf"\1 {role}", example))
        equal(psql.ask("SELECT name, count(*) FROM ingot.events GROUP BY name ORDER BY name"),
              [["order.created", "4"], ["order.paid", "3"]])
        newest = "SELECT data ->> 'total' FROM ingot.events ORDER BY id DESC LIMIT 1"
        equal(one(psql, newest), "7.5")
        # the trigger is for people without any right on the schema
        psql.ask("GRANT INSERT ON orders TO pg_monitor; SET ROLE pg_monitor")
        psql.ask("INSERT INTO orders (total) VALUES (1)")
        refused(psql, "SELECT ingot.emit('order.created', '1')", FORBIDDEN)
        psql.ask("RESET ROLE")
    finally:
        psql.ask(f"RESET ROLE; DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


if __name__ == "__main__":
    sys.exit(harness.main())
