#!/usr/bin/env python3
"""Three services share a catalog on PostgreSQL, are searched and written through HAProxy, and lose parts all the while.

usage: run.py --aglet target/release/aglet [--products 30000] [--seconds 600] [--searches 20] [--writes 5] [--report FILE]

A random service is killed (SIGKILL) every `--kill-every` seconds and started again a second later. PostgreSQL is restarted in an
orderly way after a quarter of the time, ends as in a crash after half, and after three quarters its primary is lost with all of its
processes and the streaming standby is promoted. Each answer is checked, each acknowledged write remembered. The exit code is 0 when
nothing acknowledged was lost, nothing was answered wrongly, no search failed but while the standby took over (those that are not
tried again by the balancer do not count), the services end up alike, and `aglet verify` finds no difference. Needs HAProxy, `make
postgres runtime` and ports from `--port` on. Standard library only."""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import haproxy
import load
import postgres
import service
import shop as shops

ROOT = postgres.ROOT
DATABASE = "aglet"
REPLICAS = ["one", "two", "three"]
# Settings of both servers. A commit is answered once the standby has it on disk: what was acknowledged outlives the primary. `on` is
# enough for that; remote_apply would also have it visible on the standby, which nobody reads.
PRIMARY = {"synchronous_standby_names": "standby", "synchronous_commit": "on"}
# A standby that lost its primary for a moment looks for it at once: until it is back no commit is answered.
STANDBY = {"wal_retrieve_retry_interval": "500ms", "hot_standby": "on"}


