-- What changed, and when: an index that knows the state of one moment takes over what came after it.

-- `seq` is the revision that the change made (see `state`): all changes of one transaction have the same. A product that
-- changes several times in one transaction is here once. `op`: what happened to it; 'embedded' is a vector that came in.
CREATE TABLE changes (
    seq INTEGER NOT NULL,
    key INTEGER NOT NULL,
    op  TEXT NOT NULL CHECK (op IN ('new', 'changed', 'removed', 'embedded')),
    PRIMARY KEY (seq, key)
) STRICT, WITHOUT ROWID;

-- Every change after this revision is in the log; those before it were deleted, or made before there was one.
ALTER TABLE state ADD COLUMN log_from INTEGER NOT NULL DEFAULT 0;
-- One number says which state the catalog is in: `fields` is of an earlier version and no longer used.
UPDATE state SET revision = max(revision, fields);
UPDATE state SET log_from = revision;

-- The revision in which the shop last changed the product.
ALTER TABLE products ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

-- Who shows a picture, who has a caption: they change with its vector.
CREATE INDEX products_by_image ON products (image_hash) WHERE image_hash IS NOT NULL;
CREATE INDEX products_by_caption ON products (caption_hash);
