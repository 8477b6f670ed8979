-- The store: rows are inserted, and nothing else. PROTOCOL and DESIGN say why
-- each table looks as it does. Ids are the 20 bytes of a KSUID, times are
-- microseconds since 1970 UTC, states are the numbers of enum ingot_state.

-- n is the commit order over events and added_jobs, given by the one writer.
-- What planning needs stands before the payload, which may be long.
CREATE TABLE events (
  n           INTEGER PRIMARY KEY,
  id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 20),
  source      TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  jobs        TEXT    NOT NULL,
  sent_at     INTEGER,
  received_at INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  context     TEXT,
  data        TEXT
) STRICT;

CREATE TABLE added_jobs (
  n             INTEGER PRIMARY KEY,
  event_id      BLOB    NOT NULL CHECK (length(event_id) = 20),
  job           INTEGER NOT NULL CHECK (job BETWEEN 0 AND 65535),
  id            BLOB    NOT NULL CHECK (length(id) = 20),
  destination   TEXT    NOT NULL,
  event         TEXT    NOT NULL,
  parent_job_id BLOB    CHECK (length(parent_job_id) = 20),
  due_at        INTEGER,
  created_at    INTEGER NOT NULL,
  context       TEXT,
  data          TEXT,
  UNIQUE (event_id, job),
  UNIQUE (event_id, id)
) STRICT;

-- At most two for one destination: the wildcard and the specific one.
CREATE UNIQUE INDEX added_jobs_slot ON added_jobs (event_id, destination, (event = '*'))
  WHERE parent_job_id IS NULL;

