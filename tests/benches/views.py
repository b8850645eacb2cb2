"""What a second view of a photo costs: one model with its views and with one view alone, taking turns.

    python3 tests/benches/views.py MODEL [PHOTO ..]

Imports of 600 drawn products (photos a second), then photo searches one at a time (median and p95 in ms) for each PHOTO.
AGLET: the program (target/release/aglet). ROUNDS: turns of each side (5).
"""

import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AGLET = os.environ.get("AGLET", "target/release/aglet")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SEARCHES = 20


def seen_once(model, folder):
    copy = shutil.copytree(model, folder / "once")
    manifest = json.loads((copy / "model.json").read_text())
    if manifest["preprocessing"].pop("views", None) is None:
        raise SystemExit(f"{model} sees a photo once")
    (copy / "model.json").write_text(json.dumps(manifest))
    return copy


def imported(model, shop, data):
    shutil.rmtree(data, ignore_errors=True)
    command = [AGLET, "import", "--model", model, "--data", data, "--styles", shop / "styles.csv", "--images", shop / "images"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(re.search(r"\(([\d.]+) photos/s\)", said.stdout + said.stderr).group(1))


def served(model, data):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [AGLET, "serve", "--model", model, "--data", data, "--listen", f"127.0.0.1:{port}"]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        time.sleep(0.2)
        client = http.client.HTTPConnection("127.0.0.1", port)
        try:
            client.request("GET", "/readyz")
            if client.getresponse().status == 200:
                return service, port
        except OSError:
            pass
    raise SystemExit(f"{model} does not become ready")


def search(client, photo):
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    begin = time.perf_counter()
    client.request("POST", "/search/image", body, {"Content-Type": "multipart/form-data; boundary=b"})
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return 1000 * (time.perf_counter() - begin)


def main():
    model, photos = Path(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sides = {"its views": model, "one view": seen_once(model, folder)}
        shop = folder / "shop"
        subprocess.run([AGLET, "demo", "--out", shop, "--products", "600", "--seed", "1"], check=True, capture_output=True)
        rates = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, path in sides.items():
                rates[side].append(imported(path, shop, folder / f"data {side}"))
        many, one = (statistics.median(rates[side]) for side in sides)
        print(f"import, photos a second: {many:.1f} and {one:.1f}, ratio {many / one:.2f}")
        services = {side: served(path, folder / f"data {side}") for side, path in sides.items()}
        try:
            for photo in photos:
                times = {side: [] for side in sides}
                for _ in range(ROUNDS):
                    for side, (_, port) in services.items():
                        client = http.client.HTTPConnection("127.0.0.1", port)
                        file = Path(photo).read_bytes()
                        # The first wakes the other side's threads.
                        times[side] += [search(client, file) for _ in range(SEARCHES + 1)][1:]
                cells = [f"{statistics.median(t):.1f} (p95 {statistics.quantiles(t, n=20)[-1]:.1f})" for t in times.values()]
                ratio = statistics.median(times["its views"]) / statistics.median(times["one view"])
                print(f"{Path(photo).name}: {cells[0]} and {cells[1]} ms, ratio {ratio:.2f}")
        finally:
            for service, _ in services.values():
                service.terminate()


main()
