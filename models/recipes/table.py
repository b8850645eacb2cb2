"""The table of `models/recipes/train table`: mean over three splits, with a 95% interval from Student's t (2 degrees of
freedom: 4.303 standard errors)."""

import json
import statistics
import sys
from pathlib import Path

work = Path(sys.argv[1])
figures = ["present", "present_macro_f1", "accuracy", "macro_f1"]
print("| | laced shoes | macro F1 | with \"no shoelaces\" | macro F1 |\n| --- | --- | --- | --- | --- |")
scores = {name: [json.loads((work / f"score-{seed}-{name}.json").read_text()) for seed in (1, 2, 3)]
          for name in ("base", "tuned", "mixed")}
rows = {
    "guess from category and color": [s["guess"] for s in scores["base"]],
    "aglet-small-base": [s["scores"]["attribute"] for s in scores["base"]],
    "aglet-small (mixed with the base)": [s["scores"]["attribute"] for s in scores["mixed"]],
    "fine-tuned alone": [s["scores"]["attribute"] for s in scores["tuned"]],
}
for name, splits in rows.items():
    cells = []
    for figure in figures:
        values = [100 * split[figure] for split in splits]
        half = 4.303 * statistics.stdev(values) / len(values) ** 0.5
        cells.append(f"{statistics.mean(values):.1f} ± {half:.1f}")
    print(f"| {name} | {' | '.join(cells)} |")
