-- Products and the embeddings of their pictures and words.
--
-- A migration that has shipped is never edited: sqlx compares checksums and refuses to open the database.

-- One row. `revision` grows with every change that the vector index must follow; it is never below the time of the
-- change in Unix milliseconds, so that a database that was restored or made anew never repeats a number.
CREATE TABLE state (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO state (one, revision) VALUES (1, CAST(unixepoch('subsec') * 1000 AS INTEGER));

-- AUTOINCREMENT: the key of a removed product is never given to another one, which an index that is one revision
-- behind would show in its place.
CREATE TABLE products (
    key           INTEGER PRIMARY KEY AUTOINCREMENT CHECK (key BETWEEN 1 AND 4294967295),
    id            TEXT NOT NULL UNIQUE,
    title         TEXT NOT NULL,
    description   TEXT,
    price         REAL,
    url           TEXT,
    -- {"name": ["value", ...], ...}
    attributes    TEXT NOT NULL,
    -- sha256 of the sentence that the text tower sees for this product.
    words_hash    BLOB NOT NULL,
    -- Where the picture is: a file (inside the data folder: relative to it), or a zip archive with image_member.
    image_file    TEXT,
    image_member  TEXT,
    -- What tells cheaply whether the picture is the one that was read: size and time, or CRC and size in an archive.
    image_stamp   TEXT,
    -- sha256 of the picture's bytes, once it was read.
    image_hash    BLOB,
    -- Why the picture could not be read.
    image_error   TEXT,
    CHECK (image_member IS NULL OR image_file IS NOT NULL)
) STRICT;

CREATE TABLE models (
    key INTEGER PRIMARY KEY,
    id  TEXT NOT NULL UNIQUE
) STRICT;

-- Keyed by content, not by product: a picture is embedded once by a model, whoever shows it and whether or not its
-- product was removed in between. `hash` is the sha256 of the picture's bytes or of the caption, `vector` is
-- little-endian f32.
CREATE TABLE embeddings (
    key    INTEGER PRIMARY KEY,
    model  INTEGER NOT NULL REFERENCES models (key) ON DELETE CASCADE,
    kind   TEXT NOT NULL CHECK (kind IN ('photo', 'words')),
    hash   BLOB NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (model, kind, hash)
) STRICT;

-- Contents that a model could not embed, and why.
CREATE TABLE failures (
    model  INTEGER NOT NULL REFERENCES models (key) ON DELETE CASCADE,
    kind   TEXT NOT NULL CHECK (kind IN ('photo', 'words')),
    hash   BLOB NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (model, kind, hash)
) STRICT, WITHOUT ROWID;