class Run:
    def __init__(self, given):
        self.given = given
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="aglet-chaos-"))
        self.folder.chmod(0o755)
        self.events, self.began = [], time.monotonic()
        base = given.port
        self.ports = {"public": base, "plain": base + 1, "postgres": base + 50}
        self.primary = postgres.Server(self.folder / "primary", base + 51, **PRIMARY)
        self.standby = postgres.Server(self.folder / "standby", base + 52, **STANDBY)
        self.checks = [postgres.Check(self.primary, base + 61), postgres.Check(self.standby, base + 62)]
        self.aglet = service.Aglet(given.aglet, given.model, given.runtime)
        self.url = f"postgres://{postgres.USER}@127.0.0.1:{self.ports['postgres']}/{DATABASE}"
        self.replicas = [service.Replica(self.aglet, name, base + 10 * (at + 1), self.folder / name, self.url,
                                         self.folder / f"{name}.log", self.note) for at, name in enumerate(REPLICAS)]
        self.balancer = None
        self.shop = shops.Shop(given.products)
        self.result = {"settings": {name: str(value) for name, value in vars(given).items()}}

    def note(self, kind, what):
        at = time.monotonic() - self.began
        self.events.append({"at": round(at, 2), "kind": kind, "what": what})
        print(f"{at:7.1f} s  {what}", flush=True)
        return self.events[-1]

    # --- before ---------------------------------------------------------------------------------------------------

    def prepare(self):
        """The catalog, embedded, in the primary's folder: made once and kept for the next run."""
        kept = self.given.cache / f"catalog-{self.given.products}.tar"
        if kept.is_file():
            subprocess.run(["tar", "-xf", kept, "-C", self.primary.folder], check=True)
            print(f"the catalog of {self.given.products} products is {kept}'s", flush=True)
            return
        lines = self.folder / "products.jsonl"
        self.shop.write_lines(lines)
        # No standby is there yet that a commit could wait for.
        alone = postgres.Server(self.primary.folder, self.primary.port)
        alone.make()
        alone.start()
        try:
            postgres.ask(alone.port, "postgres", f"CREATE DATABASE {DATABASE}")
            began = time.monotonic()
            self.aglet.run(self.aglet.command("import", self.folder / "import", alone.url(DATABASE), "--products", lines))
            self.result["import and embedding, s"] = round(time.monotonic() - began, 1)
            print(f"imported and embedded in {self.result['import and embedding, s']} s", flush=True)
            postgres.ask(alone.port, DATABASE, "VACUUM ANALYZE", timeout=300)
        finally:
            alone.stop()
        self.given.cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        subprocess.run(["tar", "-cf", partial, "-C", alone.folder, "data"], check=True)
        partial.rename(kept)

    def start(self):
        self.primary.start()
        self.standby.copy_of(self.primary, "standby")
        self.standby.start()
        sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
        postgres.wait_for(lambda: postgres.ask(self.primary.port, "postgres", sync) == [("1",)], 60, "the standby follows")
        for check in self.checks:
            check.start()
        self.balancer = haproxy.HAProxy(
            self.folder, self.ports,
            [("primary", self.primary.port, self.given.port + 61), ("standby", self.standby.port, self.given.port + 62)],
            [(replica.name, replica.port) for replica in self.replicas])
        postgres.wait_for(self.database_answers, 30, "the balancer finds the primary")
        self.keys = {scope: self.aglet.key(self.folder / "import", self.url, scope) for scope in ("search", "write", "admin")}
        for replica in self.replicas:
            replica.start()
            took = postgres.wait_for(lambda port=replica.port: service.ready(port)[0], 600, f"{replica.name} is ready")
            print(f"{replica.name} is ready after {took:.1f} s", flush=True)
        # Not before the balancer has seen it too.
        postgres.wait_for(lambda: service.ask(self.ports["public"], "GET", "/search?limit=0", self.keys["search"])[0] == 200, 30,
                          "the balancer finds the services")
        time.sleep(2)

    def database_answers(self):
        """Through the balancer, and takes writes."""
        try:
            return postgres.ask(self.ports["postgres"], DATABASE, "SELECT pg_is_in_recovery()", 2) == [("f",)]
        except (OSError, postgres.Refused):
            return False

    # --- meanwhile ------------------------------------------------------------------------------------------------

    def kills(self, until):
        dice = random.Random(self.given.seed)
        due = self.began + self.given.kill_every
        while due < until:
            time.sleep(max(0, due - time.monotonic()))
            # Some ended by themselves, or are still starting: another one then.
            some = [replica for replica in self.replicas if replica.process.poll() is None]
            if some:
                replica = dice.choice(some)
                if replica.kill():
                    event = self.note("kill", f"{replica.name} is killed")
                    threading.Thread(target=self.recovers, args=(replica, event), daemon=True).start()
            due += self.given.kill_every

    def recovers(self, replica, event):
        time.sleep(0.5)
        try:
            postgres.wait_for(lambda: service.ready(replica.port)[0], 300, replica.name)
            event["end"] = round(time.monotonic() - self.began, 2)
        except TimeoutError:
            event["end"] = None

    def away(self, kind, what, act):
        """An event of the database: from its begin until the balancer has a primary again."""
        event = self.note(kind, what)
        window = [time.monotonic(), None]
        self.load.away.append(window)
        act()
        postgres.wait_for(self.database_answers, 120, "a primary")
        window[1] = time.monotonic()
        event["end"] = round(window[1] - self.began, 2)
        event["away"] = round(window[1] - window[0], 2)
        self.note("database", f"the database is back after {event['away']} s")

    def restart(self, mode):
        def act():
            self.primary.stop(mode)
            time.sleep(self.given.pause)
            self.primary.start()
        return act

    def fail_over(self):
        self.primary.kill()
        # What watches the primary takes a moment to be sure.
        time.sleep(self.given.pause)
        self.standby.promote()

    def chaos(self):
        seconds = self.given.seconds
        self.began = time.monotonic()
        self.events.clear()
        self.load = load.Load(self.given, self.shop, self.ports, self.replicas, self.keys, self.began)
        self.load.start()
        killer = threading.Thread(target=self.kills, args=(self.began + seconds - 5,), daemon=True)
        killer.start()
        plan = [
            (0.25, "restart", "PostgreSQL is restarted", self.restart("fast")),
            (0.50, "crash", "PostgreSQL ends at once, and is started", self.restart("immediate")),
            (0.75, "promotion", "the primary is lost", self.fail_over),
        ]
        for share, kind, what, act in plan:
            time.sleep(max(0, self.began + share * seconds - time.monotonic()))
            self.away(kind, what, act)
        time.sleep(max(0, self.began + seconds - time.monotonic()))
        killer.join()
        self.load.end()
        self.note("end", "the load ends")

    # --- after ----------------------------------------------------------------------------------------------------

    def catch_up(self):
        """All services at the revision of the database, and nothing waits to be embedded."""
        def alike():
            revision = postgres.ask(self.standby.port, DATABASE, "SELECT revision FROM state")[0][0]
            waits = postgres.ask(self.standby.port, DATABASE, "SELECT count(*) FROM work")[0][0]
            self.revisions = {"database": revision, "waiting": waits}
            for replica in self.replicas:
                up, report = service.ready(replica.port)
                self.revisions[replica.name] = report.get("index_version", "") if up else "not ready"
            versions = {self.revisions[name] for name in REPLICAS}
            return waits == "0" and len(versions) == 1 and revision in versions.pop()

        try:
            self.result["caught up after, s"] = round(postgres.wait_for(alike, 240, "the services catch up"), 1)
        except TimeoutError:
            self.result["caught up after, s"] = None
        self.result["revisions"] = self.revisions

    def compare_database(self):
        """Every product with what was acknowledged last."""
        rows = {}
        for product, title, price, attributes, version in postgres.ask(
                self.standby.port, DATABASE, "SELECT id, title, price::text, attributes, version FROM products", timeout=120):
            attributes = {name: values[0] for name, values in json.loads(attributes).items()}
            rows[product] = ({"title": title, "price": price and float(price), **{name: attributes.get(name) for name in shops.ATTRIBUTES}},
                             int(version))
        lost, doubtful, refused = [], collections.Counter(), 0
        for product in self.shop.products.values():
            found, version = rows.pop(product.id, (None, None))
            states = product.now()
            if found not in states:
                lost.append({"id": product.id, "acknowledged": states, "found": found})
            elif product.revision is not None and version != product.revision:
                lost.append({"id": product.id, "acknowledged revision": product.revision, "found": version})
            elif len(states) > 1:
                made = found != states[0]
                doubtful["made" if made else "not made"] += product.doubtful
                refused += made and not product.doubtful
        lost += [{"id": product, "acknowledged": "never written", "found": found} for product, (found, _) in rows.items()]
        self.result["database"] = {"products": len(self.shop.products), "lost": len(lost), "lost ones": lost[:20],
                                   "unknown writes": dict(doubtful), "refused, and made all the same": refused}

    def compare_indexes(self):
        """What each service finds of what was written: by its price, and what was deleted by its number."""
        dice, wrong, asked = random.Random(7), [], 0
        written = sorted(set(self.shop.written))
        dice.shuffle(written)
        for product in (self.shop.products[one] for one in written[:self.given.sample]):
            states = product.now()
            if len(states) > 1:
                continue
            state = states[0]
            path = f"/search?q={product.id}&limit=3"
            if state is not None:
                path = f"/search?filter=price:{state['price']}..{state['price']}&limit=3"
            for replica in self.replicas:
                status, _, body = service.ask(replica.port, "GET", path, self.keys["search"])
                ids = [hit["id"] for hit in json.loads(body)["hits"]] if status == 200 else status
                asked += 1
                if status != 200 or (product.id in ids) != (state is not None):
                    wrong.append({"id": product.id, "replica": replica.name, "path": path, "found": ids})
        self.result["written, in the indexes"] = {"asked": asked, "wrong": len(wrong), "wrong ones": wrong[:20]}

    def compare_answers(self):
        """The same queries at each service: whether they are answered alike, and how not."""
        differences, kinds, apart = [], collections.Counter(), 0
        for kind, path in self.queries():
            kinds[kind] += 1
            answers = []
            for replica in self.replicas:
                status, _, body = service.ask(replica.port, "GET", path, self.keys["search"])
                answer = json.loads(body) if status == 200 else {"hits": [], "estimated_total": f"status {status}"}
                answers.append({"hits": [(hit["id"], hit["score"]) for hit in answer["hits"]], "total": answer["estimated_total"],
                                "facets": answer.get("facets")})
            ids = [[one for one, _ in answer["hits"]] for answer in answers]
            if ids[0] == ids[1] == ids[2]:
                # The last digits depend on the order in which numbers are added up.
                scores = zip(*([score for _, score in answer["hits"]] for answer in answers))
                by = max((max(some) - min(some) for some in scores), default=0)
                apart = max(apart, by)
                if by <= self.given.scores:
                    for answer in answers:
                        answer["hits"] = ids[0]
            if answers[0] == answers[1] == answers[2]:
                continue
            how = []
            if len({frozenset(one) for one in ids}) > 1:
                common = set(ids[0]) & set(ids[1]) & set(ids[2])
                how.append(f"{len(common)} of {len(ids[0])} hits in common")
            elif len({tuple(one) for one in ids}) > 1:
                how.append("the same hits in another order")
            elif len({tuple(answer["hits"]) for answer in answers}) > 1:
                how.append(f"the same hits with scores apart by {by:.2g}")
            totals = [answer["total"] for answer in answers]
            if len(set(totals)) > 1:
                how.append(f"totals {totals}")
            if answers[0]["facets"] != answers[1]["facets"] or answers[0]["facets"] != answers[2]["facets"]:
                how.append("other facets")
            differences.append({"kind": kind, "path": path, "how": "; ".join(how)})
        by_kind = collections.Counter(one["kind"] for one in differences)
        self.result["answers"] = {"queries": sum(kinds.values()), "different": len(differences), "scores apart by at most": apart,
                                  "by kind": {kind: f"{by_kind[kind]} of {number}" for kind, number in kinds.items()},
                                  "differences": differences}

    def queries(self):
        dice = random.Random(11)
        pick = lambda: self.shop.products[dice.choice(self.shop.moving)]
        words = load.WORDS + [f"{color} {category}" for color in shops.COLORS for category in shops.CATEGORIES]
        words += [f"{brand} {category} {gender}" for brand in shops.BRANDS for category in shops.CATEGORIES[:4]
                  for gender in shops.GENDERS[:2]]
        for text in dice.sample(words, 80):
            yield "words", f"/search?q={load.quoted(text.lower())}&limit=24&facets=color,brand"
        for text in dice.sample(words, 30):
            yield "vectors", f"/search?q={load.quoted(text.lower())}&limit=24&mode=vector"
        for _ in range(15):
            yield "title", f"/search?q={load.quoted(self.shop.products[dice.choice(self.shop.still)].now()[0]['title'])}&limit=24"
        for _ in range(15):
            yield "number", f"/search?q={pick().id}&limit=24"
        for _ in range(30):
            color, category = dice.choice(shops.COLORS), load.quoted(dice.choice(shops.CATEGORIES))
            sort = dice.choice(["", "&sort=price", "&sort=-price", "&sort=-created"])
            yield "filter", f"/search?color={color}&filter=category:{category}&limit=50&facets=brand,gender,price{sort}"
        for _ in range(30):
            yield "like", f"/products/{dice.choice(self.shop.still)}/similar?limit=24"

    def verify(self):
        """`aglet verify` of each service's data folder."""
        self.result["verify"] = {}
        for replica in self.replicas:
            done = self.aglet.run(self.aglet.command("verify", replica.data, self.url), allowed=(0, 1))
            text = done.stdout.strip()
            clean = done.returncode == 0 and text.endswith(" 0 differences")
            self.result["verify"][replica.name] = {"clean": clean, "said": text[-600:] or done.stderr[-600:]}

    def logs(self):
        """Lines of the services' logs by what they say, errors and panics."""
        counts = collections.Counter()
        for replica in self.replicas:
            for line in replica.log.read_text(errors="replace").splitlines():
                if "panicked" in line:
                    counts["PANIC " + line[-120:]] += 1
                elif " ERROR " in line:
                    what = re.sub(r"\{id\}", "ID", line.split(" ERROR ", 1)[1])
                    counts["ERROR " + re.sub(r"request\{.*?\}:", "request:", what)[:160]] += 1
        self.result["log"] = dict(counts.most_common(30))
        self.result["exits"] = {replica.name: replica.exits for replica in self.replicas}

    def end(self):
        for replica in self.replicas:
            if replica.is_alive():
                replica.end()
        if self.balancer:
            self.balancer.end()
        for check in self.checks:
            if check.is_alive():
                check.end()
        for server in (self.primary, self.standby):
            server.end()
        if not self.given.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept: {self.folder}")


