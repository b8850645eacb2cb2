-- Embeddings of content that no product has, and since when, in Unix seconds: `aglet gc` deletes
-- them once they have been here for long enough.
CREATE TABLE unneeded (
    embedding INTEGER PRIMARY KEY REFERENCES embeddings (key) ON DELETE CASCADE,
    since     INTEGER NOT NULL
) STRICT;
