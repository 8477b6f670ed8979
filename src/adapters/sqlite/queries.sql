-- The statements of the adapter. Each is prepared once.

-- name: ledger_schema
CREATE TABLE migrations (
  n          INTEGER PRIMARY KEY,
  version    INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  direction  TEXT    NOT NULL CHECK (direction IN ('up', 'down')),
  up_sha256  TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER migrations_update BEFORE UPDATE ON migrations BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER migrations_delete BEFORE DELETE ON migrations BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER migrations_insert BEFORE INSERT ON migrations
  WHEN EXISTS (SELECT 1 FROM migrations WHERE n = NEW.n)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;

-- name: ledger
SELECT version, name, up_sha256, direction = 'down', created_at FROM migrations ORDER BY n

-- name: ledger_insert
INSERT INTO migrations (version, name, direction, up_sha256, created_at) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: last_n
SELECT max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0),
           coalesce((SELECT max(n) FROM notices), 0))

-- name: life
SELECT life FROM lives ORDER BY n DESC LIMIT 1

-- name: last_time
SELECT max(coalesce((SELECT ingested_at FROM events ORDER BY n DESC LIMIT 1), 0),
           coalesce((SELECT created_at FROM added_jobs ORDER BY n DESC LIMIT 1), 0),
           coalesce((SELECT created_at FROM notices ORDER BY n DESC LIMIT 1), 0))

-- name: insert_event
INSERT INTO events (n, id, source, name, jobs, sent_at, received_at, ingested_at, context, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)

-- name: insert_transition
INSERT INTO transitions (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, CASE ?3 WHEN 1 THEN ?10 ELSE max(?10, coalesce(
  (SELECT created_at FROM transitions WHERE event_id = ?1 AND job = ?2 AND seq = ?3 - 1), ?10)) END)

-- name: insert_added_job
INSERT INTO added_jobs (n, event_id, job, id, destination, event, parent_job_id, due_at, created_at, context, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)

-- name: insert_notice
INSERT INTO notices (n, event_id, job, seq, created_at) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: insert_retirement
INSERT INTO retirements (event_id, actor, reason, created_at)
SELECT ?1, ?2, ?3, ?4
WHERE EXISTS (SELECT 1 FROM events WHERE id = ?1)
  AND NOT EXISTS (SELECT 1 FROM retirements WHERE event_id = ?1)

-- ?2 is the detail: what is not asked for is not looked for.
-- name: event
SELECT id, source, name, jobs, sent_at, received_at, ingested_at,
       CASE WHEN ?2 <> 1 THEN context END, CASE WHEN ?2 <> 1 THEN data END,
       CASE WHEN ?2 <> 2 THEN (SELECT created_at FROM retirements WHERE event_id = id) END
FROM events WHERE id = ?1

-- Likewise, from an id on.
-- name: events_from
SELECT id, source, name, jobs, sent_at, received_at, ingested_at,
       CASE WHEN ?2 <> 1 THEN context END, CASE WHEN ?2 <> 1 THEN data END,
       CASE WHEN ?2 <> 2 THEN (SELECT created_at FROM retirements WHERE event_id = id) END
FROM events WHERE id >= ?1 ORDER BY id

-- name: find
SELECT id, source, name, jobs, sent_at, received_at, ingested_at, NULL, NULL, NULL
FROM events
WHERE id >= ?1 AND NOT EXISTS (SELECT 1 FROM retirements WHERE event_id = id)
ORDER BY id

-- name: find_discarded
SELECT id, source, name, jobs, sent_at, received_at, ingested_at, NULL, NULL, NULL
FROM (SELECT DISTINCT event_id FROM transitions INDEXED BY transitions_discarded
      WHERE state_after = 6 AND event_id >= ?1 ORDER BY event_id) d
CROSS JOIN events ON id = d.event_id
WHERE NOT EXISTS (SELECT 1 FROM retirements r WHERE r.event_id = id)
ORDER BY d.event_id

