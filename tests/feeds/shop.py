#!/usr/bin/env python3
"""A shop whose feed and pictures are as bad as shops' are, for imports to be tried on.

usage: python3 tests/feeds/shop.py [--port 7400] [--products 100000] [--broken 0.05] [--distinct 4000] [--seed 1] [--with-parent]

It listens on 127.0.0.1, on three ports from `--port` on: the shop, its slow host, and the inside, which nobody may connect to (also on
[::1], where there is IPv6). It says `ready` and the ports in a line when it listens, and ends by a signal or, `--with-parent`, with its
standard input. Standard library only. The same seed gives the same shop.

Feeds, each with an ETag and Last-Modified, answered with 304 where those fit, and with gzip where the client takes it:

  /feed.xml  /feed.tsv       all products, Google Merchant's format; the same with .gz at the end as gzip files
  /_shrink  /_shrink.tsv     a third of them, at an address of its own; /_shrink?on=1 has /feed.* serve that (and ?on=0 no more)
  /cut.xml                   ends before its Content-Length
  /error.xml  /once.xml      500 always; 500 once, then the feed
  /html.xml                  200 with a page that asks to log in
  /endless.xml               never ends
  /bomb.xml.gz               a gigabyte of white space in a megabyte
  /slow.xml                  a byte a second
  /to-inside.xml             leads to the inside

Pictures: `/p/NUMBER.jpg`, JPEG or PNG, of `--distinct` different contents. `--broken` of the products have one of FAULTS below instead.
A thousandth of the rows has a bad price, as many have no title.

For who tries an import:

  /_counts                   what was asked since the start, as JSON: answers by kind and status, bytes, the most requests at once
                             on each host, the shortest wait after `Retry-After: 1`, the most requests for one picture of a
                             kind, connections to the inside (`?reset=1`: from zero again)
  /_truth                    which products are broken and how, and whether that loses the picture or the row
  /_change?share=0.01        changes so many pictures and as many prices, and says how many

So a feed of a thousand is looked at by hand:

  python3 tests/feeds/shop.py --products 1000 &
  curl -s localhost:7400/feed.xml | head -30; curl -s localhost:7400/_truth | head -c 600; curl -s localhost:7400/_counts
"""
import argparse
import gzip
import hashlib
import json
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

import pictures

# Kind: how often in relation to the others, whether the picture is lost by it (None: either is right), and what is done.
FAULTS = {
    "not_image": (8, True, "text that says it is a JPEG"),
    "truncated": (8, True, "a JPEG without its last fifth, with the right Content-Length"),
    "html": (8, True, "200 with a page that says there is no such picture"),
    "missing": (12, True, "404"),
    "gone": (2, True, "410"),
    "forbidden": (3, True, "403"),
    "error": (6, True, "500, always"),
    "error_once": (8, False, "500 at the first request"),
    "busy": (4, False, "429 with Retry-After: 1 at the first request"),
    "busy_always": (1, True, "429 with Retry-After: 1, always"),
    "empty": (6, True, "200 with Content-Length: 0"),
    "cut": (6, True, "the connection ends before Content-Length, always"),
    "cut_once": (4, False, "the same at the first request"),
    "reset": (2, True, "the connection is reset"),
    "slow": (4, False, "the slow host, a second later"),
    "trickle": (0.2, True, "the slow host, a byte a second"),
    "never": (0.2, True, "the slow host, which takes the request and never answers"),
    "loop": (5, True, "redirects in a circle"),
    "redirect": (4, False, "a redirect to the picture"),
    "to_inside": (5, True, "a redirect to 127.0.0.1, the inside's port"),
    "to_metadata": (5, True, "a redirect to 169.254.169.254"),
    "to_ipv6": (4, True, "a redirect to [::1], the inside's port"),
    "to_file": (1, True, "a redirect to file:///etc/hostname"),
    "at_inside": (3, True, "the feed has an address of the inside"),
    "at_metadata": (3, True, "the feed has an address at 169.254.169.254"),
    "at_ipv6": (2, True, "the feed has an address at [::1]"),
    "at_mapped": (1, True, "the feed has an address at [::ffff:127.0.0.1]"),
    "at_name": (2, True, "the feed has an address at localhost, the inside's port"),
    "at_number": (2, True, "the feed has an address at 2130706433"),
    "at_file": (1, True, "the feed has file:///etc/hostname"),
    "oversized": (2, True, "a Content-Length of 200 MB, and as much"),
    "endless": (0.05, True, "a body in chunks that does not end"),
    "pixels": (2, True, "a PNG of 1.6 gigapixels"),
    "wrong_type": (4, None, "a good picture that says it is text"),
}
# What is not on the shop's own port.
SLOW = {"slow", "trickle", "never"}
JSON = {"Content-Type": "application/json"}
# Of the rows.
BAD_ROWS = 0.001
OVERSIZED = 200_000_000
ENDLESS = 400_000_000

