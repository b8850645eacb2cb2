#!/usr/bin/env python3
"""Writes to a running service beside searches: how soon a change is found, and what searches pay.

usage: live.py HOST:PORT [--seconds 60] [--writes 50] [--searches 20] [--rounds 2] [--queries FILE]
               [--photos FOLDER --pictures 1]

Give it the address of the admin listener. The service is changed: prices, stock, titles and colors of its products, some are removed and
new ones come in. Each round searches alone, then beside the writes. A write counts as found when a search answers with
its revision or a later one; a search a hundredth of a second looks. `--queries`: JSON Lines with `q` each; without
it searches ask for the first words of titles. `--photos`: a folder of JPEG files, of which `--pictures` a second are
uploaded beside the writes, each to a product of its own; one counts as found when a search by this photo, among the
products with the same mark, answers with it. Standard library only."""
import argparse
import collections
import http.client
import itertools
import json
import pathlib
import random
import threading
import time
import urllib.parse

COLORS = ["Red", "Blue", "Green", "Black"]
KINDS = [("price", 40), ("stock", 20), ("title", 15), ("color", 10), ("new", 10), ("removed", 5)]


class Client:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=120)

    def __call__(self, method, path, body=None, kind="application/json"):
        headers = {"content-type": kind} if body is not None else {}
        self.connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()


class Load:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(4)
        self.lock = threading.Lock()
        self.waiting, self.found, self.errors = [], collections.defaultdict(list), []
        self.done, self.made = False, 0
        status, text = Client(options.address)("GET", "/products")
        assert status == 200, text[:300]
        rows = [json.loads(line) for line in text.splitlines()]
        self.ids = [row["id"] for row in self.random.sample(rows, min(20_000, len(rows)))]
        self.titles = [row["title"] for row in rows]
        photos = sorted(pathlib.Path(options.photos).rglob("*.jpg")) if options.photos else []
        self.photos = itertools.cycle(photos) if photos else None
        if options.queries:
            self.queries = [json.loads(line)["q"] for line in open(options.queries, encoding="utf-8")]
        else:
            self.queries = [" ".join(title.split()[:3]) for title in self.titles[:1_000]]

    def write(self, client):
        kind = self.random.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        path = f"/products/{urllib.parse.quote(self.random.choice(self.ids), safe='')}"
        title = self.random.choice(self.titles)
        color = {"color": [self.random.choice(COLORS)]}
        if kind == "price":
            answer = client("PATCH", path, {"price": round(self.random.random() * 100, 2)})
        elif kind == "stock":
            answer = client("PATCH", path, {"attributes": {"stock": [str(self.random.randrange(50))]}})
        elif kind == "title":
            answer = client("PATCH", path, {"title": title})
        elif kind == "color":
            answer = client("PATCH", path, {"attributes": color})
        elif kind == "new":
            self.made += 1
            path = f"/products/live-{time.time_ns()}-{self.made}"
            answer = client("PUT", path, {"title": title, "attributes": color})
        else:
            answer = client("DELETE", path)
        acknowledged = time.time()
        status, text = answer
        if status in (200, 201):
            written = json.loads(text)
            if written["status"] != "unchanged":
                with self.lock:
                    self.waiting.append((kind, written["revision"], acknowledged))
        elif status not in (204, 404):
            self.errors.append((kind, path, status, text[:200]))

    def picture(self, client):
        mark = f"live-{time.time_ns()}"
        photo = next(self.photos).read_bytes()
        product = {"title": self.random.choice(self.titles), "attributes": {"mark": [mark]}}
        status, text = client("PUT", f"/products/{mark}?wait=searchable", product)
        if status == 201:
            status, text = client("PUT", f"/products/{mark}/pictures/1", photo, "image/jpeg")
        acknowledged = time.time()
        parts = [("image", b'; filename="x"', photo), ("filter", b"", f"mark:{mark}".encode())]
        form = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), rest, value)
            for name, rest, value in parts
        )
        # Asked first for what costs no embedding: whether there is anything to be found yet.
        while status == 200 and time.time() < acknowledged + 30:
            status, text = client("GET", f"/products/{mark}")
            if json.loads(text)["pictures"][0]["embedding"]["status"] == "embedded":
                break
            time.sleep(0.02)
        while status == 200 and time.time() < acknowledged + 30:
            status, text = client("POST", "/search/image", form + b"--b--\r\n", "multipart/form-data; boundary=b")
            if status == 200 and any(hit["picture_url"] for hit in json.loads(text)["hits"]):
                self.found["picture"].append(time.time() - acknowledged)
                return
            time.sleep(0.02)
        self.errors.append(("picture", mark, status, text[:200]))

    def search(self, client):
        query = {"q": self.random.choice(self.queries), "limit": 24, "facets": "color,brand,gender"}
        status, text = client("GET", "/search?" + urllib.parse.urlencode(query))
        if status != 200:
            self.errors.append(("search", query["q"], status, text[:200]))

    def look(self):
        client = Client(self.options.address)
        while not self.done:
            _, text = client("GET", "/search?limit=0")
            revision, now = int(json.loads(text)["index_version"].split("-")[0]), time.time()
            with self.lock:
                for kind, written, at in self.waiting:
                    if written <= revision:
                        self.found[kind].append(now - at)
                self.waiting = [waits for waits in self.waiting if waits[1] > revision]
            time.sleep(0.01)

    def pace(self, work, rate, until, times):
        client, due = Client(self.options.address), time.time()
        while time.time() < until:
            start = time.time()
            work(client)
            times.append(time.time() - start)
            due += 1 / rate
            time.sleep(max(0, due - time.time()))

    def phase(self, writes):
        until, searched, written = time.time() + self.options.seconds, [], []
        work = [(self.search, self.options.searches / 4, searched)] * 4
        if writes:
            work += [(self.write, writes / 4, written)] * 4
        if writes and self.photos:
            work.append((self.picture, self.options.pictures, []))
        threads = [threading.Thread(target=self.pace, args=(do, rate, until, times)) for do, rate, times in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"| {writes:g} writes/s | {line(searched)} | {line(written) if writes else ''} |", flush=True)


def line(times):
    def at(share):
        ordered = sorted(times)
        return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3:.1f}" if ordered else "-"

    return f"{len(times)}: {at(0.5)}, {at(0.95)}, {at(0.99)}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("address")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--writes", type=float, default=50)
    arguments.add_argument("--searches", type=float, default=20)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--queries")
    arguments.add_argument("--photos")
    arguments.add_argument("--pictures", type=float, default=1)
    load = Load(arguments.parse_args())
    threading.Thread(target=load.look, daemon=True).start()
    print("| beside | searches: median, p95, p99 ms | acknowledged: median, p95, p99 ms |\n| --- | --- | --- |")
    for _ in range(load.options.rounds):
        load.phase(0)
        load.phase(load.options.writes)
    time.sleep(5)
    load.done = True
    print("\n| change | found after: median, p95, p99 ms |\n| --- | --- |")
    for kind, times in sorted(load.found.items()):
        print(f"| {kind} | {line(times)} |")
    print(f"\n{len(load.waiting)} not found, {len(load.errors)} errors {load.errors[:3]}")


if __name__ == "__main__":
    main()
