"""Searches whose answers are known, and writes that are remembered. Standard library only."""
import concurrent.futures
import json
import random
import threading
import time
import urllib.parse

import service
import shop as shops

WORDS = ["red shoes", "black formal shoes", "blue jeans", "white sandals for women", "grey jacket", "brown boots for men",
         "pink dress", "green shirt", "purple handbag", "something warm", "yelow sneakers", "shoes for girls"]
# Searches and writes by what they ask, with their shares.
SEARCHES = {"number": 25, "line": 15, "title": 10, "filter": 15, "words": 15, "facets": 10, "like": 10}
WRITES = {"patch": 60, "put": 12, "new": 12, "delete": 8, "bulk": 8}
BULK = 20


class Wrong(Exception):
    """An answer that must not be."""


def quoted(text):
    return urllib.parse.quote(str(text), safe="")


class Load:
    def __init__(self, given, shop, ports, replicas, keys, zero):
        self.given, self.shop, self.ports, self.keys, self.zero = given, shop, ports, keys, zero
        self.replicas = {replica.name: replica for replica in replicas}
        self.lock, self.over = threading.Lock(), threading.Event()
        self.searches, self.writes, self.wrong, self.waits = [], [], [], []
        # How old the oldest answer was, and when the database was away: from, to.
        self.oldest, self.away = 0, []
        # What the lines and the still products come to.
        self.still = {one: shop.products[one].now()[0] for one in shop.still}

    # --- pace -----------------------------------------------------------------------------------------------------

    def paced(self, a_second, work, seed, workers):
        """Begins `work` so many times a second, whether or not those before have been answered."""
        dice, due = random.Random(seed), time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            while not self.over.is_set():
                pool.submit(self.guarded, work, random.Random(dice.random()), due)
                due += 1 / a_second
                self.over.wait(max(0, due - time.monotonic()))

    def guarded(self, work, dice, due):
        try:
            work(dice, due)
        except Exception as error:  # A fault of this script must not pass for a quiet service.
            self.note_wrong("script", f"{type(error).__name__}: {error}", due)

    def start(self):
        self.threads = [
            threading.Thread(target=self.paced, args=(self.given.searches, self.search, 1, 96), daemon=True),
            threading.Thread(target=self.paced, args=(self.given.writes, self.write, 2, 48), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def note_wrong(self, kind, what, asked, **more):
        with self.lock:
            self.wrong.append({"at": round(asked - self.zero, 2), "kind": kind, "what": what, **more})

    # --- searches -------------------------------------------------------------------------------------------------

    def search(self, dice, due):
        kind = dice.choices(list(SEARCHES), SEARCHES.values())[0]
        path, check = getattr(self, f"ask_{kind}")(dice)
        tried_again = dice.random() >= self.given.plain
        port = self.ports["public" if tried_again else "plain"]
        asked = time.monotonic()
        status, headers, body = service.ask(port, "GET", path, self.keys["search"])
        answered = time.monotonic()
        one = {"at": due - self.zero, "asked": asked - self.zero, "answered": answered - self.zero, "took": answered - due,
               "kind": kind, "status": status, "tried again": tried_again, "replica": headers.get("x-replica")}
        if status != 200:
            one["said"] = said(body, headers)
        with self.lock:
            self.searches.append(one)
        if status != 200:
            return
        try:
            answer = json.loads(body)
            for hit in answer["hits"]:
                self.check_hit(hit, asked)
            check(answer, asked)
        except Wrong as wrong:
            self.note_wrong(kind, str(wrong), asked, path=path, replica=one["replica"])
        except (ValueError, KeyError, TypeError) as error:
            self.note_wrong(kind, f"not an answer: {type(error).__name__} {error}: {body[:200]!r}", asked, path=path)

    def fits(self, product, fits, asked, what):
        """Whether a product may have been read so. What it was a moment before is allowed, and counted."""
        with self.shop.lock:
            age = product.age(fits, asked)
        if age is None:
            raise Wrong(f"{what}: never so")
        self.oldest = max(self.oldest, age)
        if age > self.allowed(asked):
            raise Wrong(f"{what}: {age:.1f} s old")

    def allowed(self, asked):
        """How old an answer may be: while the database is away, and for a moment after, nobody can know better."""
        for began, end in list(self.away):
            end = end or asked
            if began <= asked <= end + 2 * self.given.fresh:
                return self.given.fresh + min(asked, end) - began
        return self.given.fresh

    def check_hit(self, hit, asked):
        with self.shop.lock:
            product = self.shop.products.get(hit["id"])
        if product is None:
            raise Wrong(f"{hit['id']} was never in the catalog")
        shown = {name: hit["product"][name] for name in shops.SHOWN}
        self.fits(product, lambda one: one is not None and all(one[name] == shown[name] for name in shops.SHOWN), asked,
                  f"{hit['id']} shown as {shown}")

    def some(self, dice):
        """A product: half of the time one that was written."""
        with self.shop.lock:
            written = self.shop.written
            if written and dice.random() < 0.5:
                return self.shop.products[written[-1 - dice.randrange(min(len(written), 200))]]
            return self.shop.products[dice.choice(self.shop.moving)]

    def ask_number(self, dice):
        product = self.some(dice)

        def check(answer, asked):
            first = answer["hits"][0]["id"] if answer["hits"] else None
            here = first == product.id
            if not here and product.id in [hit["id"] for hit in answer["hits"]]:
                raise Wrong(f"{product.id} is not first by its own number")
            self.fits(product, lambda one: (one is not None) == here, asked, f"{product.id} {'found' if here else 'not found'}")

        return f"/search?q={product.id}&limit=5", check

    def ask_title(self, dice):
        product = self.shop.products[dice.choice(self.shop.still)]

        def check(answer, _):
            if not answer["hits"] or answer["hits"][0]["id"] != product.id:
                raise Wrong(f"{product.id} is not first by its title")

        return f"/search?q={quoted(product.now()[0]['title'])}&limit=5", check

    def ask_line(self, dice):
        line = dice.choice(list(self.shop.lines))
        ids = self.shop.lines[line]

        def check(answer, _):
            if sorted(hit["id"] for hit in answer["hits"]) != ids or answer["estimated_total"] != len(ids):
                raise Wrong(f"the line {line} is {[hit['id'] for hit in answer['hits']]}, {answer['estimated_total']} in all")
            self.check_counts(answer, "color", ids)

        return f"/search?filter=line:{line}&limit=50&facets=color", check

    def check_counts(self, answer, name, ids):
        counts = {}
        for one in ids:
            value = self.still[one][name]
            counts[value] = counts.get(value, 0) + 1
        found = next(facet for facet in answer["facets"] if facet["name"] == name)
        found = {value["value"]: value["count"] for value in found["values"]}
        if found != counts:
            raise Wrong(f"{name} is counted {found}, and is {counts}")

    def ask_facets(self, _):
        def check(answer, _):
            if answer["estimated_total"] != len(self.still):
                raise Wrong(f"{answer['estimated_total']} products in place of {len(self.still)}")
            for name in ("color", "category", "brand"):
                self.check_counts(answer, name, self.still)

        return "/search?filter=kind:still&facets=color,category,brand&limit=0", check

    def ask_filter(self, dice):
        color, category = dice.choice(shops.COLORS), dice.choice(shops.CATEGORIES)
        least = dice.randrange(10, 100)
        words = dice.choice(["", f"q={quoted(dice.choice(shops.BRANDS))}&"])

        def check(answer, asked):
            for hit in answer["hits"]:
                self.fits(self.shop.products[hit["id"]], lambda one: one is not None and one["color"] == color
                          and one["category"] == category and one["price"] >= least, asked,
                          f"{hit['id']} found by {color}, {category}, {least}..")

        return f"/search?{words}color={color}&filter={quoted(f'category:{category}')}&filter=price:{least}..&limit=24", check

    def ask_words(self, dice):
        def check(answer, _):
            if not answer["hits"]:
                raise Wrong("no hits")

        return f"/search?q={quoted(dice.choice(WORDS))}&limit=24", check

    def ask_like(self, dice):
        product = dice.choice(self.shop.still)

        def check(answer, _):
            ids = [hit["id"] for hit in answer["hits"]]
            if len(ids) != 10 or product in ids:
                raise Wrong(f"like {product}: {ids}")

        return f"/products/{product}/similar?limit=10", check

    # --- writes ---------------------------------------------------------------------------------------------------

    def write(self, dice, due):
        kind = dice.choices(list(WRITES), WRITES.values())[0]
        if kind == "bulk":
            return self.write_many(dice, due)
        product, change, method, body = self.change(kind, dice)
        wait = dice.random() < self.given.wait
        path = f"/products/{product.id}" + ("?wait=searchable" if wait else "")
        before, after = self.shop.send(product, change)
        asked = time.monotonic()
        status, headers, answer = service.ask(self.ports["public"], method, path, self.keys["write"], body)
        outcome = outcome_of(status, answer)
        states, revision = None, None
        if outcome == "acknowledged":
            states = [one for one in after if one is not None or method != "PATCH"]
            document = json.loads(answer) if answer else {}
            revision = document.get("revision")
            if method == "DELETE":
                revision = None
        elif status == 404 and method != "PUT":
            # Of what may have been deleted nothing is known yet; of what was there, it must be.
            if None not in before:
                self.note_wrong("write", f"{method} {product.id}: 404, and it was there", asked, status=status)
            states = [None]
        elif outcome == "refused" and 400 <= status < 500:
            self.note_wrong("write", f"{method} {product.id}: {status} {said(answer, headers)}", asked)
        entry = self.shop.finish(product, states, outcome == "unknown", revision)
        self.note_write(due, asked, kind, status, outcome, answer, headers)
        if wait and outcome == "acknowledged" and len(states) == 1:
            self.check_found(product, entry, document.get("searchable"), headers.get("x-replica"), asked)

    def note_write(self, due, asked, kind, status, outcome, answer, headers, lines=1):
        now = time.monotonic()
        one = {"at": due - self.zero, "asked": asked - self.zero, "answered": now - self.zero, "took": now - due, "kind": kind,
               "status": status, "outcome": outcome, "lines": lines, "replica": headers.get("x-replica")}
        if outcome != "acknowledged":
            one["said"] = said(answer, headers)
        with self.lock:
            self.writes.append(one)

    def change(self, kind, dice):
        """A product, what is done to each of its states, and how that is asked for."""
        serial = self.shop.next_serial()
        price = self.shop.price(serial)
        if kind == "new":
            product = self.shop.new()
        elif kind == "put":
            # What was deleted comes back this way.
            product = self.shop.begin(dice, lambda _: True)
        else:
            product = self.shop.begin(dice, lambda one: one.now()[0] is not None)
        if kind == "patch":
            return product, lambda one: one and {**one, "price": price}, "PATCH", json.dumps({"price": price})
        if kind == "delete":
            return product, lambda _: None, "DELETE", None
        state = shops.state(serial, price, dice)
        body = shops.row(product.id, state)
        return product, lambda _: state, "PUT", json.dumps(body)

    def write_many(self, dice, due):
        parts, lines = [], []
        for _ in range(BULK):
            kind = dice.choices(["patch", "put", "new", "delete"], [70, 15, 10, 5])[0]
            product, change, method, body = self.change(kind, dice)
            line = {"op": method.lower(), "id": product.id, **(json.loads(body) if body else {})}
            lines.append(json.dumps(line))
            before, after = self.shop.send(product, change)
            parts.append((product, method, before, after))
        asked = time.monotonic()
        status, headers, answer = service.ask(self.ports["public"], "POST", "/products:bulk", self.keys["write"],
                                              "\n".join(lines) + "\n", "application/x-ndjson")
        whole = outcome_of(status, answer)
        answers = {}
        if status == 200:
            for line in answer.splitlines():
                try:
                    line = json.loads(line)
                except ValueError:
                    break
                if "line" in line:
                    answers[line["line"]] = line
        # A line with an error of the service ends the answer: from it on nothing was written.
        stopped = next((number for number, line in answers.items() if line.get("error", {}).get("status", 0) >= 500), None)
        counted = {}
        for number, (product, method, before, after) in enumerate(parts, 1):
            line = answers.get(number)
            states, revision, outcome = None, None, whole if status != 200 else "unknown"
            if stopped and number >= stopped:
                outcome = "refused"
            elif line and "status" in line:
                outcome = "acknowledged"
                states = [one for one in after if one is not None or method != "PATCH"]
                revision = line["revision"] if method != "DELETE" else None
            elif line and line["error"]["status"] == 404:
                outcome, states = "refused", [None]
                if None not in before:
                    self.note_wrong("write", f"{method} {product.id} in a bulk: 404, and it was there", asked)
            elif line:
                outcome = "refused"
                self.note_wrong("write", f"{method} {product.id} in a bulk: {line['error']}", asked)
            self.shop.finish(product, states, outcome == "unknown", revision)
            counted[outcome] = counted.get(outcome, 0) + 1
        for outcome, number in counted.items():
            self.note_write(due, asked, "bulk", status, outcome, answer, headers, number)

    def check_found(self, product, entry, searchable, name, asked):
        """A write that was waited for is found by the service that answered it."""
        replica = self.replicas.get((name or "").removesuffix("-alive"))
        if not searchable or replica is None:
            with self.lock:
                self.waits.append("not said")
            return
        state = entry.states[0]
        if state is None:
            path = f"/search?q={product.id}&limit=5"
        else:
            path = f"/search?filter=price:{state['price']}..{state['price']}&limit=5"
        status, _, body = service.ask(replica.port, "GET", path, self.keys["search"])
        with self.shop.lock:
            written = product.entries[-1] is not entry
        if status != 200 or written:
            verdict = "not seen"
        else:
            found = product.id in [hit["id"] for hit in json.loads(body)["hits"]]
            verdict = "found" if found == (state is not None) else "wrong"
        with self.lock:
            self.waits.append(verdict)
        if verdict == "wrong":
            self.note_wrong("wait", f"{product.id} was said to be searchable and is not as it was written", asked, path=path, replica=name)


def said(body, headers):
    try:
        problem = json.loads(body)
        if "code" in problem:
            return problem["code"]
    except ValueError:
        pass
    text = body.decode(errors="replace")
    return " ".join(text.replace("<html><body><h1>", "balancer: ").split())[:100]


def outcome_of(status, body):
    """What is known of a write: it is made, it is not, or neither."""
    if 200 <= status < 300:
        return "acknowledged"
    # The balancer's own 503 says that no service was there to send it to.
    if 400 <= status < 500 or status == 503:
        return "refused"
    return "unknown"