# --- the report -------------------------------------------------------------------------------------------------------


def windows(events, settle):
    """(name, from, to) of each event, the heaviest first; an event lasts until its part is back, and a moment longer."""
    order = ["promotion", "crash", "restart", "kill"]
    found = [(event["kind"], event["at"] - 0.5, (event.get("end") or event["at"] + 60) + settle, event)
             for event in events if event["kind"] in order]
    return sorted(found, key=lambda one: order.index(one[0]))


def within(one, found):
    for name, begin, end, _ in found:
        if one["asked"] <= end and one["answered"] >= begin:
            return name
    return "calm"


def summary(run):
    given, loaded, result = run.given, run.load, run.result
    found = windows(run.events, given.settle)
    table = {}
    for name in ("calm", "kill", "restart", "crash", "promotion"):
        table[name] = collections.Counter()
    for one in loaded.searches:
        row = table[within(one, found)]
        kind = "search" if one["tried again"] else "plain"
        row[kind] += 1
        row[f"{kind} failed"] += one["status"] != 200
        row["slowest"] = max(row["slowest"], one["took"])
    for one in loaded.writes:
        row = table[within(one, found)]
        row[one["outcome"]] += 1
        row["slowest write"] = max(row["slowest write"], one["took"])
    took = sorted(one["took"] for one in loaded.searches if one["status"] == 200)
    at = lambda share: round(1000 * took[min(len(took) - 1, int(len(took) * share))], 1) if took else None
    statuses = collections.Counter(f"{'' if one['tried again'] else 'plain '}{one['status']}" for one in loaded.searches)
    failed = collections.Counter(f"{within(one, found)}: {one['status']} {one['said']}" for one in loaded.searches
                                 if one["status"] != 200 and one["tried again"])
    products = collections.Counter()
    for one in loaded.writes:
        products[one["outcome"]] += one["lines"]
    refused = collections.Counter(f"{one['outcome']}: {one['status']} {one['said']}" for one in loaded.writes
                                  if one["outcome"] != "acknowledged")
    result.update({
        "events": run.events,
        "windows": {name: {key: round(value, 3) for key, value in row.items()} for name, row in table.items()},
        "searches": {"all": len(loaded.searches), "by status": dict(statuses), "p50 ms": at(0.5), "p99 ms": at(0.99),
                     "slowest ms": at(1), "failed": dict(failed)},
        "writes": {"requests": dict(collections.Counter(one["outcome"] for one in loaded.writes)),
                   "products": dict(products),
                   "not acknowledged": dict(refused)},
        "wrong": {"all": len(loaded.wrong), "by kind": dict(collections.Counter(one["kind"] for one in loaded.wrong)),
                  "first": loaded.wrong[:40]},
        "oldest answer, s": round(loaded.oldest, 2),
        "waited for": dict(collections.Counter(loaded.waits)),
        "around": [around(event, loaded) for _, _, _, event in sorted(found, key=lambda one: one[1])],
        "seconds": by_second(loaded),
    })


