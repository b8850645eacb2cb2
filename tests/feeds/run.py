#!/usr/bin/env python3
"""Imports the feed of the shop in shop.py by its address, again after a change, and when it has shrunk, and measures.

usage: python3 tests/feeds/run.py --aglet target/release/aglet [--products 100000] [--port 7400] [--data DIR] [--format xml|tsv]
              [--change 0.01] [--bad-feeds] [--limit 3600] [--report FILE] [-- what else `aglet import` is given, such as --skip-embedding]

The runs: `first`; `again`, where nothing has changed; `changed`, after a share of the pictures and prices has; `shrunk`, where the feed
has a third of the products left and must be refused; `forced`, the same with --force. With --bad-feeds also feeds that are cut off, do
not end, are no feeds or lead inside: each must fail in time, and change nothing.

It prints a table of the runs (time, the process's peak memory, products, requests), one of the first run's losses by the kind of fault
beside what the shop knows to be broken, and what is not as it should be. The exit code is 0 when nothing was: each loss was named with
its product, no other product was, the second and third run fetched what had changed alone, a feed that shrank was refused, and nobody
connected to the inside. Standard library only. It uses the three ports from `--port` on."""
import argparse
import collections
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
# Feeds of shop.py that no import may take.
BAD_FEEDS = ["cut.xml", "error.xml", "html.xml", "to-inside.xml", "bomb.xml.gz", "endless.xml", "slow.xml"]
PRODUCTS = ["new", "changed", "unchanged", "removed"]
COUNTED = re.compile(r"^products\s+(\d+) new, (\d+) changed, (\d+) unchanged, (\d+) removed", re.MULTILINE)


