"""`aglet-train fit` on a GPU beside the CPU: are the steps the same, and how many images a second.

Run: python tests/gpu/train.py --train CPU_BINARY --gpu NAME=BINARY ... --aglet target/release/aglet --work WORK
    [--base models/aglet-small-base] [--batches 64,256] [--vit-batches 16,64] [--steps 12]

All runs see the same drawn shoes in the same batches. For the bundled model (160 px, all patches) and for a ViT-B/32 with
random weights (224 px), for each batch size: the losses and gradient norms of the first steps beside the CPU's, and the
median rate of the steps after the third. Ends with exit code 1 if a first loss differs by more than 1e-3 of itself.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

RECIPE = pathlib.Path(__file__).parents[2] / "models/recipes/aglet-small-base-160.toml"


def fit(binary, checkpoint, device, batch, steps, shop, out, extra, limit):
    shutil.rmtree(out, ignore_errors=True)
    settings = [f"training.device={device}", f"data.batch={batch}", "data.drawn=0", "data.drawn_per_batch=0",
                f"run.epochs={steps * batch / shop[1]}", "run.keep_patches=1.0", "run.keep_until=0.0", "training.precision=f32",
                "optimizer.warmup=1", "optimizer.schedule={ kind = \"constant\" }", "run.validations_per_epoch=0.01", *extra]
    command = [binary, "fit", "--recipe", RECIPE, "--from", checkpoint, "--data", shop[0], "--out", out]
    for setting in settings:
        command += ["--set", setting]
    start = time.time()
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=limit)
        if done.returncode:
            print(f"{binary} ended with {done.returncode}: {done.stderr[-1500:]}", flush=True)
    except subprocess.TimeoutExpired:
        print(f"{out.name}: stopped after {limit} s", flush=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["kind"] == "step"]
    rates = [batch / s["seconds_per_step"] for s in found[3:]] or [0.0]
    print(f"{out.name}: {len(found)} steps, {time.time() - start:.1f} s in all; losses {[round(s['loss'], 5) for s in found[:4]]}, "
          f"norms {[round(s['gradient_norm'], 4) for s in found[:4]]}, s/step {[round(s['seconds_per_step'], 3) for s in found]}", flush=True)
    return found, statistics.median(rates)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", default="target/release/aglet-train")
    parser.add_argument("--gpu", action="append", default=[])
    parser.add_argument("--aglet", default="target/release/aglet")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--base", default="models/aglet-small-base")
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--vit-batches", default="16,64")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--limit", type=float, default=60)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    products = 1500
    shop = args.work / f"train-shop-{products}"
    if not shop.exists():
        run = [args.aglet, "demo", "--out", shop, "--products", products, "--seed", 3]
        subprocess.run([str(part) for part in run], check=True, stdout=subprocess.DEVNULL)
    stand_in = args.work / "vit-b32"
    if args.vit_batches and not stand_in.exists():
        subprocess.run([args.train, "stand-in", "--out", str(stand_in)], check=True, stdout=subprocess.DEVNULL)
    devices = [("cpu", args.train, "cpu")] + [(*gpu.split("=", 1), "gpu") for gpu in args.gpu]
    rows, failed = [], False
    for model, checkpoint, batches, extra in (
        ("aglet-small", args.base, args.batches, ["training.image_size=160"]),
        ("ViT-B/32", stand_in, args.vit_batches, ["training.image_size=224", "optimizer.rate=1e-5"]),
    ):
        for batch in (int(part) for part in batches.split(",") if part):
            first = None
            for name, binary, device in devices:
                out = args.work / f"{model.replace('/', '')}-{batch}-{name}"
                steps = max(4, args.steps // 3) if device == "cpu" else args.steps
                found, rate = fit(binary, checkpoint, device, batch, steps, (shop, products), out, extra, args.limit)
                first = first or found
                apart = max((abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(found[:2], first[:2])), default=1.0)
                norm = max((abs(a["gradient_norm"] / b["gradient_norm"] - 1) for a, b in zip(found[:2], first[:2])), default=1.0)
                failed |= apart > 1e-3
                rows.append(f"| {model} | {batch} | {name} | {rate:.1f} | {apart:.1e} | {norm:.1e} |")
    print("\n| model | batch | device | images/s | losses apart | gradient norms apart |\n| --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