def around(event, loaded):
    """Second by second from 5 before to 20 after an event, and when things went well again."""
    back = event.get("end") and round(event["end"] - event["at"], 1)
    row = {"kind": event["kind"], "at": event["at"], "what": event["what"], "back after": back}
    near = [one for one in loaded.searches if event["at"] - 5 <= one["at"] < event["at"] + 20]
    later = [one for one in near if one["at"] >= event["at"]]
    bad = [one for one in later if one["status"] != 200 and one["tried again"]]
    row["failed"] = len(bad)
    row["plain failed"] = sum(one["status"] != 200 and not one["tried again"] for one in later)
    row["slowest"] = round(max((one["took"] for one in later), default=0), 2)
    row["last failed after"] = round(max((one["answered"] for one in bad), default=event["at"]) - event["at"], 1)
    writes = [one for one in loaded.writes if event["at"] <= one["at"] < event["at"] + 20]
    for outcome in ("acknowledged", "refused", "unknown"):
        row[outcome] = sum(one["outcome"] == outcome for one in writes)
    return row


def by_second(loaded):
    rows = collections.defaultdict(collections.Counter)
    for one in loaded.searches:
        row = rows[int(one["at"])]
        row["ok" if one["status"] == 200 else "failed" if one["tried again"] else "plain failed"] += 1
        row["slowest ms"] = max(row["slowest ms"], round(1000 * one["took"]))
    for one in loaded.writes:
        rows[int(one["at"])][one["outcome"]] += 1
    return {second: dict(row) for second, row in sorted(rows.items())}


