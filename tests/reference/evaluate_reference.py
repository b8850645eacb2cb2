"""Writes the values that the metrics of src/evaluate/stats are compared with.

ranking_metrics.json  trec_eval's own C code through pytrec-eval-terrier 0.5.11
statistics.json       numpy percentiles, scipy.stats.permutation_test
classification.json   sklearn.metrics.classification_report: text, dictionary, confusion matrix

Run: python tests/reference/evaluate_reference.py   (needs numpy, scipy, scikit-learn, pytrec-eval-terrier)
"""
import json
import math
import pathlib
import warnings

import numpy as np
import pytrec_eval
import scipy.stats
from sklearn.metrics import classification_report, confusion_matrix

HERE = pathlib.Path(__file__).parent
warnings.filterwarnings("ignore")


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def ranking():
    rng = np.random.default_rng(20261124)
    cases = []
    for i in range(80):
        length = int(rng.integers(1, 40))
        relevance = (rng.random(length) < rng.choice([0.05, 0.3, 0.8])).astype(int).tolist()
        beyond = int(rng.integers(0, 4))
        total = sum(relevance) + beyond
        if total == 0:
            relevance[-1], total = 1, 1
        # Places as scores; trec_eval sorts by score, so no ties.
        run = {f"d{p}": float(length - p) for p in range(length)}
        qrel = {f"d{p}": r for p, r in enumerate(relevance)}
        qrel |= {f"x{b}": 1 for b in range(beyond)}
        measures = {"P.1,10", "recall.1,5,10", "recip_rank", "ndcg_cut.10", "map"}
        scores = pytrec_eval.RelevanceEvaluator({"q": qrel}, measures).evaluate({"q": run})["q"]
        cases.append({"relevance": relevance, "total": total, "trec_eval": scores})
    write("ranking_metrics.json", {"source": "trec_eval through pytrec-eval-terrier", "cases": cases})


def statistics():
    rng = np.random.default_rng(7)
    percentiles = []
    for n in (1, 2, 3, 10, 57):
        v = rng.normal(size=n)
        low, median, high = np.percentile(v, [2.5, 50, 97.5])
        percentiles.append({"values": v.tolist(), "low": low, "median": median, "high": high})
    paired = []
    for n, shift in ((4, 0.0), (8, 1.0), (12, 0.4), (14, 3.0), (60, 0.4), (60, 0.0)):
        a = rng.integers(0, 16, size=n).astype(float)
        b = np.clip(a + np.round(rng.normal(shift, 2, size=n)), 0, 15)
        test = scipy.stats.permutation_test(
            (a, b), lambda x, y, axis: np.mean(y - x, axis=axis), permutation_type="samples", vectorized=True,
            n_resamples=200_000 if n > 16 else np.inf, rng=np.random.default_rng(1))
        # Drawn patterns: three standard errors of 10,000 draws.
        tolerance = 1e-9 if n <= 16 else 3 * math.sqrt(0.25 / 10_000)
        paired.append({"first": a.tolist(), "second": b.tolist(), "p_value": float(test.pvalue), "tolerance": tolerance})
    write("statistics.json", {"percentiles": percentiles, "paired": paired})


def classification():
    rng = np.random.default_rng(11)
    names = ["T-shirt/top", "Trouser", "a class with a rather long name", "Dress", "Bag"]
    sets = [
        ("plain", rng.integers(0, 5, 200), None),
        ("never predicted", np.array([0, 1, 2, 3, 4, 0, 1, 2]), np.array([0, 1, 1, 0, 4, 0, 1, 0])),
        ("never true", np.array([0, 0, 1, 1, 0]), np.array([0, 4, 1, 2, 0])),
        ("missing altogether", np.array([0, 0, 4, 4]), np.array([0, 4, 4, 4])),
        ("all wrong", np.array([0, 1]), np.array([1, 0])),
        ("one class", np.array([3, 3, 3]), np.array([3, 3, 3])),
        ("large support", np.repeat([0, 1], [123456, 7]), np.repeat([0, 1, 0], [123450, 6, 7])),
        ("one image", np.array([2]), np.array([1])),
    ]
    cases = []
    for what, true, predicted in sets:
        if predicted is None:
            predicted = np.where(rng.random(len(true)) < 0.6, true, rng.integers(0, 5, len(true)))
        present = sorted(set(true.tolist()) | set(predicted.tolist()))
        for labels, which in ((present, "present"), (list(range(5)), "all")):
            for zero in (0.0, 1.0, math.nan):
                kw = dict(labels=labels, target_names=[names[i] for i in labels], zero_division=zero)
                table = classification_report(true, predicted, output_dict=True, **kw)
                table = json.loads(json.dumps(table).replace("NaN", "null"))
                runs = [[int(t), int(p), int(n)] for (t, p), n in
                        zip(*(lambda u, c: (u.tolist(), c.tolist()))(*np.unique(np.stack([true, predicted], 1), axis=0, return_counts=True)))]
                cases.append({
                    "what": what, "labels": which, "zero_division": None if math.isnan(zero) else zero, "pairs": runs,
                    "text": classification_report(true, predicted, **kw),
                    "text4": classification_report(true, predicted, digits=4, **kw),
                    "table": table, "confusion": confusion_matrix(true, predicted, labels=labels).tolist(),
                })
    write("classification.json", {"names": names, "cases": cases})


ranking()
statistics()
classification()
