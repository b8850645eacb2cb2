-- What a picture was when it was decoded, and captions that do not lose their vector.

-- The folder that no link may lead out of, as the import was given it; NULL: the file's own.
ALTER TABLE products ADD COLUMN image_root TEXT;

-- Whether the bytes of image_hash were decoded as a picture: nothing else is shown to a client.
ALTER TABLE products ADD COLUMN image_decoded INTEGER NOT NULL DEFAULT 0;
UPDATE products SET image_decoded = 1
 WHERE image_hash IN (SELECT hash FROM embeddings WHERE kind = 'photo');

-- sha256 of the caption that the product should have; words_hash is the one that it was last
-- embedded with, whose vector serves until the new one is there.
ALTER TABLE products ADD COLUMN caption_hash BLOB NOT NULL DEFAULT x'';
UPDATE products SET caption_hash = words_hash;

-- Of what captions are made: another value, and every caption is made anew.
ALTER TABLE state ADD COLUMN captions TEXT NOT NULL DEFAULT '';

-- When a service or an import last used the model, in Unix seconds.
ALTER TABLE models ADD COLUMN used INTEGER NOT NULL DEFAULT 0;

-- Which database this is: an index that was saved beside another one is of no use.
ALTER TABLE state ADD COLUMN identity TEXT NOT NULL DEFAULT '';
UPDATE state SET identity = lower(hex(randomblob(16)));
