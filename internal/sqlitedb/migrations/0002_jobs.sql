-- The jobs of the queue, for package queue/sqlitequeue.
--
-- Times are integer milliseconds since 1970, UTC.
--
-- seq       the place in the line: jobs start in its order; a job that is retried by an operator gets a new one
-- id        of the producer; unique, so that enqueueing twice is one job
-- data      the payload, JSON, kept byte for byte
-- state     waiting, active, delayed, completed or failed
-- at        delayed: when it is due; completed and failed: when it ended; waiting and active: 0, which leaves the order
--           of seq
-- attempts  spent so far, of max_attempts
-- starts    how often it was handed out; (worker, starts) names one hand-out, and only that one may end it
-- stalls    how often its worker died
-- worker    who has it, while it is active
-- beat      changes with each renewal of the worker's lease
-- queued_at since when it stands in line
-- errors    JSON array of queue.AttemptError, oldest first

CREATE TABLE jobs (
  seq          INTEGER PRIMARY KEY,
  id           TEXT NOT NULL UNIQUE,
  data         TEXT NOT NULL,
  state        TEXT NOT NULL DEFAULT 'waiting',
  at           INTEGER NOT NULL DEFAULT 0,
  attempts     INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  starts       INTEGER NOT NULL DEFAULT 0,
  stalls       INTEGER NOT NULL DEFAULT 0,
  worker       TEXT NOT NULL DEFAULT '',
  beat         INTEGER NOT NULL DEFAULT 0,
  created_at   INTEGER NOT NULL,
  queued_at    INTEGER NOT NULL,
  processed_at INTEGER NOT NULL DEFAULT 0,
  errors       TEXT NOT NULL DEFAULT '[]'
) STRICT;

-- The line (waiting), what is due (delayed), what a worker has (active), the dead letters by their age (failed), and
-- what can be removed (completed, failed). seq is the last column of every index.
CREATE INDEX jobs_in_state ON jobs (state, at);

-- Whether jobs are handed out at all: paused by an operator, or held until some time by a handler.
CREATE TABLE queue_gate (
  only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
  paused     INTEGER NOT NULL DEFAULT 0,
  held_until INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO queue_gate (only_row) VALUES (1);