-- To insert the next number is to claim, and this key is the only lock.
CREATE TABLE transitions (
  event_id     BLOB    NOT NULL CHECK (length(event_id) = 20),
  job          INTEGER NOT NULL CHECK (job BETWEEN 0 AND 65535),
  seq          INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 65535),
  attempt      INTEGER NOT NULL CHECK (attempt BETWEEN 0 AND 65535),
  state_before INTEGER NOT NULL CHECK (state_before BETWEEN 1 AND 6),
  state_after  INTEGER NOT NULL CHECK (state_after BETWEEN 1 AND 6),
  owner        BLOB    CHECK (length(owner) = 20),
  due_at       INTEGER,
  error        TEXT,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (event_id, job, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX transitions_discarded ON transitions (event_id, job) WHERE state_after = 6;

CREATE TABLE retirements (
  event_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(event_id) = 20),
  actor      TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE routes (
  version    INTEGER PRIMARY KEY,
  body       TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- Nothing is ever changed. The triggers before INSERT are there for INSERT OR
-- REPLACE, which would otherwise overwrite a row without any UPDATE or DELETE.
CREATE TRIGGER events_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER events_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER events_insert BEFORE INSERT ON events
  WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;
CREATE TRIGGER events_order BEFORE INSERT ON events
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;

CREATE TRIGGER added_jobs_update BEFORE UPDATE ON added_jobs BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER added_jobs_delete BEFORE DELETE ON added_jobs BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER added_jobs_insert BEFORE INSERT ON added_jobs
  WHEN EXISTS (SELECT 1 FROM added_jobs WHERE event_id = NEW.event_id AND (job = NEW.job OR id = NEW.id))
    OR (NEW.parent_job_id IS NULL AND EXISTS (
      SELECT 1 FROM added_jobs
      WHERE event_id = NEW.event_id AND destination = NEW.destination
        AND (event = '*') = (NEW.event = '*') AND parent_job_id IS NULL))
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;
CREATE TRIGGER added_jobs_order BEFORE INSERT ON added_jobs
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;

CREATE TRIGGER transitions_update BEFORE UPDATE ON transitions BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER transitions_delete BEFORE DELETE ON transitions BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER transitions_insert BEFORE INSERT ON transitions
  WHEN EXISTS (SELECT 1 FROM transitions WHERE event_id = NEW.event_id AND job = NEW.job AND seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;

CREATE TRIGGER retirements_update BEFORE UPDATE ON retirements BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER retirements_delete BEFORE DELETE ON retirements BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER retirements_insert BEFORE INSERT ON retirements
  WHEN EXISTS (SELECT 1 FROM retirements WHERE event_id = NEW.event_id)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;

CREATE TRIGGER routes_update BEFORE UPDATE ON routes BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER routes_delete BEFORE DELETE ON routes BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER routes_insert BEFORE INSERT ON routes
  WHEN EXISTS (SELECT 1 FROM routes WHERE version = NEW.version)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;

-- For people: ids as text, born jobs as rows, the birth as a transition, the
-- present state.
CREATE VIEW jobs AS
  SELECT ksuid_text(hex(e.id)) AS event_id, b.key AS job, b.value ->> 'id' AS id,
         b.value ->> 'destination' AS destination, b.value ->> 'event' AS event,
         e.source AS source, e.name AS name,
         coalesce(b.value -> 'context', e.context) AS context,
         coalesce(b.value -> 'data', e.data) AS data,
         b.value ->> 'parent_job_id' AS parent_job_id,
         time_text(e.ingested_at) AS created_at
  FROM events e, json_each(e.jobs) b
  UNION ALL
  SELECT ksuid_text(hex(a.event_id)), a.job, ksuid_text(hex(a.id)), a.destination, a.event,
         e.source, e.name, coalesce(a.context, e.context), coalesce(a.data, e.data),
         CASE WHEN a.parent_job_id IS NOT NULL THEN ksuid_text(hex(a.parent_job_id)) END,
         time_text(a.created_at)
  FROM added_jobs a JOIN events e ON e.id = a.event_id;

CREATE VIEW history AS
  SELECT ksuid_text(printf('%08X', h.created_at / 1000000 - 1400000000) || substr(hex(h.event_id), 9, 24)
                    || printf('%04X%04X', h.job, h.seq)) AS id,
         ksuid_text(hex(h.event_id)) AS event_id, h.job AS job, h.seq AS seq, h.attempt AS attempt,
         state_text(h.state_before) AS state_before, state_text(h.state_after) AS state_after,
         CASE WHEN h.owner IS NOT NULL THEN ksuid_text(hex(h.owner)) END AS owner,
         time_text(h.due_at) AS due_at, h.error AS error, time_text(h.created_at) AS created_at
  FROM (
    SELECT e.id AS event_id, b.key AS job, 0 AS seq, 0 AS attempt, NULL AS state_before,
           CASE WHEN b.value ->> 'due_at' IS NULL THEN 1 ELSE 2 END AS state_after,
           NULL AS owner, b.value ->> 'due_at' AS due_at, NULL AS error, e.ingested_at AS created_at
    FROM events e, json_each(e.jobs) b
    UNION ALL
    SELECT event_id, job, 0, 0, NULL, CASE WHEN due_at IS NULL THEN 1 ELSE 2 END,
           NULL, due_at, NULL, created_at
    FROM added_jobs
    UNION ALL
    SELECT event_id, job, seq, attempt, state_before, state_after, owner, due_at, error, created_at
    FROM transitions
  ) h;

CREATE VIEW job_states AS
  SELECT ksuid_text(hex(j.event_id)) AS event_id, j.job AS job, j.destination AS destination, j.event AS event,
         state_text(coalesce(t.state_after, CASE WHEN j.due_at IS NULL THEN 1 ELSE 2 END)) AS state,
         coalesce(t.attempt, 0) AS attempt, coalesce(t.seq, 0) AS seq,
         time_text(CASE WHEN t.seq IS NULL THEN j.due_at ELSE t.due_at END) AS due_at,
         t.error AS error, time_text(coalesce(t.created_at, j.created_at)) AS since
  FROM (
    SELECT e.id AS event_id, b.key AS job, b.value ->> 'destination' AS destination,
           b.value ->> 'event' AS event, b.value ->> 'due_at' AS due_at, e.ingested_at AS created_at
    FROM events e, json_each(e.jobs) b
    UNION ALL
    SELECT event_id, job, destination, event, due_at, created_at FROM added_jobs
  ) j
  LEFT JOIN transitions t ON t.event_id = j.event_id AND t.job = j.job
    AND t.seq = (SELECT max(seq) FROM transitions l WHERE l.event_id = j.event_id AND l.job = j.job);
