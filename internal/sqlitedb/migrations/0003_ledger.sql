-- The notes on pictures that may have no asset, for package asset/sqlitestore: see asset.Ledger.
--
-- at is integer milliseconds since 1970, UTC.

CREATE TABLE image_notes (
  key      TEXT PRIMARY KEY,
  asset_id TEXT NOT NULL,
  at       INTEGER NOT NULL
) STRICT;

-- The oldest first.
CREATE INDEX image_notes_by_age ON image_notes (at);