COLORS = ["Black", "White", "Red", "Blue", "Green", "Brown", "Grey", "Pink", "Yellow", "Purple"]
TYPES = ["Shoes > Sneakers", "Shoes > Boots", "Shoes > Sandals", "Women > Dresses", "Men > Shirts", "Women > Skirts", "Men > Jackets",
         "Accessories > Bags", "Accessories > Hats", "Kids > Sweaters"]
BRANDS = ["Norrfold", "Kastell", "Vireo", "Tamber", "Oslund", "Perrin", "Maskado", "Luneth"]
LINES = ["Alma", "Berit", "Dina", "Elsa", "Finn", "Greta", "Hedda", "Ivar", "Juni", "Knut", "Liv", "Mats"]
SIZES = ["S", "M", "L", "XL"]
COLUMNS = ["id", "title", "description", "link", "image_link", "availability", "price", "sale_price", "brand", "product_type", "color",
           "size", "gender", "condition", "item_group_id"]


class Shop:
    """What is sold, what of it is broken, and how it changes."""

    def __init__(self, products, broken, distinct, seed, port):
        self.products, self.distinct, self.seed, self.port = products, distinct, seed, port
        self.lock = threading.Lock()
        self.pictures_of = {}
        self.revision, self.shrunk = 0, False
        self.new_pictures, self.new_prices = {}, {}
        self.feeds = {}
        self.began = int(time.time()) - 86_400
        self.dice = random.Random(seed)
        numbers = self.dice.sample(range(products), round(products * broken))
        self.fault = dict(zip(numbers, self.kinds(len(numbers))))
        rows = self.dice.sample(sorted(set(range(products)) - set(numbers)), 2 * round(products * BAD_ROWS))
        self.bad_price, self.no_title = set(rows[: len(rows) // 2]), set(rows[len(rows) // 2 :])

    def kinds(self, count):
        """So many faults by their shares, each at least once where there is room."""
        total = sum(share for share, *_ in FAULTS.values())
        kinds = [kind for kind, (share, *_) in FAULTS.items() for _ in range(max(1, int(count * share / total)))]
        self.dice.shuffle(kinds)
        kinds = kinds[:count]
        often = [kind for kind, (share, *_) in FAULTS.items() if share >= 1]
        kinds += [self.dice.choice(often) for _ in range(count - len(kinds))]
        return kinds

    def picture(self, number):
        """Bytes, type and ETag."""
        content = (number % self.distinct, self.new_pictures.get(number, 0))
        found = self.pictures_of.get(content)
        if found is None:
            # Another content is another number; an even one stays even, and so a JPEG.
            body, kind = pictures.picture(content[0] + content[1] * 2 * self.products)
            found = self.pictures_of[content] = (body, kind, f'"{hashlib.sha1(body).hexdigest()[:20]}"')
        return found

    def address(self, number):
        kind = self.fault.get(number)
        inside = self.port + 2
        host = {
            "at_inside": f"http://127.0.0.1:{inside}",
            "at_metadata": "http://169.254.169.254",
            "at_ipv6": f"http://[::1]:{inside}",
            "at_mapped": f"http://[::ffff:127.0.0.1]:{inside}",
            "at_name": f"http://localhost:{inside}",
            "at_number": f"http://2130706433:{inside}",
        }.get(kind)
        if kind == "at_file":
            return f"file:///etc/hostname?{number}"
        if host is None:
            host = f"http://127.0.0.1:{self.port + (kind in SLOW)}"
        return f"{host}/p/{number}.jpg"

    def row(self, number):
        group, variant = divmod(number, 4)
        dice = random.Random(f"{self.seed} {group}")
        brand, line, kind = dice.choice(BRANDS), dice.choice(LINES), dice.choice(TYPES)
        color, price = dice.choice(COLORS), dice.randrange(1_000, 20_000)
        price = self.new_prices.get(number, price)
        thing = kind.rsplit(" > ", 1)[1].removesuffix("s")
        return {
            "id": f"P{number}",
            "title": "" if number in self.no_title else f"{brand} {line} {thing}",
            "description": f"<p>{color} & <b>new</b>: number {group}.</p>",
            "link": f"https://shop.example/p/{group}?v={variant}",
            "image_link": self.address(number),
            "availability": "out_of_stock" if dice.random() * 4 > 3.6 - variant / 10 else "in_stock",
            "price": "on request" if number in self.bad_price else f"{price / 100:.2f} EUR",
            "sale_price": f"{price * 0.8 / 100:.2f} EUR" if group % 5 == 0 and number not in self.bad_price else "",
            "brand": brand,
            "product_type": kind,
            "color": color,
            "size": SIZES[variant],
            "gender": dice.choice(["male", "female", "unisex"]),
            "condition": "new",
            "item_group_id": f"G{group}",
        }

    def feed(self, form, third):
        """Bytes and ETag; both are kept until something changes."""
        with self.lock:
            key = (form, third, self.revision)
            if key not in self.feeds:
                self.feeds = {at: feed for at, feed in self.feeds.items() if at[2] == self.revision}
                count = self.products // 3 if third else self.products
                body = (xml if form == "xml" else tsv)(self.row(number) for number in range(count))
                self.feeds[key] = (body, f'"{hashlib.sha1(body).hexdigest()[:20]}"')
            return self.feeds[key]

    def change(self, share):
        with self.lock:
            self.revision += 1
            dice = random.Random(f"{self.seed} change {self.revision}")
            good = [number for number in range(self.products) if number not in self.fault]
            count = round(self.products * share)
            for number in dice.sample(good, min(count, len(good))):
                self.new_pictures[number] = self.revision
            for number in dice.sample(good, min(count, len(good))):
                self.new_prices[number] = dice.randrange(1_000, 20_000)
            return {"pictures": count, "prices": count, "revision": self.revision}

    def modified(self, number=None):
        """When the feed, or a picture, was changed."""
        revision = self.revision if number is None else self.new_pictures.get(number, 0)
        return formatdate(self.began + revision, usegmt=True)

    def truth(self):
        kinds = {kind: {"products": 0, "lost": lost, "what": what} for kind, (_, lost, what) in FAULTS.items()}
        for kind in self.fault.values():
            kinds[kind]["products"] += 1
        kinds["bad_price"] = {"products": len(self.bad_price), "lost": True, "what": "a price that is none"}
        kinds["no_title"] = {"products": len(self.no_title), "lost": True, "what": "a row without a title"}
        ids = {f"P{number}": kind for number, kind in self.fault.items()}
        ids |= {f"P{number}": "bad_price" for number in self.bad_price}
        ids |= {f"P{number}": "no_title" for number in self.no_title}
        return {"products": self.products, "kinds": kinds, "ids": ids}


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def xml(rows):
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0">\n'
    out = [head, "<channel>\n<title>Shop</title>\n"]
    for row in rows:
        items = "".join(f"<g:{name}>{escaped(value)}</g:{name}>" for name, value in row.items() if value)
        out.append(f"<item>{items}</item>\n")
    out.append("</channel>\n</rss>\n")
    return "".join(out).encode()


def tsv(rows):
    lines = ["\t".join(COLUMNS)] + ["\t".join(row.values()) for row in rows]
    return ("\n".join(lines) + "\n").encode()


class Counts:
    """What was asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0
        self.reset()

    def reset(self):
        with self.lock:
            self.answers, self.sent, self.busy, self.waits = {}, {}, {}, []
            self.tries, self.most_tries = {}, {}
            self.at_once, self.most_at_once = {}, {}
            self.inside_before = self.inside

    def begins(self, host):
        with self.lock:
            self.at_once[host] = self.at_once.get(host, 0) + 1
            self.most_at_once[host] = max(self.most_at_once.get(host, 0), self.at_once[host])

    def ends(self, host):
        with self.lock:
            self.at_once[host] = max(0, self.at_once.get(host, 0) - 1)

    def tried(self, number, kind):
        """How often this picture was asked for, this time with it."""
        with self.lock:
            self.tries[number] = self.tries.get(number, 0) + 1
            self.most_tries[kind] = max(self.most_tries.get(kind, 0), self.tries[number])
            now = time.monotonic()
            if number in self.busy:
                self.waits.append(now - self.busy.pop(number))
            return self.tries[number]

    def told_to_wait(self, number):
        with self.lock:
            self.busy[number] = time.monotonic()

    def answered(self, kind, status, size):
        with self.lock:
            name = f"{kind} {status}"
            self.answers[name] = self.answers.get(name, 0) + 1
            group = kind.split(".")[0]
            self.sent[group] = self.sent.get(group, 0) + size

    def report(self):
        with self.lock:
            return {
                "answers": dict(sorted(self.answers.items())),
                "bytes": self.sent,
                "most_at_once": self.most_at_once,
                "most_tries": self.most_tries,
                "waits_after_429": len(self.waits),
                "shortest_wait_after_429": round(min(self.waits), 3) if self.waits else None,
                "inside": self.inside - self.inside_before,
                "inside_since_start": self.inside,
            }


class Server:
    """HTTP/1.1 by hand, since a body must be able to end wrongly. A thread for each connection."""

    def __init__(self, shop, counts):
        self.shop, self.counts = shop, counts
        self.once = set()

    def listen(self, host, port, each):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)

        def accept():
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=each, args=(connection, port), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def inside(self, connection, _port):
        with self.counts.lock:
            self.counts.inside += 1
        connection.settimeout(5)
        try:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        except OSError:
            pass
        connection.close()

    def serve(self, connection, port):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(60)
        host = "slow" if port != self.shop.port else "shop"
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    more = connection.recv(65_536)
                    if not more or len(buffer) > 65_536:
                        return
                    buffer += more
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                self.counts.begins(host)
                try:
                    if method != "GET":
                        self.answer(connection, "other", 405, b"", {"Allow": "GET"})
                    elif not self.get(connection, target, headers):
                        return
                finally:
                    self.counts.ends(host)
                if headers.get("connection", "").lower() == "close":
                    return
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def answer(self, connection, kind, status, body, more=None, length=None):
        """Sends it; the connection may be used again."""
        head = {"Content-Length": len(body) if length is None else length, "Date": formatdate(usegmt=True)} | (more or {})
        if status == 304:
            del head["Content-Length"]
        lines = [f"HTTP/1.1 {status} Status"] + [f"{name}: {value}" for name, value in head.items()]
        # Counted before it is sent: who has the answer finds it counted.
        self.counts.answered(kind, status, len(body))
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True

    def get(self, connection, target, headers):
        """Whether the connection may be used again."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path
        if path.startswith("/p/"):
            return self.get_picture(connection, path, headers)
        if path == "/_counts":
            body = json.dumps(self.counts.report(), indent=1).encode() + b"\n"
            if query.get("reset"):
                self.counts.reset()
            return self.answer(connection, "control", 200, body, JSON)
        if path == "/_truth":
            body = json.dumps(self.shop.truth()).encode()
            return self.answer(connection, "control", 200, body, JSON)
        if path == "/_change":
            changed = self.shop.change(float(query.get("share", "0.01")))
            return self.answer(connection, "control", 200, json.dumps(changed).encode() + b"\n", JSON)
        if path == "/_shrink" and "on" in query:
            self.shop.shrunk = query["on"] == "1"
            return self.answer(connection, "control", 200, b"{}\n", JSON)
        return self.get_feed(connection, path, headers)

    def get_feed(self, connection, path, headers):
        name = path.strip("/")
        if name in {"feed.xml", "feed.tsv", "feed.xml.gz", "feed.tsv.gz", "_shrink", "_shrink.tsv", "once.xml"}:
            if name == "once.xml" and name not in self.once:
                self.once.add(name)
                return self.answer(connection, "feed.once", 500, b"try again\n")
            form = "tsv" if ".tsv" in name else "xml"
            body, tag = self.shop.feed(form, self.shop.shrunk or name.startswith("_shrink"))
            mime = "application/xml" if form == "xml" else "text/tab-separated-values"
            more = {"ETag": tag, "Last-Modified": self.shop.modified(), "Content-Type": mime, "Vary": "Accept-Encoding"}
            if fresh(headers, more):
                return self.answer(connection, "feed", 304, b"", more)
            if name.endswith(".gz"):
                body, more["Content-Type"] = gzip.compress(body, 1, mtime=0), "application/gzip"
            elif "gzip" in headers.get("accept-encoding", ""):
                body, more["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
            return self.answer(connection, "feed", 200, body, more)
        if name == "cut.xml":
            body, _ = self.shop.feed("xml", False)
            self.answer(connection, "feed.cut", 200, body[: len(body) // 2], length=len(body))
            return False
        if name == "error.xml":
            return self.answer(connection, "feed.error", 500, b"out of order\n")
        if name == "html.xml":
            page = b"<!doctype html><html><title>Log in</title><form>Password</form></html>"
            return self.answer(connection, "feed.html", 200, page, {"Content-Type": "text/html"})
        if name == "to-inside.xml":
            return self.answer(connection, "feed.to_inside", 302, b"", {"Location": f"http://127.0.0.1:{self.shop.port + 2}/feed.xml"})
        if name == "bomb.xml.gz":
            return self.answer(connection, "feed.bomb", 200, bomb(), {"Content-Type": "application/gzip"})
        if name == "endless.xml":
            body, _ = self.shop.feed("xml", True)
            begin, end = body.index(b"<item>"), body.index(b"</channel>")
            return self.chunks(connection, "feed.endless", body[:begin], body[begin:end], 1 << 40)
        if name == "slow.xml":
            body, _ = self.shop.feed("xml", False)
            return self.trickle(connection, "feed.slow", body)
        return self.answer(connection, "other", 404, b"there is nothing here\n")

    def chunks(self, connection, kind, first, again, most):
        """A body in chunks, so long as somebody listens."""
        self.counts.answered(kind, 200, 0)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        connection.sendall(b"%x\r\n%s\r\n" % (len(first), first))
        while sent < most:
            connection.sendall(b"%x\r\n%s\r\n" % (len(again), again))
            sent += len(again)
        return False

    def trickle(self, connection, kind, body):
        self.counts.answered(kind, 200, 0)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for at in range(len(body)):
            connection.sendall(body[at : at + 1])
            if hung_up(connection, 1):
                break
        return False

    def get_picture(self, connection, path, headers):
        try:
            number = int(path[3:].split(".")[0])
            if not 0 <= number < self.shop.products:
                raise ValueError
        except ValueError:
            return self.answer(connection, "other", 404, b"no such picture\n")
        shop, kind = self.shop, self.shop.fault.get(number)
        counted = f"picture.{kind or 'good'}"
        body, mime, tag = shop.picture(number)
        more = {"ETag": tag, "Last-Modified": shop.modified(number), "Content-Type": mime}
        moved = path.endswith(".moved.jpg")
        if moved:
            kind = None
        tries = 0 if moved else self.counts.tried(number, kind or "good")
        inside = shop.port + 2
        to = {
            "loop": f"/p/{number}.jpg",
            "redirect": f"/p/{number}.moved.jpg",
            "to_inside": f"http://127.0.0.1:{inside}/p/{number}.jpg",
            "to_metadata": "http://169.254.169.254/latest/meta-data/",
            "to_ipv6": f"http://[::1]:{inside}/p/{number}.jpg",
            "to_file": "file:///etc/hostname",
        }.get(kind)
        status = {"missing": 404, "gone": 410, "forbidden": 403, "error": 500}.get(kind)
        if to:
            return self.answer(connection, counted, 302, b"", {"Location": to})
        if status:
            return self.answer(connection, counted, status, b"not today\n", {"Content-Type": "text/plain"})
        if kind == "error_once" and tries == 1:
            return self.answer(connection, counted, 500, b"try again\n")
        if kind == "busy_always" or (kind == "busy" and tries == 1):
            self.counts.told_to_wait(number)
            return self.answer(connection, counted, 429, b"too many\n", {"Retry-After": "1"})
        if kind == "not_image":
            return self.answer(connection, counted, 200, b"This is no picture, whatever it says.\n" * 4, {"Content-Type": "image/jpeg"})
        if kind == "html":
            page = b"<!doctype html><html><h1>Not found</h1></html>"
            return self.answer(connection, counted, 200, page, {"Content-Type": "text/html; charset=utf-8"})
        if kind == "empty":
            return self.answer(connection, counted, 200, b"", {"Content-Type": mime})
        if kind == "truncated":
            whole = pictures.jpeg(number)
            return self.answer(connection, counted, 200, whole[: len(whole) * 4 // 5], {"Content-Type": "image/jpeg"})
        if kind == "cut" or (kind == "cut_once" and tries == 1):
            self.answer(connection, counted, 200, body[: len(body) // 2], {"Content-Type": mime}, length=len(body))
            return False
        if kind == "reset":
            self.counts.answered(counted, 0, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if kind == "oversized":
            self.counts.answered(counted, 200, 0)
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {OVERSIZED}\r\n\r\n".encode() + body)
            for _ in range(OVERSIZED // 65_536 + 1):
                connection.sendall(bytes(65_536))
            return False
        if kind == "endless":
            return self.chunks(connection, counted, body, bytes(65_536), ENDLESS)
        if kind == "pixels":
            return self.answer(connection, counted, 200, many_pixels(), {"Content-Type": "image/png"})
        if kind == "never":
            self.counts.answered(counted, 0, 0)
            hung_up(connection, 600)
            return False
        if kind == "trickle":
            return self.trickle(connection, counted, body)
        if kind == "slow":
            time.sleep(1)
        if kind == "wrong_type":
            more["Content-Type"] = "text/plain"
        if fresh(headers, more):
            return self.answer(connection, counted, 304, b"", more)
        return self.answer(connection, counted, 200, body, more)


def fresh(headers, has):
    """Whether what the client has is what there is: by the ETag where it sent one."""
    if "if-none-match" in headers:
        return has["ETag"] in [tag.strip().removeprefix("W/") for tag in headers["if-none-match"].split(",")]
    return headers.get("if-modified-since") == has["Last-Modified"]


def hung_up(connection, seconds):
    """Waits so long, or until the client is gone."""
    readable, _, _ = select.select([connection], [], [], seconds)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)


MADE = {}
MAKING = threading.Lock()


def made(name, make):
    with MAKING:
        if name not in MADE:
            MADE[name] = make()
        return MADE[name]


def many_pixels():
    return made("pixels", pictures.png_of_many_pixels)


def bomb():
    def make():
        packer = zlib.compressobj(9, wbits=31)
        head = b'<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>'
        return packer.compress(head) + b"".join(packer.compress(b" " * (1 << 20)) for _ in range(1024)) + packer.flush()

    return made("bomb", make)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7400)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--broken", type=float, default=0.05)
    parser.add_argument("--distinct", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--with-parent", action="store_true", help="end when the standard input ends")
    given = parser.parse_args()
    counts = Counts()
    shop = Shop(given.products, given.broken, given.distinct, given.seed, given.port)
    server = Server(shop, counts)
    server.listen("127.0.0.1", given.port, server.serve)
    server.listen("127.0.0.1", given.port + 1, server.serve)
    server.listen("127.0.0.1", given.port + 2, server.inside)
    try:
        server.listen("::1", given.port + 2, server.inside)
    except OSError:
        print("no IPv6 here: [::1] is not watched", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"ready {given.port} {given.port + 1} {given.port + 2}", flush=True)
    if given.with_parent:
        sys.stdin.read()
    else:
        signal.pause()


if __name__ == "__main__":
    main()
