"""The server on CUDA beside the same server on the CPU: is it CUDA that computes, are the embeddings the same, how fast.

Run: python tests/gpu/serve.py --aglet target/release/aglet --runtime .runtime --work WORK MODEL_FOLDER ...     (numpy)

For each model folder a catalog of drawn shoes is imported by `--device cpu` and by `--device cuda` into data folders of
their own, the embeddings of both are compared one by one, and each is served and asked: one client after the other
(latency), then many at once (throughput), no query twice, no cached embedding. Ends with exit code 1 if the provider in
use is not the one asked for, or if an embedding is further from the CPU's than a cosine of --least.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np

WORDS = """black white grey brown beige blue red green yellow orange pink purple casual formal sports running shoes
sandals heels boots sneakers for men women boys girls with leather canvas laces shoelaces summer winter light dark""".split()


def words(seed):
    """A query of five words that no other seed has."""
    dice = random.Random(seed)
    return " ".join(dice.choice(WORDS) for _ in range(5)) + f" {seed}"


def embeddings(data):
    rows = sqlite3.connect(data / "catalog.sqlite").execute("SELECT kind, hash, vector FROM embeddings")
    return {(kind, bytes(hash)): np.frombuffer(vector, "<f4") for kind, hash, vector in rows}


def ask(connection, query=None, photo=None):
    """Ids of the answer."""
    if photo is None:
        connection.request("GET", "/search?" + urllib.parse.urlencode({"q": query, "limit": 10}))
    else:
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        connection.request("POST", "/search/image", head + photo + b"\r\n--x--\r\n", headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{answer.status}: {body[:300]}")
    return [hit["id"] for hit in json.loads(body)["hits"]]


def client(port, photos, seed, until, answered):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while time.time() < until:
        photo = photos[seed % len(photos)] if photos else None
        ask(connection, words(seed), photo)
        seed += 1
        with answered.get_lock():
            answered.value += 1


def throughput(port, photos, clients, seconds):
    answered = multiprocessing.Value("q", 0)
    start = time.time()
    jobs = [
        multiprocessing.Process(target=client, args=(port, photos, (n + 1) * 10**6, start + seconds, answered))
        for n in range(clients)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    return answered.value / (time.time() - start)


def latency(port, photos, count):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    for n in range(count + 10):
        start = time.perf_counter()
        ask(connection, words(n), photos[n % len(photos)] if photos else None)
        times.append((time.perf_counter() - start) * 1e3)
    times = sorted(times[10:])
    return statistics.median(times), times[len(times) * 95 // 100]


def serve(args, model, data, device, photos):
    port = 18000 + random.randrange(1000)
    command = [args.aglet, "serve", "--model", model, "--data", data, "--runtime", args.runtime, "--device", device]
    command += ["--cache", "0", "--listen", f"127.0.0.1:{port}", "--log-format", "json"]
    with open(data / "serve.log", "w") as log:
        service = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                ready = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"))
                break
            except OSError:
                if service.poll() is not None:
                    sys.exit(f"the service ended:\n{(data / 'serve.log').read_text()[-2000:]}")
                time.sleep(0.1)
        else:
            sys.exit("the service does not become ready")
        if ready["provider"] != device or ready.get("provider_fallback"):
            sys.exit(f"asked for {device}, got {ready}")
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics").read().decode()
        print([line for line in metrics.splitlines() if line.startswith("aglet_execution_provider{")], flush=True)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        found = {"answers": [ask(connection, words(n)) for n in range(100)]}
        found["answers"] += [ask(connection, photo=photo) for photo in photos[:100]]
        found["text_ms"] = latency(port, None, args.count)
        found["photo_ms"] = latency(port, photos, args.count)
        found["text_per_s"] = throughput(port, None, args.clients, args.seconds)
        found["photo_per_s"] = throughput(port, photos, args.clients, args.seconds)
        if device == "cuda":
            query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"]
            apps = subprocess.run(query, capture_output=True, text=True).stdout.strip()
            query = ["nvidia-smi", "--query-gpu=name,memory.used,driver_version", "--format=csv,noheader"]
            gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip()
            print(f"service {service.pid}; on the GPU: {apps!r}; {gpu}", flush=True)
        return found
    finally:
        service.terminate()
        if service.wait() != 0:
            sys.exit(f"the service ended with {service.returncode}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--aglet", default="target/release/aglet")
    parser.add_argument("--runtime", default=".runtime")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--devices", default="cuda,cpu")
    parser.add_argument("--least", type=float, default=0.9999)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    # The service that was started is stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    args.work.mkdir(parents=True, exist_ok=True)
    shop = args.work / f"shop-{args.products}"
    if not shop.exists():
        run = [args.aglet, "demo", "--out", shop, "--products", str(args.products), "--seed", "1"]
        subprocess.run([str(part) for part in run], check=True, stdout=subprocess.DEVNULL)
    photos = [path.read_bytes() for path in sorted((shop / "images").iterdir())[:500]]
    failed, rows = False, []
    for model in args.models:
        found, devices = {}, args.devices.split(",")
        for device in devices:
            data = args.work / f"data-{model.name}-{device}"
            shutil.rmtree(data, ignore_errors=True)
            run = [args.aglet, "import", "--model", model, "--data", data, "--runtime", args.runtime]
            run += ["--device", device, "--styles", shop / "styles.csv", "--images", shop / "images"]
            start = time.time()
            subprocess.run([str(part) for part in run], check=True, stdout=subprocess.DEVNULL)
            seconds = time.time() - start
            found[device] = serve(args, model, data, device, photos) | {"import_s": seconds}
            found[device]["embeddings"] = embeddings(data)
            print(model.name, device, {k: v for k, v in found[device].items() if k not in ("answers", "embeddings")}, flush=True)
        if len(devices) == 2:
            cuda, cpu = (found[device]["embeddings"] for device in ("cuda", "cpu"))
            if cuda.keys() != cpu.keys():
                sys.exit("not the same contents were embedded")
            for kind in ("photo", "words"):
                keys = [key for key in cpu if key[0] == kind]
                a, b = (np.array([side[key] for key in keys], dtype=np.float64) for side in (cuda, cpu))
                cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
                print(f"{model.name} {kind}: {len(keys)} embeddings, cosine to the CPU's least {cosine.min():.7f}, "
                      f"mean {cosine.mean():.7f}; greatest difference of a number {abs(a - b).max():.2e}", flush=True)
                failed |= bool(cosine.min() < args.least)
            same = [len(set(a) & set(b)) / max(1, len(b)) for a, b in zip(found["cuda"]["answers"], found["cpu"]["answers"])]
            first = [a[:1] == b[:1] for a, b in zip(found["cuda"]["answers"], found["cpu"]["answers"])]
            print(f"{model.name}: first ten shared {100 * statistics.mean(same):.2f}%, same first {100 * statistics.mean(first):.1f}%")
        for device in devices:
            f = found[device]
            rows.append(f"| {model.name} | {device} | {f['import_s']:.1f} | {f['text_ms'][0]:.2f} / {f['text_ms'][1]:.2f} | "
                        f"{f['photo_ms'][0]:.2f} / {f['photo_ms'][1]:.2f} | {f['text_per_s']:.0f} | {f['photo_per_s']:.0f} |")
    print(f"\n{os.cpu_count()} cores, {args.products} products, {args.clients} clients\n")
    print("| model | device | import, s | words, ms (median / p95) | photo, ms | words/s | photos/s |\n| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
