"""Searches in words by PostgreSQL's own means, to compare with: full text, and slips by pg_trgm.

    python3 tests/evaluation/fulltext.py --database URL --styles styles.csv [--shoelaces shoelaces.csv]
        [--synonyms src/index/lexical/synonyms.txt] [--copies N] [--port 8090]

Fills a table of that database (which it drops first) with the products, each N times under other ids, and
answers `GET /search?q=WORDS&limit=N` as Aglet does, with ids alone: `aglet evaluate shopper --api URL` asks it
what shoppers type. Titles weigh most, then category and color, then the rest. All words of a query must be in
a product, or else any of them. A word that no product has is the one most alike of those within two changes of
a letter. Of the synonyms those of single words are used. Needs psycopg.
"""

import argparse
import csv
import http.server
import json
import urllib.parse

import psycopg

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;
DROP TABLE IF EXISTS fulltext, fulltext_words, fulltext_synonyms CASCADE;
CREATE TABLE fulltext (id text PRIMARY KEY, title text NOT NULL, kind text NOT NULL, rest text NOT NULL,
    document tsvector GENERATED ALWAYS AS (setweight(to_tsvector('english', title), 'A')
        || setweight(to_tsvector('english', kind), 'B') || setweight(to_tsvector('english', rest), 'C')) STORED);
CREATE TABLE fulltext_words (word text PRIMARY KEY, stem text NOT NULL, products integer NOT NULL);
CREATE TABLE fulltext_synonyms (stem text NOT NULL, other text NOT NULL);
"""

INDEXES = """
CREATE INDEX ON fulltext USING gin (document);
INSERT INTO fulltext_words
    SELECT word, to_tsvector('english', word)::text, ndoc
    FROM ts_stat($$SELECT to_tsvector('simple', concat_ws(' ', title, kind, rest)) FROM fulltext$$)
    WHERE length(word) > 2 AND word !~ '[0-9]';
CREATE INDEX ON fulltext_words (stem);
CREATE INDEX ON fulltext_synonyms (stem);

CREATE FUNCTION pg_temp.understood(given text) RETURNS tsquery LANGUAGE plpgsql STABLE AS $$
DECLARE
    stem_of text := to_tsvector('english', given)::text;
    word_of text := given;
    others tsquery;
BEGIN
    SELECT aggregated INTO others FROM (
        SELECT string_agg(phraseto_tsquery('english', other)::text, ' | ')::tsquery AS aggregated
        FROM fulltext_synonyms AS s WHERE s.stem = stem_of) AS o;
    IF others IS NULL AND stem_of <> '' AND given !~ '[0-9]'
       AND NOT EXISTS (SELECT FROM fulltext_words AS w WHERE w.stem = stem_of OR w.word = given) THEN
        SELECT word INTO word_of FROM fulltext_words
        WHERE levenshtein_less_equal(word, given, 2) <= 2
        ORDER BY levenshtein_less_equal(word, given, 2) - similarity(word, given), products DESC LIMIT 1;
    END IF;
    RETURN plainto_tsquery('english', coalesce(word_of, given)) || coalesce(others, ''::tsquery);
END $$;

CREATE FUNCTION pg_temp.searched(asked text, wanted integer) RETURNS TABLE (found text) LANGUAGE plpgsql AS $$
DECLARE
    all_of tsquery := ''::tsquery;
    any_of tsquery := ''::tsquery;
    part tsquery;
    word text;
    have integer;
BEGIN
    RETURN QUERY SELECT id FROM fulltext WHERE id = asked;
    IF FOUND THEN RETURN; END IF;
    FOREACH word IN ARRAY regexp_split_to_array(lower(trim(asked)), '\\s+') LOOP
        part := pg_temp.understood(word);
        all_of := all_of && part;
        any_of := any_of || part;
    END LOOP;
    RETURN QUERY SELECT id FROM fulltext WHERE document @@ all_of
        ORDER BY (lower(title) = lower(asked)) DESC, ts_rank_cd(document, all_of, 1) DESC, id LIMIT wanted;
    GET DIAGNOSTICS have = ROW_COUNT;
    IF have < wanted THEN
        RETURN QUERY SELECT id FROM fulltext WHERE document @@ any_of AND NOT document @@ all_of
            ORDER BY ts_rank_cd(document, any_of, 1) DESC, id LIMIT wanted - have;
    END IF;
END $$;
"""


def products(styles, shoelaces):
    laces = {}
    if shoelaces:
        with open(shoelaces, newline="") as file:
            laces = {row["id"]: row["shoelace_colour"] for row in csv.DictReader(file)}
    with open(styles, newline="") as file:
        for row in csv.DictReader(file):
            color = laces.get(row["id"])
            said = "" if color is None else "without laces" if color == "none" else f"with {color} laces shoelaces"
            names = ["gender", "masterCategory", "subCategory", "season", "year", "usage"]
            rest = " ".join([row[name] for name in names] + [said])
            yield row["id"], row["productDisplayName"], f"{row['articleType']} {row['baseColour']}", rest


def synonyms(path):
    """Pairs of a single word and what else says it."""
    with open(path) as file:
        for line in file:
            line = line.split("#")[0].strip()
            sides = line.replace("~>", "=>").split("=>")
            left, right = ([text.strip() for text in side.split(",")] for side in (sides[0], sides[-1]))
            for word in left:
                for other in right:
                    if word and word != other and " " not in word:
                        yield word, other


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--styles", required=True)
    parser.add_argument("--shoelaces")
    parser.add_argument("--synonyms")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    database = psycopg.connect(options.database, autocommit=True)
    database.execute(SCHEMA)
    rows = list(products(options.styles, options.shoelaces))
    with database.cursor().copy("COPY fulltext (id, title, kind, rest) FROM STDIN") as copy:
        for number in range(options.copies):
            for id, *texts in rows:
                copy.write_row((f"{id}-{number}" if number else id, *texts))
    pairs = synonyms(options.synonyms) if options.synonyms else []
    insert = "INSERT INTO fulltext_synonyms VALUES (to_tsvector('english', %s)::text, %s)"
    database.cursor().executemany(insert, list(pairs))
    database.execute(INDEXES)
    database.execute("VACUUM (ANALYZE) fulltext")
    database.execute("ANALYZE fulltext_words")

    class Answer(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
            sql = "SELECT found FROM pg_temp.searched(%s, %s::integer)"
            found = database.execute(sql, (asked["q"][0], int(asked["limit"][0])), prepare=True)
            body = json.dumps({"hits": [{"id": id} for (id,) in found]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    print(f"{len(rows) * options.copies} products; asks are answered at http://127.0.0.1:{options.port}", flush=True)
    http.server.HTTPServer(("127.0.0.1", options.port), Answer).serve_forever()


if __name__ == "__main__":
    main()
