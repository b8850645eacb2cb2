#!/usr/bin/env python3
"""Mixed load for long, with a change of the model in the midst: failures, times and memory, minute by minute.

usage: soak.py PUBLIC ADMIN PID [--seconds 1800] [--searches 20] [--writes 10] [--photos FOLDER] [--queries FILE]
               [--model NAME --at 600]

PUBLIC and ADMIN are HOST:PORT of the two listeners of a service without keys, PID is its process. `--writes`: prices patched a
second. `--photos`: JPEG files, of which one a second is searched with. `--model`: the folder of another model, changed to after
`--at` seconds by POST /admin/model. Each minute says how many searches were answered, what else came, p50 and p99, the memory,
and the model's id where it changed; the end compares the memory. Standard library only."""
import argparse
import collections
import http.client
import json
import pathlib
import random
import threading
import time
import urllib.parse


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


class Client:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def ask(self, method, path, body=None, kind="application/json"):
        headers = {"content-type": kind} if body else {}
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return 0, str(error).encode()


class Soak:
    def __init__(self, arguments):
        self.given = arguments
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.took, self.statuses, self.models = [], collections.Counter(), []
        texts = ["black shoes", "red dress", "casual shirt", "sandals for women", "blue jeans", "white sneakers"]
        if arguments.queries:
            texts = [json.loads(line)["q"] for line in arguments.queries.read_text().splitlines() if line.strip()]
        self.texts = texts

    def paced(self, a_second, work):
        client, due = [Client(self.given.public), Client(self.given.admin)], time.monotonic()
        while not self.over.is_set():
            work(client)
            due += 1 / a_second
            time.sleep(max(0, due - time.monotonic()))

    def count(self, kind, status):
        with self.lock:
            self.statuses[f"{kind} {status}"] += 1

    def search(self, clients):
        text = random.choice(self.texts)
        began = time.monotonic()
        status, body = clients[0].ask("GET", f"/search?limit=24&q={urllib.parse.quote(text)}")
        took = time.monotonic() - began
        with self.lock:
            self.took.append(took)
            self.statuses[f"search {status}"] += 1
            if status == 200:
                model = json.loads(body)["model"]["id"][:12]
                if not self.models or self.models[-1] != model:
                    self.models.append(model)

    def write(self, clients):
        body = json.dumps({"price": random.randrange(1, 500)})
        product = urllib.parse.quote(random.choice(self.ids), safe="")
        self.count("write", clients[1].ask("PATCH", f"/products/{product}", body)[0])

    def photo(self, clients):
        data = random.choice(self.photos).read_bytes()
        head = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n"
        kind = "multipart/form-data; boundary=b"
        self.count("photo", clients[0].ask("POST", "/search/image", head + data + b"\r\n--b--\r\n", kind)[0])

    def change(self):
        self.over.wait(self.given.at)
        if self.over.is_set():
            return
        client, began = Client(self.given.admin), time.monotonic()
        status, body = client.ask("POST", "/admin/model", json.dumps({"model": self.given.model}))
        print(f"the change is asked for: {status}", flush=True)
        last = None
        while not self.over.is_set():
            report = json.loads(client.ask("GET", "/admin/model")[1] or b"{}")
            change = report.get("change")
            state = change and change["state"]
            if state != last:
                print(f"  {time.monotonic() - began:.0f} s: {json.dumps(change)}", flush=True)
                last = state
            if change is None or state == "failed":
                return
            self.over.wait(1)

    def run(self):
        given = self.given
        _, lines = Client(given.admin).ask("GET", "/products")
        self.ids = [json.loads(line)["id"] for line in lines.splitlines()[:5000]]
        self.photos = sorted(given.photos.glob("*.jpg"))[:500] if given.photos else []
        work = [(given.searches / 4, self.search)] * 4
        work += [(given.writes, self.write)] * (given.writes > 0) + [(1, self.photo)] * bool(self.photos)
        threads = [threading.Thread(target=self.paced, args=one, daemon=True) for one in work]
        if given.model:
            threads.append(threading.Thread(target=self.change, daemon=True))
        for thread in threads:
            thread.start()
        minutes, end = [], time.monotonic() + given.seconds
        while time.monotonic() < end:
            rest, samples = time.monotonic() + 60, []
            while time.monotonic() < min(rest, end):
                samples.append(memory(given.pid))
                time.sleep(2)
            with self.lock:
                took, statuses = sorted(self.took), dict(self.statuses)
                self.took, self.statuses = [], collections.Counter()
            minutes.append(sum(samples) / len(samples))
            p50, p99 = (1000 * took[int(len(took) * share)] for share in (0.5, 0.99))
            print(f"{len(minutes):3} {statuses} p50 {p50:.1f} ms p99 {p99:.1f} ms max {1000 * took[-1]:.0f} ms "
                  f"memory {minutes[-1]:.0f} MB models {self.models}", flush=True)
        self.over.set()
        for thread in threads:
            thread.join(10)
        if len(minutes) > 6:
            print(f"memory of the last minute to that of the sixth: {minutes[-1] / minutes[5]:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("public")
    parser.add_argument("admin")
    parser.add_argument("pid", type=int)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--searches", type=float, default=20)
    parser.add_argument("--writes", type=float, default=10)
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--queries", type=pathlib.Path)
    parser.add_argument("--model")
    parser.add_argument("--at", type=float, default=600)
    Soak(parser.parse_args()).run()


if __name__ == "__main__":
    main()
