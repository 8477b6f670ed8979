-- The statements of the adapter, apart from those that are functions of the schema.

-- ---- postgres.c ----

-- name: check_server
SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
       current_setting('fsync')::bool, current_setting('default_transaction_read_only')::bool,
       current_setting('server_encoding') = 'UTF8' AND current_setting('client_encoding') = 'UTF8',
       clock_timestamp(), to_regclass('ingot.migrations') IS NOT NULL, pg_backend_pid()

-- name: check_life
SELECT e.epoch, e.system_identifier = c.system_identifier,
       has_table_privilege('ingot.events', 'UPDATE'), current_setting('full_page_writes')::bool
FROM ingot.epochs e, pg_control_system() c ORDER BY e.epoch DESC LIMIT 1

-- name: ledger_exists
SELECT to_regclass('ingot.migrations') IS NOT NULL

-- name: ledger
SELECT version, name, up_sha256, direction = 'down', created_at FROM ingot.migrations ORDER BY n

-- One after another: of two who make a store at once the second finds it made.
-- What was there before the schema is left as it is, with no right asked for.
-- name: ledger_begin
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT pg_advisory_xact_lock(7523371, 1);
DO $$
BEGIN
  IF to_regnamespace('ingot') IS NULL THEN
    CREATE SCHEMA ingot;
  END IF;
  IF to_regclass('ingot.migrations') IS NULL THEN
    CREATE TABLE ingot.migrations (
      n          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      version    bigint      NOT NULL,
      name       text        NOT NULL,
      direction  text        NOT NULL CHECK (direction IN ('up', 'down')),
      up_sha256  text        NOT NULL CHECK (length(up_sha256) = 64),
      created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
  END IF;
END
$$;

-- name: ledger_insert
INSERT INTO ingot.migrations (version, name, direction, up_sha256)
SELECT $1, $2, $3, $4
WHERE coalesce((SELECT direction FROM ingot.migrations WHERE version = $1 ORDER BY n DESC LIMIT 1),
               'none') <> $3
RETURNING n

-- ---- presence.c ----

-- name: add_heartbeat
INSERT INTO ingot.heartbeats (scheduler, n, lanes, about) VALUES ($1, $2, $3, $4::json)

-- name: end_blockers
SELECT ingot.end_blockers($1 * interval '1 microsecond')

-- name: newest_heartbeats
SELECT clock_timestamp(), h.scheduler, h.n, h.lanes, h.about, h.created_at
FROM (SELECT) AS once
LEFT JOIN (
  SELECT DISTINCT ON (scheduler) scheduler, n, lanes, about, created_at
  FROM ingot.heartbeats
  WHERE created_at > statement_timestamp() - $1 * interval '1 microsecond'
  ORDER BY scheduler, created_at DESC, n DESC
) AS h ON true

-- name: add_checkpoints
INSERT INTO ingot.checkpoints (taken_at, lane, part, parts, cursor, body)
SELECT now(), g.* FROM unnest($1, $2, $3, $4, $5) AS g

-- name: newest_checkpoints
SELECT l.lane, c.taken_at, c.cursor, c.bytes
FROM unnest($1) AS l (lane)
CROSS JOIN LATERAL (
  SELECT taken_at, max(cursor) AS cursor, sum(octet_length(body)) AS bytes
  FROM ingot.checkpoints
  WHERE lane = l.lane AND taken_at < $2
  GROUP BY taken_at
  HAVING count(*) = max(parts) AND min(parts) = max(parts) AND min(cursor) = max(cursor)
  ORDER BY taken_at DESC LIMIT 1
) AS c
ORDER BY l.lane

-- name: checkpoint_bodies
SELECT w.lane, c.body
FROM unnest($1, $2) AS w (lane, taken_at)
CROSS JOIN LATERAL (
  SELECT part, body FROM ingot.checkpoints WHERE lane = w.lane AND taken_at = w.taken_at OFFSET 0
) AS c
ORDER BY w.lane, c.part

-- name: make_segments
SELECT ingot.make_segments()

-- name: settings
SELECT current_setting('server_version'), current_setting('synchronous_commit'),
       current_setting('fsync'), current_setting('full_page_writes'), current_setting('wal_level'),
       current_setting('max_connections'),
       CASE WHEN pg_backend_pid() = $1 THEN 'no' ELSE 'yes' END, current_user::text,
       coalesce((SELECT max(epoch) FROM ingot.epochs)::text, 'none'),
       coalesce(s.first, 'none'), coalesce(s.last, 'none'),
       CASE WHEN pg_is_in_recovery() THEN 'yes' ELSE 'no' END
FROM (
  SELECT min(right(c.relname, 8)) AS first, max(right(c.relname, 8)) AS last
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'ingot.events'::regclass
) AS s

-- name: accept_restore
SELECT ingot.accept_restore()

-- ---- commit.c ----

-- name: begin_writing
BEGIN ISOLATION LEVEL READ COMMITTED

-- A plan of its own for a call would hold a copy of each of its arrays. No lock is waited for
-- longer than that.
-- name: durable
SELECT set_config('synchronous_commit', 'on', true), pg_current_xact_id(),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('lock_timeout', '2s', true)

-- Of a transaction that does not begin with the above.
-- name: wait_briefly
SELECT set_config('lock_timeout', '2s', true)

-- What insert_events() and insert_transitions() do with one row, without a call
-- (docs/decisions/0021).
-- name: insert_event
INSERT INTO ingot.events (id, source, name, context, data, jobs, sent_at, received_at)
VALUES ($1, $2, $3, $4::json, $5::json, $6::json, $7, coalesce($8, clock_timestamp()))
ON CONFLICT DO NOTHING
RETURNING id

-- name: insert_transition
INSERT INTO ingot.transitions
  (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
VALUES ($1, $2, $3, $4, $5::int, $6::int, $7, $8, $9::json)
ON CONFLICT DO NOTHING
RETURNING event_id, job, seq

-- name: insert_events
SELECT * FROM ingot.insert_events($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_transitions
SELECT * FROM ingot.insert_transitions($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: insert_alike
SELECT ingot.insert_alike($1, $2, $3, $4, $5, $6, $7)

-- name: add_chains
SELECT * FROM ingot.add_chains($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: add_jobs
SELECT ingot.add_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: add_retirements
SELECT ingot.add_retirements($1, $2, $3)

-- name: read_transitions
SELECT * FROM ingot.read_transitions($1, $2, $3)

-- name: commit
COMMIT

-- name: add_routes
WITH newest AS (SELECT version, body::text AS body FROM ingot.routes ORDER BY version DESC LIMIT 1),
stored AS (
  INSERT INTO ingot.routes (version, body)
  SELECT coalesce((SELECT version FROM newest), 0) + 1, $1::json
  WHERE (SELECT body FROM newest) IS DISTINCT FROM $1
  ON CONFLICT DO NOTHING
  RETURNING version
)
SELECT EXISTS (SELECT FROM stored) OR (SELECT body FROM newest) IS NOT DISTINCT FROM $1

-- ---- read.c ----

-- name: begin_reading
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- To compile a statement over many partitions takes a second, and saves none.
-- name: plan_plainly
SELECT set_config('jit', 'off', true)

-- name: events_with_newest
SELECT * FROM ingot.events_with_newest($1, $2 = 1)

-- name: newest_of_lower_jobs
SELECT * FROM ingot.newest_of_lower_jobs($1, $2, $3 = 1)

-- name: events_to_deliver
SELECT * FROM ingot.events_to_deliver($1)

-- name: born_events
SELECT * FROM ingot.read_events($1, $2 = 1) WHERE job < 0

-- name: find_event_ids
SELECT * FROM ingot.find_event_ids($1, $2, $3 = 1)

-- name: chain
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM ingot.transitions WHERE event_id = $1 AND job = $2 ORDER BY seq

-- name: totals
SELECT (SELECT count(*) FROM ingot.events) - (SELECT count(*) FROM ingot.retirements),
       (SELECT count(*) FROM ingot.transitions)

-- name: counts
SELECT j.destination, coalesce(t.state_after, CASE WHEN j.waits THEN 2 ELSE 1 END), count(*)
FROM (
  SELECT e.id AS event_id, (b.n - 1)::int AS job, b.job ->> 'destination' AS destination,
         b.job -> 'due_at' IS NOT NULL AS waits
  FROM ingot.events e
  CROSS JOIN json_array_elements(CASE json_typeof(e.jobs) WHEN 'array' THEN e.jobs ELSE '[]' END)
       WITH ORDINALITY AS b (job, n)
  UNION ALL
  SELECT event_id, job, destination, due_at IS NOT NULL FROM ingot.added_jobs
) AS j
LEFT JOIN LATERAL (
  SELECT state_after FROM ingot.transitions l
  WHERE l.event_id = j.event_id AND l.job = j.job ORDER BY l.seq DESC LIMIT 1
) AS t ON true
WHERE j.destination IS NOT NULL
  AND NOT EXISTS (SELECT FROM ingot.retirements r WHERE r.event_id = j.event_id)
GROUP BY 1, 2 ORDER BY j.destination COLLATE "C"

-- name: newest_routes
SELECT version, body FROM ingot.routes ORDER BY version DESC LIMIT 1

-- name: scan_events
DECLARE scan_events NO SCROLL CURSOR FOR
SELECT id, -1, NULL, source, name, context, data, jobs, NULL, sent_at, received_at, ingested_at,
       (SELECT created_at FROM ingot.retirements WHERE event_id = id)
FROM ingot.events ORDER BY id

-- name: scan_jobs
DECLARE scan_jobs NO SCROLL CURSOR FOR
SELECT event_id, job, id, destination, event, context, data, NULL, parent_job_id, due_at, NULL,
       created_at, NULL
FROM ingot.added_jobs ORDER BY event_id, job

-- name: scan_transitions
DECLARE scan_transitions NO SCROLL CURSOR FOR
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM ingot.transitions ORDER BY event_id, job, seq

-- name: fetch_events
FETCH 100 FROM scan_events

-- name: fetch_jobs
FETCH 100 FROM scan_jobs

-- name: fetch_transitions
FETCH 2000 FROM scan_transitions

-- ---- follow.c ----

-- name: follow
SELECT * FROM ingot.follow($1::text::pg_snapshot, $2, $3, $4, $5, $6)

