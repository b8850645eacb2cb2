#!/usr/bin/env python3
"""Many bad clients beside a good one: what the service needs meanwhile, and how the good one fares.

usage: storm.py HOST:PORT PID [--seconds 20] [--queries FILE]

PID is the service's. In turn: 5,000 idle connections, 500 that send a head a line each 2 seconds, 1,100 that send a body a
byte each 2 seconds, 64 uploads of 10 MiB, 2,000 searches at once, 100 clients that ask for long answers and read none.
Meanwhile a good client asks for 10 searches a second, and /readyz each second. A line for each: the good client's answers,
its p50 and p99, what /readyz said, the bad clients' answers, the most memory and the most open files. Run it as the
service's user. Standard library only."""
import argparse
import asyncio
import collections
import json
import os
import pathlib
import resource
import struct
import time
import urllib.parse
import zlib


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def noise_png(edge):
    """A PNG that cannot be compressed: 3 bytes a pixel."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + os.urandom(3 * edge) for _ in range(edge))
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


class Storm:
    def __init__(self, arguments):
        self.host, _, port = arguments.address.rpartition(":")
        self.port, self.pid, self.seconds = int(port), arguments.pid, arguments.seconds
        texts = ["black shoes", "red dress", "casual shirt", "sandals for women", "blue jeans", "white sneakers"]
        if arguments.queries:
            texts = [json.loads(line)["q"] for line in arguments.queries.read_text().splitlines() if line.strip()]
        self.texts = texts
        self.over = asyncio.Event()

    async def open(self):
        return await asyncio.open_connection(self.host, self.port)

    async def ask(self, path, body=None, kind=None, patience=60):
        """The status of an answer that is read whole; 0: none came."""
        try:
            async with asyncio.timeout(patience):
                reader, writer = await self.open()
                head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                if body:
                    head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"\r\n" + (body or b""))
                await writer.drain()
                answer = await reader.read()
                writer.close()
                return int(answer.split(b" ", 2)[1]) if answer else 0
        except (OSError, TimeoutError, IndexError, ValueError):
            return 0

    def search(self, number):
        text = f"{self.texts[number % len(self.texts)]} {number}"
        return f"/search?limit=24&q={urllib.parse.quote(text)}"

    async def good(self, took, statuses):
        number = 0
        while not self.over.is_set():
            began = time.monotonic()
            status = await self.ask(self.search(number % 50), patience=30)
            took.append(time.monotonic() - began)
            statuses[status] += 1
            number += 1
            await asyncio.sleep(max(0, 0.1 - (time.monotonic() - began)))

    async def probes(self, statuses):
        while not self.over.is_set():
            statuses[await self.ask("/readyz", patience=10)] += 1
            await asyncio.sleep(1)

    async def watch(self, most):
        while not self.over.is_set():
            most[0], most[1] = max(most[0], memory(self.pid)), max(most[1], files(self.pid))
            await asyncio.sleep(0.1)

    async def idle(self):
        held = []
        for number in range(5000):
            try:
                reader, writer = await self.open()
            except OSError:
                continue
            if number % 2:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            held.append(writer)
        await asyncio.sleep(self.seconds)
        for writer in held:
            writer.close()
        return {"connected": len(held)}

    async def trickle(self, head, piece, many):
        async def one():
            try:
                reader, writer = await self.open()
                writer.write(head)
                end = time.monotonic() + self.seconds
                while time.monotonic() < end:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(2)
                writer.close()
                return "held"
            except OSError:
                return "closed"
        return collections.Counter(await asyncio.gather(*(one() for _ in range(many))))

    async def slow_heads(self):
        return await self.trickle(b"GET /search?q=a HTTP/1.1\r\n", b"X-A: b\r\n", 500)

    async def slow_bodies(self):
        head = b"POST /search/image HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 200\r\n\r\n"
        return await self.trickle(head, b"-", 1100)

    async def uploads(self):
        photo = noise_png(1860)
        body = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n" + photo + b"\r\n--b--\r\n"
        kind = "multipart/form-data; boundary=b"
        return collections.Counter(await asyncio.gather(*(self.ask("/search/image", body, kind) for _ in range(64))))

    async def searches(self):
        return collections.Counter(await asyncio.gather(*(self.ask(self.search(n)) for n in range(2000))))

    async def unread(self):
        held = []
        for number in range(100):
            reader, writer = await self.open()
            reader._transport.pause_reading()
            path = self.search(number).replace("limit=24", "limit=250")
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 50)
            held.append(writer)
        await asyncio.sleep(max(self.seconds, 90))
        closed = sum(writer.transport.is_closing() or writer.transport.get_extra_info("socket").fileno() < 0 for writer in held)
        for writer in held:
            writer.close()
        return {"connected": len(held), "closed": closed}

    async def phase(self, name, bad):
        self.over.clear()
        took, good, ready, most = [], collections.Counter(), collections.Counter(), [0, 0]
        beside = [asyncio.create_task(task) for task in (self.good(took, good), self.probes(ready), self.watch(most))]
        answers = await bad() if bad else await asyncio.sleep(self.seconds)
        self.over.set()
        await asyncio.gather(*beside)
        took.sort()
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        print(
            f"{name:12} good {dict(good)} p50 {p50 * 1000:.0f} ms p99 {p99 * 1000:.0f} ms, readyz {dict(ready)}, "
            f"bad {dict(answers or {})}, memory {most[0]:.0f} MB, files {most[1]}",
            flush=True,
        )

    async def run(self):
        for name, bad in [
            ("alone", None), ("idle", self.idle), ("slow heads", self.slow_heads), ("slow bodies", self.slow_bodies),
            ("uploads", self.uploads), ("searches", self.searches), ("unread", self.unread), ("after", None),
        ]:
            await self.phase(name, bad)
            await asyncio.sleep(3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("pid", type=int)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--queries", type=pathlib.Path)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Storm(parser.parse_args()).run())


if __name__ == "__main__":
    main()
