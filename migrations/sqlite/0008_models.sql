-- Which model answers: see src/domain/serving.rs. One row. Models are folders; a share of the words
-- that is null is that of the setting.
CREATE TABLE serving (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    -- The setting `model` in whose place the chosen one stands; null: none was chosen.
    setting           TEXT,
    model             TEXT,
    words             INTEGER,
    previous_model    TEXT,
    previous_words    INTEGER,
    wanted_model      TEXT,
    wanted_words      INTEGER,
    -- Whether it is checked before it is put in use.
    wanted_checked    INTEGER NOT NULL DEFAULT 1,
    -- Why it was given up.
    wanted_failed     TEXT
) STRICT;
INSERT INTO serving (id) VALUES (1);