def peak(pid):
    """The most memory that the process has had, in kB; 0 when it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


class Runs:
    def __init__(self, given, folder):
        self.given, self.folder = given, folder
        self.shop = f"http://127.0.0.1:{given.port}"
        self.runs = {}

    def ask(self, path):
        with urllib.request.urlopen(self.shop + path, timeout=120) as answer:
            return json.load(answer)

    def run(self, name, path, *more):
        """One import, to its end or the limit of time."""
        self.ask("/_counts?reset=1")
        rejects = self.folder / f"{name}.rejects.csv"
        hosts = ",".join(f"127.0.0.1:{self.given.port + at}" for at in (0, 1))
        command = [self.given.aglet, "import", "--feed", self.shop + path, "--picture-hosts", hosts,
                   "--data", str(self.given.data), "--rejects", str(rejects), *more, *self.given.more]
        began = time.monotonic()
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
            memory, ended = 0, True
            while process.poll() is None:
                memory = max(memory, peak(process.pid))
                if time.monotonic() - began > self.given.limit:
                    process.kill()
                    process.wait()
                    ended = False
                    break
                time.sleep(0.02 if time.monotonic() - began < 1 else 0.2)
        said = log.read_text(errors="replace")
        counted = COUNTED.search(said)
        counts = self.ask("/_counts")
        rows = []
        if rejects.exists():
            with rejects.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        result = {
            "seconds": round(time.monotonic() - began, 1),
            "peak_mb": round(memory / 1024),
            "exit": process.returncode if ended else "too long",
            "products": dict(zip(PRODUCTS, map(int, counted.groups()))) if counted else None,
            "rejects": len(rows),
            "counts": counts,
            "last": said.strip().splitlines()[-1] if said.strip() else "",
        }
        self.runs[name] = result
        end = counted[0] if counted else result["last"][:100]
        print(f"{name:14} {result['seconds']:7.1f} s {result['peak_mb']:6} MB  exit {result['exit']}  {end}", flush=True)
        return result, rows


def answers(counts, kind, *statuses):
    """How many answers of this kind, `picture` or `picture.good`, had one of these statuses."""
    total = 0
    for name, count in counts["answers"].items():
        of, status = name.rsplit(" ", 1)
        if (of == kind or of.startswith(kind + ".")) and int(status) in statuses:
            total += count
    return total


def reason_of(rows):
    """The commonest reason, without what is different in each."""
    plain = collections.Counter(re.sub(r"\d+", "N", re.sub(r"https?://\S+", "ADDRESS", row["reason"]))[:110] for row in rows)
    return plain.most_common(1)[0][0] if plain else ""


def losses(truth, rows, tries, wrong):
    """The table of what was lost and said, kind by kind."""
    by_id = collections.defaultdict(list)
    for row in rows:
        by_id[row["id"]].append(row)
    table, unsaid = [], []
    for kind, of in truth["kinds"].items():
        ids = [id for id, its in truth["ids"].items() if its == kind]
        want = {"bad_price": "attribute", "no_title": "row"}.get(kind, "photo")
        said = [id for id in ids if any(row["lost"] == want for row in by_id[id])]
        reason = reason_of([row for id in said for row in by_id[id] if row["lost"] == want])
        is_lost = {True: "lost", False: "not lost", None: "either"}[of["lost"]]
        table.append([kind, len(ids), is_lost, len(said), tries.get(kind, ""), reason])
        if of["lost"] and len(said) < len(ids):
            silent = [id for id in ids if id not in said]
            unsaid.append(f"{kind}: {len(silent)} of {len(ids)} were not said, such as {silent[0]}")
        if of["lost"] is False and said:
            unsaid.append(f"{kind}: {len(said)} of {len(ids)} were lost, such as {said[0]}: {reason}")
    wrong += unsaid
    strangers = [row for id, its in by_id.items() if id not in truth["ids"] for row in its]
    if strangers:
        wrong.append(f"{len(strangers)} rejects of products that are as they should be, such as {strangers[0]}")
    return table


def show(head, rows):
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    wide = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, wide)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aglet", required=True)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--broken", type=float, default=0.05)
    parser.add_argument("--distinct", type=int, default=4_000)
    parser.add_argument("--port", type=int, default=7400)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--format", choices=["xml", "tsv"], default="xml")
    parser.add_argument("--change", type=float, default=0.01)
    parser.add_argument("--bad-feeds", action="store_true")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one import")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("more", nargs="*")
    given = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="aglet-feeds-"))
    given.data = given.data or folder / "data"
    settings = [f"--{name}={getattr(given, name)}" for name in ("port", "products", "broken", "distinct")]
    shop = subprocess.Popen([sys.executable, str(HERE / "shop.py"), *settings, "--with-parent"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not shop.stdout.readline().startswith("ready"):
            sys.exit("the shop did not start: are its ports free?")
        ok = go(Runs(given, folder), given)
    finally:
        shop.stdin.close()
        shop.wait()
    print(f"logs and rejects: {folder}")
    sys.exit(0 if ok else 1)


def go(runs, given):
    wrong = []

    def check(right, otherwise):
        if not right:
            wrong.append(otherwise)

    feed = f"/feed.{given.format}"
    truth = runs.ask("/_truth")
    taken = truth["products"] - truth["kinds"]["no_title"]["products"]
    first, rows = runs.run("first", feed)
    table = losses(truth, rows, first["counts"]["most_tries"], wrong)
    check(first["products"] and first["products"]["new"] == taken, f"first: {first['products']}, but {taken} products have a title")
    again, _ = runs.run("again", feed)
    fetched = answers(again["counts"], "picture.good", 200)
    check(fetched == 0, f"again: {fetched} good pictures were fetched whole, though none had changed")
    changed = runs.ask(f"/_change?share={given.change}")
    third, _ = runs.run("changed", feed)
    fetched = answers(third["counts"], "picture.good", 200)
    check(fetched == changed["pictures"], f"changed: {fetched} good pictures were fetched whole, but {changed['pictures']} had changed")
    check(third["products"] and third["products"]["removed"] == 0, f"changed: {third['products']}")
    runs.ask("/_shrink?on=1")
    shrunk, _ = runs.run("shrunk", feed)
    refused = shrunk["exit"] not in (0, 3, "too long") and not shrunk["products"]
    check(refused, f"shrunk: a third of the products was taken for all of them, exit {shrunk['exit']}")
    forced, _ = runs.run("forced", feed, "--force")
    check(forced["products"] is not None, f"forced: exit {forced['exit']}: {forced['last']}")
    runs.ask("/_shrink?on=0")
    if given.bad_feeds:
        for name in BAD_FEEDS:
            result, _ = runs.run(name, "/" + name)
            check(result["exit"] not in (0, 3, "too long"), f"{name}: exit {result['exit']}")
    inside = max(result["counts"]["inside_since_start"] for result in runs.runs.values())
    check(inside == 0, f"{inside} connections to the inside")
    for name, result in runs.runs.items():
        wait = result["counts"]["shortest_wait_after_429"]
        check(wait is None or wait >= 0.9, f"{name}: asked again {wait} s after 429 with Retry-After: 1")
        check(result["exit"] != "too long", f"{name}: not done after {given.limit:.0f} s")

    print()
    head = ["run", "seconds", "peak MB", "exit", *PRODUCTS, "rejects", "feed 200", "feed 304", "picture 200", "picture 304", "other",
            "at once: shop", "slow", "tries", "inside"]
    lines = []
    for name, result in runs.runs.items():
        counts, products = result["counts"], result["products"] or {}
        pictures = sum(count for of, count in counts["answers"].items() if of.startswith("picture"))
        whole, same = answers(counts, "picture", 200), answers(counts, "picture", 304)
        tries = [most for kind, most in counts["most_tries"].items() if kind != "loop"]
        lines.append([
            name, result["seconds"], result["peak_mb"], result["exit"], *(products.get(key, "") for key in PRODUCTS), result["rejects"],
            answers(counts, "feed", 200), answers(counts, "feed", 304), whole, same, pictures - whole - same,
            counts["most_at_once"].get("shop", 0), counts["most_at_once"].get("slow", 0), max(tries, default=0), counts["inside"],
        ])
    show(head, lines)
    print()
    show(["fault", "products", "is", "said", "tries", "the commonest reason"], table)
    print()
    for line in wrong or ["all as it should be"]:
        print(line)
    if given.report:
        given.report.write_text(json.dumps({"runs": runs.runs, "losses": table, "wrong": wrong, "truth": truth["kinds"]}, indent=1))
    return not wrong


if __name__ == "__main__":
    main()
