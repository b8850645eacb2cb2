-- The last migration that a program must know to open this database. A migration that only adds leaves
-- it: services of the version before go on, and start, beside those of the new one. One that takes away or
-- changes what is there sets it to its own number.
ALTER TABLE state ADD COLUMN opened_by bigint NOT NULL DEFAULT 8;
