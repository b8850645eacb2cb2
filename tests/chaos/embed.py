#!/usr/bin/env python3
"""Several workers embed one catalog: whether each product is embedded once, how fast, and what becomes of one that is killed.

usage: embed.py --aglet target/release/aglet [--products 5000] [--workers 1,2,3] [--killed 2] [--report FILE]

Draws a catalog with pictures (`aglet demo`), imports it into PostgreSQL without embedding it, and has copies of that database
embedded by `aglet embed --once`, by so many workers at a time; then by `--killed` workers of which one is ended by SIGKILL when half
is done. A worker stands for a machine with one core: it computes with one thread and is kept on one core of this machine, so more
workers than cores share them. The exit code is 0 when nothing is missing, nothing was done twice while nobody was killed, and all runs
gave the same vectors. One thing may be done twice, and is written once: a caption that two products have, when two workers have these
at the same time. Needs `make postgres runtime` and a port. Standard library only."""
import argparse
import array
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import postgres
import service

ROOT = postgres.ROOT
BASE = "base"
LINE = re.compile(r"embedded.*?photos=(\d+).*?words=(\d+).*?failed=(\d+)")
COLORS = re.compile(r"\x1b\[[0-9;]*m")


# How long what a worker has taken is its own, in seconds.
LEASE = 120


def killed_well(killed):
    """The worker was killed while it had something, and that was taken again when its time was over."""
    return bool(killed and killed["left behind"]) and LEASE - 40 <= (killed["taken again after"] or 0) <= LEASE + 30


