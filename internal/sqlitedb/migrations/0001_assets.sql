-- The assets and what happened to them, for package asset/sqlitestore.
--
-- Times are integer milliseconds since 1970, UTC. original, processed, analysis and details are JSON as sqlitestore
-- writes it; NULL where the asset has none.

CREATE TABLE assets (
  id            TEXT PRIMARY KEY,
  owner         TEXT NOT NULL,
  category      TEXT NOT NULL,
  status        TEXT NOT NULL,
  original      TEXT NOT NULL,
  processed     TEXT,
  analysis      TEXT,
  details       TEXT,
  job_id        TEXT NOT NULL,
  run           INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  event_pending INTEGER NOT NULL
) STRICT;

-- An owner's list, newest first.
CREATE INDEX assets_of_owner ON assets (owner, created_at, id);

-- What the reconciler looks for; mostly empty.
CREATE INDEX assets_unfinished ON assets (id) WHERE status IN ('draft', 'processing') OR event_pending;

-- seq is the order in which the entries were appended. owner is that of the asset. payload is the terminal event of a
-- finished run, kept byte for byte.
CREATE TABLE asset_events (
  seq         INTEGER PRIMARY KEY,
  asset_id    TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
  owner       TEXT NOT NULL,
  at          INTEGER NOT NULL,
  event       TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  error       TEXT NOT NULL,
  duration_ms INTEGER NOT NULL,
  payload     TEXT
) STRICT;

-- One asset's timeline.
CREATE INDEX asset_events_of_asset ON asset_events (asset_id);

-- What an owner has missed: the finished runs after some time.
CREATE INDEX asset_events_finished ON asset_events (owner, at) WHERE event = 'finished';
