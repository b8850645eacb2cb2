"""What the vote of a photo's nearest products gains and costs (src/search/rank.rs), on the vectors of an import.

Run: python tests/evaluation/photo_vote.py DATA/catalog.sqlite      (numpy)

Unseen: photos of the held-out products that chose nothing (evaluate::data::split) are the questions, all products that are not
held out the catalog; the share of the first ten that are of the same category. Own: a product's photo with noise added
to its embedding, its length given beside it, over the whole catalog; whether the product itself comes first, and among
the first ten. The constants are those of rank.rs.
"""

import hashlib
import json
import sqlite3
import sys
from collections import Counter

import numpy as np

WORDS, VOTERS, LEADING, SCALE, LEAST = 0.3, 50, 2, 0.02, 0.05


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def digest(id):
    return hashlib.sha256(id.encode()).digest()


def held_out(id):
    return int.from_bytes(digest(id)[:8], "big") % 10 == 0


def lifted(scores, categories, agreement, leading):
    """The scores with the vote counted in; a row a question, a column a product."""
    scores = scores.copy()
    rows = np.arange(len(scores))[:, None]
    near = np.argpartition(-scores, VOTERS, axis=1)[:, :VOTERS]
    near = np.take_along_axis(near, np.argsort(-np.take_along_axis(scores, near, 1), axis=1), 1)
    heights = np.take_along_axis(scores, near, 1)
    weights = np.exp((heights - heights[:, :1]) / SCALE)
    shares = np.zeros((len(scores), categories.max() + 1), dtype=np.float32)
    np.add.at(shares, (rows, categories[near]), weights / weights.sum(1, keepdims=True))
    shares[shares < LEAST] = 0
    scores += agreement * shares[:, categories]
    if leading:
        scores[rows, near[:, :leading]] = heights[:, :leading] + agreement
    return scores


def main():
    database = sqlite3.connect(sys.argv[1])
    vectors = {(kind, hash): np.frombuffer(vector, dtype="<f4")
               for kind, hash, vector in database.execute("select kind, hash, vector from embeddings")}
    ids, photos, words, names = [], [], [], []
    for id, photo, caption, attributes in database.execute("select id, image_hash, words_hash, attributes from products"):
        category = json.loads(attributes).get("category")
        if category and ("photo", photo) in vectors:
            ids.append(id)
            photos.append(vectors["photo", photo])
            words.append(vectors["words", caption])
            names.append(category[0])
    photos, words = np.array(photos), np.array(words)
    order = sorted(set(names))
    categories = np.array([order.index(name) for name in names])
    products = unit((1 - WORDS) * photos + WORDS * words).astype(np.float32)
    held = np.array([held_out(id) for id in ids])
    asked = held & np.array([digest(id)[8] % 2 == 1 for id in ids])
    counts = Counter(categories[~held])
    asked &= np.array([counts[c] >= 10 for c in categories])
    draw = np.random.default_rng(1)
    own = draw.choice(len(ids), 1000, replace=False)
    print(f"{asked.sum()} unseen photos among {(~held).sum()} products; {len(own)} own ones among {len(ids)}")
    unseen = photos[asked] @ products[~held].T
    noisy = {}
    for noise in (0.3, 0.6, 0.9):
        questions = unit(photos[own] + noise * unit(draw.normal(size=(len(own), photos.shape[1]))))
        noisy[noise] = (questions @ products.T).astype(np.float32)
    for agreement, leading in [(0, 0), (0.1, 0), (0.2, 0), (0.2, 1), (0.2, LEADING), (0.2, 3), (0.4, LEADING)]:
        scores = lifted(unseen, categories[~held], agreement, leading)
        first = np.argpartition(-scores, 10, axis=1)[:, :10]
        right = (categories[~held][first] == categories[asked][:, None]).mean()
        line = f"agreement {agreement}, leading {leading}: unseen P@10 {right:.3f}"
        for noise, scores in noisy.items():
            scores = lifted(scores, categories, agreement, leading)
            place = (scores > np.take_along_axis(scores, own[:, None], 1)).sum(1)
            line += f"; own, noise {noise}: first {(place < 1).mean():.3f}, in ten {(place < 10).mean():.3f}"
        print(line, flush=True)


main()
