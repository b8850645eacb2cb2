"""Makes a large catalog of a small one, for measurements: every product many times.

    python3 tests/benches/grow.py --data data/catalog --out /tmp/large --products 1000000

Copies the database of a data folder and repeats its products under other ids until there are as many
as were asked for. Each copy has the title and attributes of its original, a caption hash of its own,
and the original's vectors with noise added (`--noise`, the standard deviation of each element as a
share of the vector's mean absolute element) and brought back to unit length. Pictures are not
copied: the copies have none, only their vectors. Needs numpy.
"""

import argparse
import hashlib
import pathlib
import shutil
import sqlite3
import sys
import time

import numpy as np

ROWS = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.out.exists():
        sys.exit(f"{options.out} exists")
    options.out.mkdir(parents=True)
    source = options.data / "catalog.sqlite"
    target = options.out / "catalog.sqlite"
    with sqlite3.connect(source) as old, sqlite3.connect(target) as copy:
        old.backup(copy)
    database = sqlite3.connect(target, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    model = database.execute("SELECT key FROM models ORDER BY used DESC, key DESC LIMIT 1").fetchone()[0]
    rows = database.execute(
        """SELECT p.id, p.title, p.description, p.price, p.url, p.attributes,
                  (SELECT vector FROM embeddings WHERE model = ?1 AND kind = 'photo' AND hash = p.image_hash),
                  (SELECT vector FROM embeddings WHERE model = ?1 AND kind = 'words' AND hash = p.words_hash)
           FROM products AS p ORDER BY p.key""",
        [model],
    ).fetchall()
    rows = [row for row in rows if row[6] and row[7]]
    draw = np.random.default_rng(options.seed)
    start, made = time.time(), database.execute("SELECT count(*) FROM products").fetchone()[0]

    def noisy(vectors):
        matrix = np.array([np.frombuffer(vector, "<f4") for vector in vectors])
        scale = options.noise * np.abs(matrix).mean(axis=1, keepdims=True)
        matrix = matrix + draw.standard_normal(matrix.shape, dtype=np.float32) * scale
        return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype("<f4")

    round_number = 0
    while made < options.products:
        round_number += 1
        for first in range(0, len(rows), ROWS):
            page = rows[first : first + min(ROWS, options.products - made)]
            if not page:
                break
            photos, words = noisy([row[6] for row in page]), noisy([row[7] for row in page])
            products, embeddings = [], []
            for row, photo, word in zip(page, photos, words):
                name = f"{row[0]}-{round_number}"
                hashes = [hashlib.sha256(f"{kind} {name}".encode()).digest() for kind in ("photo", "words")]
                products.append((name, *row[1:6], hashes[1], hashes[1], hashes[0]))
                embeddings.append((model, "photo", hashes[0], photo.tobytes()))
                embeddings.append((model, "words", hashes[1], word.tobytes()))
            database.execute("BEGIN")
            database.executemany(
                """INSERT INTO products (id, title, description, price, url, attributes, words_hash,
                                         caption_hash, image_hash, image_decoded)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)""",
                products,
            )
            database.executemany("INSERT INTO embeddings (model, kind, hash, vector) VALUES (?, ?, ?, ?)", embeddings)
            database.execute("COMMIT")
            made += len(page)
    database.execute("UPDATE state SET revision = revision + 1")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    shutil.copystat(source, target)
    print(f"{made} products in {time.time() - start:.0f} s, {target.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
