-- What following, checkpoints and a restored store need (PROTOCOL 3 and 4).

-- Somebody who does not work a job's lane wrote its transition seq.
CREATE TABLE notices (
  n          INTEGER PRIMARY KEY,
  event_id   BLOB    NOT NULL CHECK (length(event_id) = 20),
  job        INTEGER NOT NULL CHECK (job BETWEEN 0 AND 65535),
  seq        INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 65535),
  created_at INTEGER NOT NULL
) STRICT;

-- The live jobs of a lane in parts; it counts when there are as many as parts says.
CREATE TABLE checkpoints (
  taken_at INTEGER NOT NULL,
  lane     INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 255),
  part     INTEGER NOT NULL CHECK (part >= 0),
  parts    INTEGER NOT NULL CHECK (parts > part),
  cursor   TEXT    NOT NULL,
  body     BLOB    NOT NULL,
  PRIMARY KEY (taken_at, lane, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX checkpoints_lane ON checkpoints (lane, taken_at);

-- One life of the store after another; a cursor belongs to one. The newest counts.
CREATE TABLE lives (
  n          INTEGER PRIMARY KEY,
  life       INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
INSERT INTO lives VALUES (1, random(), unixepoch() * 1000000);

-- n is the commit order over events, added_jobs and notices from now on.
DROP TRIGGER events_order;
CREATE TRIGGER events_order BEFORE INSERT ON events
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0), coalesce((SELECT max(n) FROM notices), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;
DROP TRIGGER added_jobs_order;
CREATE TRIGGER added_jobs_order BEFORE INSERT ON added_jobs
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0), coalesce((SELECT max(n) FROM notices), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;

CREATE TRIGGER notices_update BEFORE UPDATE ON notices BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER notices_delete BEFORE DELETE ON notices BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER notices_order BEFORE INSERT ON notices
  WHEN NEW.n IS NOT 1 + max(coalesce((SELECT max(n) FROM events), 0), coalesce((SELECT max(n) FROM added_jobs), 0), coalesce((SELECT max(n) FROM notices), 0))
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;

CREATE TRIGGER checkpoints_update BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER checkpoints_delete BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER checkpoints_insert BEFORE INSERT ON checkpoints
  WHEN EXISTS (SELECT 1 FROM checkpoints WHERE taken_at = NEW.taken_at AND lane = NEW.lane AND part = NEW.part)
  BEGIN SELECT RAISE(ABORT, 'ingot: the key is taken'); END;

CREATE TRIGGER lives_update BEFORE UPDATE ON lives BEGIN SELECT RAISE(ABORT, 'ingot: a row is never updated'); END;
CREATE TRIGGER lives_delete BEFORE DELETE ON lives BEGIN SELECT RAISE(ABORT, 'ingot: a row is never deleted'); END;
CREATE TRIGGER lives_order BEFORE INSERT ON lives
  WHEN NEW.n IS NOT 1 + (SELECT max(n) FROM lives)
  BEGIN SELECT RAISE(ABORT, 'ingot: n must follow the last one'); END;
