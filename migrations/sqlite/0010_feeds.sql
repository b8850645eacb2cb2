-- Feeds that are fetched from web addresses: what was taken of each the last time, and which products came
-- from it.
CREATE TABLE feeds (
  key INTEGER PRIMARY KEY,
  address TEXT NOT NULL UNIQUE,
  -- What the server said that it knows the file again by.
  etag TEXT,
  last_modified TEXT,
  -- Of what the feed was read with: another mapping reads it anew.
  settings TEXT NOT NULL DEFAULT '',
  -- Products that it had.
  products INTEGER NOT NULL DEFAULT 0,
  -- When it was last taken, or found to be the same, and when somebody last tried; Unix seconds.
  taken INTEGER,
  tried INTEGER NOT NULL DEFAULT 0,
  -- Why the last try failed.
  error TEXT
);
ALTER TABLE products ADD COLUMN feed INTEGER;
CREATE INDEX products_by_feed ON products (feed) WHERE feed IS NOT NULL;