def verdicts(run):
    """What must hold, and whether it does."""
    result, given = run.result, run.given
    count = lambda kind: sum(event["kind"] == kind for event in run.events)
    elsewhere = sum(row.get("search failed", 0) for name, row in result["windows"].items() if name != "promotion")
    return {
        f"all events came: {count('kill')} kills, {count('restart')} restart, {count('crash')} crash, {count('promotion')} promotion":
            count("kill") >= given.seconds // given.kill_every - 2 and count("restart") == count("crash") == count("promotion") == 1,
        f"no acknowledged write lost: {result['database']['lost']} of {result['writes']['products'].get('acknowledged', 0)}":
            result["database"]["lost"] == 0 and result["writes"]["products"].get("acknowledged", 0) > 0,
        f"no wrong answer: {result['wrong']['all']}": result["wrong"]["all"] == 0,
        f"no search failed but during the promotion: {elsewhere}": elsewhere == 0,
        f"what was waited for is found: {result['waited for']}": result["waited for"].get("wrong", 0) == 0,
        f"caught up after: {result['caught up after, s']} s": result["caught up after, s"] is not None,
        f"what was written is found by each service: {result['written, in the indexes']['wrong']} of "
        f"{result['written, in the indexes']['asked']} wrong": result["written, in the indexes"]["wrong"] == 0,
        f"answers alike: {result['answers']['different']} of {result['answers']['queries']} differ":
            result["answers"]["different"] <= given.differences,
        "aglet verify is clean": all(one["clean"] for one in result["verify"].values()),
        "no panic": not any(line.startswith("PANIC") for line in result["log"]),
    }


