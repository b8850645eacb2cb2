-- Several pictures a product, and what waits to be embedded.

-- The pictures leave the table of products, which is made anew: SQLite drops no column that a CHECK names. The next key
-- stays what it is, so that none is given twice.
CREATE TABLE products_without_pictures (
    key           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (key BETWEEN 1 AND 4294967295),
    id            TEXT NOT NULL UNIQUE,
    title         TEXT NOT NULL,
    description   TEXT,
    price         REAL,
    sale_price    REAL,
    currency      TEXT,
    created       INTEGER,
    url           TEXT,
    -- {"name": ["value", ...], ...}
    attributes    TEXT NOT NULL,
    -- sha256 of the caption, and of the one that was last embedded: see 0002.
    caption_hash  BLOB NOT NULL,
    words_hash    BLOB NOT NULL,
    version       INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO products_without_pictures
SELECT key, id, title, description, price, sale_price, currency, created, url, attributes, caption_hash, words_hash,
       version
  FROM products;
INSERT INTO sqlite_sequence (name, seq)
SELECT 'products_without_pictures', 0
 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'products_without_pictures');
UPDATE sqlite_sequence
   SET seq = max(seq, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'products'), 0))
 WHERE name = 'products_without_pictures';

CREATE TABLE pictures (
    product INTEGER NOT NULL REFERENCES products_without_pictures (key) ON DELETE CASCADE,
    -- Their order, and what the API calls them by; there may be gaps.
    number  INTEGER NOT NULL CHECK (number BETWEEN 1 AND 32),
    -- Where it is: a file (inside the data folder: relative to it), a member of a zip archive, or a web address.
    file    TEXT,
    member  TEXT,
    address TEXT,
    -- The folder that no link may lead out of; NULL: the file's own.
    root    TEXT,
    -- What tells cheaply whether it is the one that was read: size and time, or CRC and size in an archive. NULL: it is
    -- still to be read.
    stamp   TEXT,
    -- sha256 of its bytes, as they were last read, and whether they were decoded: nothing else is shown to a client.
    hash    BLOB,
    decoded INTEGER NOT NULL DEFAULT 0,
    -- Why it could not be read.
    error   TEXT,
    PRIMARY KEY (product, number),
    CHECK ((file IS NULL) <> (address IS NULL)),
    CHECK (member IS NULL OR file IS NOT NULL)
) STRICT, WITHOUT ROWID;
INSERT INTO pictures (product, number, file, member, root, stamp, hash, decoded, error)
SELECT key, 1, image_file, image_member, image_root, image_stamp, image_hash, image_decoded, image_error
  FROM products WHERE image_file IS NOT NULL;

DROP TABLE products;
-- The reference of `pictures` follows the name.
ALTER TABLE products_without_pictures RENAME TO products;
CREATE INDEX products_by_caption ON products (caption_hash);
CREATE INDEX pictures_by_hash ON pictures (hash) WHERE hash IS NOT NULL;

-- What a model has still to embed, or could not embed yet: the words of a product (number 0) or one of its pictures.
CREATE TABLE work (
    -- The order in which it came.
    key      INTEGER PRIMARY KEY,
    model    INTEGER NOT NULL REFERENCES models (key) ON DELETE CASCADE,
    product  INTEGER NOT NULL REFERENCES products (key) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    -- 0: the shop changed it; 1: another model, other captions; 2: it failed and is tried again.
    lane     INTEGER NOT NULL DEFAULT 0,
    -- How often it failed, when it is tried again (Unix seconds), and why it failed.
    attempts INTEGER NOT NULL DEFAULT 0,
    due      INTEGER NOT NULL DEFAULT 0,
    reason   TEXT,
    UNIQUE (product, number, model)
) STRICT;
CREATE INDEX work_by_turn ON work (model, lane, due, key);