class Worker:
    """`aglet embed --once`, on one core."""

    def __init__(self, aglet, number, data, database):
        self.log = data.parent / f"{data.name}.log"
        command = aglet.command("embed", data, database, "--once", "--session-threads", 1, "--text-sessions", 1, "--image-sessions", 1,
                                "--device", "cpu")
        cores = sorted(os.sched_getaffinity(0))
        core = cores[number % len(cores)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=aglet.environment, stdout=log, stderr=log, cwd=ROOT,
                                            preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        self.code = self.cpu = None
        self.killed = False

    def ended(self):
        if self.code is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
                # It was waited for here.
                self.process.returncode = self.code
        return self.code is not None

    def kill(self):
        self.killed = True
        self.process.send_signal(signal.SIGKILL)

    def said(self):
        """What its log says it embedded: photos, words, failures."""
        lines = LINE.findall(COLORS.sub("", self.log.read_text(errors="replace")))
        return [sum(int(line[at]) for line in lines) for at in range(3)]


class Run:
    def __init__(self, given):
        self.given = given
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aglet-embed-"))
        self.folder.chmod(0o755)
        self.server = postgres.Server(self.folder / "postgres", given.port)
        self.aglet = service.Aglet(given.aglet, given.model, given.runtime)
        self.result = {"settings": {name: str(value) for name, value in vars(given).items()}, "cores": len(os.sched_getaffinity(0)),
                       "runs": []}
        self.vectors, self.workers = None, []

    def prepare(self):
        drawn = self.given.cache / f"drawn-{self.given.products}"
        if not drawn.is_dir():
            partial = drawn.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            self.aglet.run([str(self.aglet.program), "demo", "--out", str(partial), "--products", str(self.given.products), "--seed", "1"])
            partial.rename(drawn)
            print(f"drawn in {time.monotonic() - began:.0f} s", flush=True)
        self.server.make()
        self.server.start()
        postgres.ask(self.server.port, "postgres", f"CREATE DATABASE {BASE}")
        began = time.monotonic()
        self.aglet.run(self.aglet.command(
            "import", self.folder / "import", self.server.url(BASE), "--styles", drawn / "styles.csv", "--images", drawn / "images",
            "--shoelaces", drawn / "shoelaces.csv", "--skip-embedding"))
        print(f"imported in {time.monotonic() - began:.1f} s", flush=True)

    def number(self, database, sql):
        return int(postgres.ask(self.server.port, database, sql, timeout=60)[0][0])

    def embed(self, workers, kill):
        name = f"by_{workers}" + ("_killed" if kill else "")
        postgres.ask(self.server.port, "postgres", f"CREATE DATABASE {name} TEMPLATE {BASE}", timeout=120)
        session = postgres.Session(self.server.port, name, timeout=60)
        began = time.monotonic()
        self.workers = [Worker(self.aglet, number, self.folder / f"{name}-{number}", self.server.url(name)) for number in range(workers)]
        progress, killed, most = [], None, 0
        while not all([worker.ended() for worker in self.workers]):
            waits, made = map(int, session.ask("SELECT (SELECT count(*) FROM work), (SELECT count(*) FROM embeddings)")[0])
            at, most = time.monotonic() - began, max(most, waits)
            progress.append((at, waits, made))
            if kill and killed is None and made and waits < most / 2:
                self.workers[0].kill()
                # What was taken until now, and by whomever, comes back at this time (Unix seconds) at the latest.
                back = int(time.time()) + LEASE
                killed = {"after": round(at, 1), "then waited": waits, "left behind": None, "taken again after": None}
            if killed and killed["taken again after"] is None:
                left = int(session.ask(f"SELECT count(*) FROM work WHERE due > 0 AND due <= {back}")[0][0])
                since = round(at - killed["after"], 1)
                # By then the others are through with theirs.
                if since < LEASE / 3:
                    killed["left behind"] = left
                elif left == 0:
                    killed["taken again after"] = since
            if at > self.given.limit:
                raise TimeoutError(f"{name} takes longer than {self.given.limit} s")
            time.sleep(0.25)
        session.close()
        # From the start of the programs to the look that saw the last piece done.
        elapsed = next(at for at, waits, made in progress[::-1] + [(0.0, 1, 0)] if waits > 0 or not made) + 0.25
        row = {"workers": workers, "killed": killed, "elapsed, s": round(elapsed, 1),
               "products a second": round(self.given.products / elapsed, 1),
               "cpu, s": [round(worker.cpu, 1) for worker in self.workers], "exit codes": [worker.code for worker in self.workers],
               "said: photos, words, failed": [worker.said() for worker in self.workers]}
        self.check(row, name, kill)
        self.result["runs"].append(row)
        print(json.dumps(row), flush=True)

    def check(self, row, name, kill):
        count = lambda sql: self.number(name, sql)
        said = [sum(worker.said()[at] for worker in self.workers) for at in range(3)]
        rows = {kind: count(f"SELECT count(*) FROM embeddings WHERE kind = '{kind}'") for kind in ("photo", "words")}
        needed = {"photo": count("SELECT count(DISTINCT hash) FROM pictures"),
                  "words": count("SELECT count(DISTINCT caption_hash) FROM products")}
        pictures = count("SELECT count(*) FROM pictures")
        without = count("SELECT count(*) FROM products AS p WHERE NOT EXISTS (SELECT 1 FROM embeddings WHERE kind = 'words' AND "
                        "hash = p.caption_hash) OR NOT EXISTS (SELECT 1 FROM pictures AS i JOIN embeddings AS e ON e.kind = 'photo' AND "
                        "e.hash = i.hash WHERE i.product = p.key)")
        row["embeddings"], row["contents"] = rows, needed
        row["products without one"] = without
        row["still waiting"] = count("SELECT count(*) FROM work")
        row["failures"] = count("SELECT count(*) FROM failures") + said[2]
        # A worker that was killed has said nothing.
        row["pictures embedded twice"] = None if kill else said[0] - pictures
        row["captions embedded twice"] = None if kill else said[1] - needed["words"]
        # Of products whose captions are equal, two workers may have one each at the same time.
        row["products with the caption of another"] = count("SELECT count(*) FROM products") - needed["words"]
        vectors = {(kind, digest): base64.b64decode(vector) for kind, digest, vector in postgres.ask(
            self.server.port, name,
            "SELECT kind, encode(hash, 'hex'), translate(encode(vector, 'base64'), E'\\n', '') FROM embeddings", 120)}
        if self.vectors is None:
            self.vectors = vectors
        row["contents as in the first run"] = vectors.keys() == self.vectors.keys()
        apart = 0.0
        for key, vector in vectors.items():
            other = self.vectors.get(key, vector)
            if other != vector:
                apart = max(apart, *(abs(a - b) for a, b in zip(array.array("f", vector), array.array("f", other))))
        row["vectors apart by at most"] = apart
        row["holds"] = (
            rows == needed and without == 0 and row["still waiting"] == 0 and row["failures"] == 0 and row["contents as in the first run"]
            and apart < 1e-4 and all(worker.code == 0 or worker.killed for worker in self.workers)
            and (not kill or killed_well(row["killed"]))
            and (kill or row["pictures embedded twice"] == 0)
            and (kill or row["captions embedded twice"] <= row["products with the caption of another"]))

    def end(self):
        for worker in self.workers:
            if not worker.ended():
                worker.process.kill()
                worker.process.wait()
        self.server.end()
        if self.given.keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def tell(result):
    print(f"\n{result['cores']} cores")
    print(f"{'workers':<20} {'s':>7} {'products/s':>11} {'cpu s of each':<22} {'twice: pictures, captions':<26} without  holds")
    for row in result["runs"]:
        name = str(row["workers"]) + (f", one killed at {row['killed']['after']} s" if row["killed"] else "")
        twice = f"{row['pictures embedded twice']}, {row['captions embedded twice']}"
        print(f"{name:<20} {row['elapsed, s']:>7} {row['products a second']:>11} {str(row['cpu, s']):<22} {twice:<26} "
              f"{row['products without one']:>7}  {row['holds']}")
        if row["killed"]:
            print(f"    {json.dumps(row['killed'])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aglet", type=pathlib.Path, default=ROOT / "target/release/aglet")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/aglet-small")
    parser.add_argument("--runtime", type=pathlib.Path, default=ROOT / ".runtime")
    parser.add_argument("--products", type=int, default=5_000)
    parser.add_argument("--workers", default="1,2,3", help="numbers of workers, a run each")
    parser.add_argument("--killed", type=int, default=2, help="workers of the run of which one is killed; 0: no such run")
    parser.add_argument("--limit", type=float, default=1_800, help="seconds that a run may take")
    parser.add_argument("--port", type=int, default=7480)
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "aglet-chaos-cache")
    parser.add_argument("--report", type=pathlib.Path, help="where the whole report is written to, as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the folder with data and logs")
    # Whoever ends the script ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run = Run(parser.parse_args())
    try:
        run.prepare()
        for workers in map(int, filter(None, run.given.workers.split(","))):
            run.embed(workers, kill=False)
        if run.given.killed:
            run.embed(run.given.killed, kill=True)
        tell(run.result)
        if run.given.report:
            run.given.report.write_text(json.dumps(run.result, indent=1) + "\n")
    finally:
        run.end()
    sys.exit(0 if all(row["holds"] for row in run.result["runs"]) else 1)


if __name__ == "__main__":
    main()