-- name: scan_events
SELECT id, source, name, jobs, sent_at, received_at, ingested_at, context, data,
       (SELECT created_at FROM retirements WHERE event_id = id)
FROM events ORDER BY id

-- name: added_jobs
SELECT job, id, destination, event, parent_job_id, due_at, created_at,
       CASE WHEN ?2 THEN context END, CASE WHEN ?2 THEN data END
FROM added_jobs WHERE event_id = ?1 ORDER BY job

-- name: has_added_jobs
SELECT EXISTS (SELECT 1 FROM added_jobs WHERE event_id BETWEEN ?1 AND ?2)

-- name: latest
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM transitions WHERE event_id = ?1 AND job = ?2 ORDER BY seq DESC LIMIT 1

-- name: transitions_from
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM transitions WHERE event_id >= ?1 ORDER BY event_id, job, seq

-- name: chain
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM transitions WHERE event_id = ?1 AND job = ?2 ORDER BY seq

-- name: transition
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM transitions WHERE event_id = ?1 AND job = ?2 AND seq = ?3

-- name: scan_transitions
SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
FROM transitions ORDER BY event_id, job, seq

-- name: totals
SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM retirements),
       (SELECT count(*) FROM transitions)

-- name: counts
SELECT j.destination,
       coalesce((SELECT t.state_after FROM transitions t
                 WHERE t.event_id = j.event_id AND t.job = j.job ORDER BY t.seq DESC LIMIT 1),
                CASE WHEN j.due_at IS NULL THEN 1 ELSE 2 END) AS state,
       count(*)
FROM (
  SELECT e.id AS event_id, b.key AS job, b.value ->> 'destination' AS destination, b.value ->> 'due_at' AS due_at
  FROM events e, json_each(e.jobs) b
  UNION ALL
  SELECT event_id, job, destination, due_at FROM added_jobs
) j
WHERE NOT EXISTS (SELECT 1 FROM retirements r WHERE r.event_id = j.event_id)
GROUP BY 1, 2 ORDER BY 1

-- name: newest_routes
SELECT version, body FROM routes ORDER BY version DESC LIMIT 1

-- name: insert_routes
INSERT INTO routes (version, body, created_at) VALUES (?1, ?2, ?3)

-- name: new_events
SELECT id, source, name, jobs, sent_at, received_at, ingested_at, NULL, NULL, NULL, n
FROM events WHERE n > ?1

-- name: new_jobs
SELECT job, id, destination, event, parent_job_id, due_at, created_at, NULL, NULL, event_id, n
FROM added_jobs WHERE n > ?1

-- name: new_notices
SELECT event_id, job, n FROM notices WHERE n > ?1

-- name: next_taken
SELECT max(?1, 1 + coalesce((SELECT max(taken_at) FROM checkpoints), 0))

-- name: insert_checkpoint
INSERT INTO checkpoints (taken_at, lane, part, parts, cursor, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: newest_checkpoint
SELECT taken_at, max(cursor), sum(length(body))
FROM checkpoints INDEXED BY checkpoints_lane
WHERE lane = ?1 AND taken_at < ?2
GROUP BY taken_at
HAVING count(*) = max(parts) AND min(parts) = max(parts) AND min(cursor) = max(cursor)
ORDER BY taken_at DESC LIMIT 1

-- name: checkpoint_parts
SELECT body FROM checkpoints WHERE taken_at = ?1 AND lane = ?2 ORDER BY part

-- name: insert_life
INSERT INTO lives (n, life, created_at) SELECT 1 + max(n), random(), ?1 FROM lives

-- name: settings
SELECT (SELECT journal_mode FROM pragma_journal_mode),
       (SELECT CASE synchronous WHEN 0 THEN 'off' WHEN 1 THEN 'normal' WHEN 2 THEN 'full' ELSE 'extra' END
        FROM pragma_synchronous),
       (SELECT page_size FROM pragma_page_size)