def tell(run, held):
    result = run.result
    print(f"\n{'while':<10} {'searches':>9} {'failed':>7} {'not tried again':>16} {'failed':>7} {'slowest s':>10}"
          f" {'writes':>7} {'refused':>8} {'unknown':>8} {'slowest s':>10}")
    for name, row in result["windows"].items():
        print(f"{name:<10} {row.get('search', 0):>9} {row.get('search failed', 0):>7} {row.get('plain', 0):>16}"
              f" {row.get('plain failed', 0):>7}"
              f" {row.get('slowest', 0):>10.2f} {row.get('acknowledged', 0):>7} {row.get('refused', 0):>8} {row.get('unknown', 0):>8}"
              f" {row.get('slowest write', 0):>10.2f}")
    print(f"\n{'event':<10} {'at s':>6} {'back s':>7} {'failed':>7} {'plain':>6} {'last failed s':>14} {'slowest s':>10} {'written':>8}"
          f" {'refused':>8} {'unknown':>8}   (of the 20 s from it on)")
    for row in result["around"]:
        back = "-" if row["back after"] is None else row["back after"]
        print(f"{row['kind']:<10} {row['at']:>6.0f} {back:>7} {row['failed']:>7} {row['plain failed']:>6} {row['last failed after']:>14}"
              f" {row['slowest']:>10} {row['acknowledged']:>8} {row['refused']:>8} {row['unknown']:>8}")
    for name in ("searches", "writes", "wrong", "oldest answer, s", "waited for", "database", "written, in the indexes", "revisions",
                 "balancer", "verify", "exits", "log"):
        print(f"\n{name}: {json.dumps(result[name], indent=1)[:3000]}")
    answers = dict(result["answers"], differences=result["answers"]["differences"][:10])
    print(f"\nanswers: {json.dumps(answers, indent=1)}\n")
    for what, holds in held.items():
        print(f"{'holds' if holds else 'FAILS'}  {what}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aglet", type=pathlib.Path, default=ROOT / "target/release/aglet")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/aglet-small")
    parser.add_argument("--runtime", type=pathlib.Path, default=ROOT / ".runtime")
    parser.add_argument("--products", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--searches", type=float, default=20, help="a second")
    parser.add_argument("--writes", type=float, default=5, help="a second; one in twelve is a bulk of 20 products")
    parser.add_argument("--plain", type=float, default=0.25, help="the share of the searches that the balancer does not try again")
    parser.add_argument("--wait", type=float, default=0.2, help="the share of the writes that wait until they are searchable")
    parser.add_argument("--fresh", type=float, default=10, help="seconds after which a write must be seen by every search")
    parser.add_argument("--settle", type=float, default=10, help="seconds that an event lasts beyond the return of what was lost")
    parser.add_argument("--kill-every", type=float, default=20)
    parser.add_argument("--pause", type=float, default=3, help="seconds that the database is away before it is started or promoted")
    parser.add_argument("--sample", type=int, default=500, help="written products that are looked for at each service in the end")
    parser.add_argument("--differences", type=int, default=0, help="of the queries in the end, how many may be answered differently")
    parser.add_argument("--scores", type=float, default=1e-6, help="how far the scores of the same hits may be apart in answers that are alike")
    parser.add_argument("--port", type=int, default=7400, help="the first of the 63 ports")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "aglet-chaos-cache")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=pathlib.Path, help="where the whole report is written to, as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the folder with data and logs")
    # Whoever ends the script ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run = Run(parser.parse_args())
    try:
        run.prepare()
        run.start()
        run.chaos()
        run.catch_up()
        run.compare_database()
        run.compare_indexes()
        run.compare_answers()
        run.verify()
        run.result["balancer"] = run.balancer.counts()
        run.logs()
        summary(run)
        held = verdicts(run)
        run.result["holds"] = held
        tell(run, held)
        if run.given.report:
            run.given.report.write_text(json.dumps(run.result, indent=1, default=str) + "\n")
    finally:
        run.end()
    sys.exit(0 if all(held.values()) else 1)


if __name__ == "__main__":
    main()
