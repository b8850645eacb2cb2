"""Times the step of `aglet-train fit` against PyTorch's on the same shapes, one after the other, two threads each.

Run: python tests/benches/train_step.py --shape small|vit-b32 [--steps 10] [--rust target/release/aglet-train]
(torch, transformers; `cargo build --release --features train` before). Each side is a process of its own that takes
one step when told to, so that both see the same machine; printed are the medians, their ratio and each side's peak
memory. A step is what `fit` does once the batch is there: photos, long and short captions through the towers, the
four losses, the gradients, their clipping, AdamW, the averaged weights. PyTorch's texts are padded to the longest of
the batch, as transformers wants them. With
--bf16 the layers' products are rounded to bf16 on both sides. The loader is left out: it works beside the step, and a run's report says what it costs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

SHAPES = {  # as in src/train/tools/bench.rs
    "vit-b32": dict(vision=(768, 12), text=(512, 12), size=224, patch=32, vocabulary=49408, projection=512, batch=16),
    "small": dict(vision=(192, 6), text=(192, 4), size=128, patch=16, vocabulary=4096, projection=192, batch=64),
}


def torch_side(shape, fused, bf16):
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(1)
    s = SHAPES[shape]
    tower = lambda w, n: dict(hidden_size=w, intermediate_size=4 * w, num_hidden_layers=n, num_attention_heads=w // 64,
                              hidden_act="quick_gelu", projection_dim=s["projection"])
    vocabulary, count = s["vocabulary"], s["batch"]
    model = CLIPModel(CLIPConfig(
        text_config=dict(tower(*s["text"]), vocab_size=vocabulary, max_position_embeddings=77,
                         bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1),
        vision_config=dict(tower(*s["vision"]), image_size=s["size"], patch_size=s["patch"]),
        projection_dim=s["projection"])).train()
    average = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=fused)

    def texts(least, spread):
        lengths = [least + row * 7 % spread for row in range(count)]
        ids = torch.full((count, max(lengths)), vocabulary - 1)
        for row, length in enumerate(lengths):
            ids[row, 0] = vocabulary - 2
            ids[row, 1:length - 1] = torch.randint(0, vocabulary - 2, (length - 2,))
        return ids

    pixels = torch.randn(count, 3, s["size"], s["size"])
    documents, queries = texts(12, 17), texts(4, 5)
    labels = torch.arange(count) % 8
    own = torch.eye(count, dtype=torch.bool)
    alike = ((labels[:, None] == labels[None, :]) & ~own).float()
    alike = alike / alike.sum(1, keepdim=True)
    eye = torch.eye(count)
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)

    def contrastive(a, b):
        logits = model.logit_scale.exp() * a @ b.T
        return -((eye * logits.log_softmax(1)).sum() + (eye * logits.log_softmax(0)).sum()) / (2 * count)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            image = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
            texts = [model.text_projection(model.text_model(input_ids=t).pooler_output) for t in (documents, queries)]
        image, (document, query) = unit(image.float()), (unit(t.float()) for t in texts)
        likeness = -(alike * (image @ image.T / 0.1).masked_fill(own, -1e4).log_softmax(1)).sum() / count
        loss = (contrastive(image, document) + contrastive(image, query)) / 2
        loss = loss + 0.25 * contrastive(document, query) + 0.25 * likeness
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 0.005)
        return loss.item()

    print("ready", sum(p.numel() for p in model.parameters()), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        loss = step()
        print(time.perf_counter() - begun, loss, flush=True)
    with open("/proc/self/status") as status:
        print("peak", next(line.split(":")[1].strip() for line in status if line.startswith("VmHWM")), flush=True)


class Side:
    def __init__(self, command, threads):
        # Waiting threads sleep: a spinning one would take the other side's time.
        env = dict(os.environ, OMP_NUM_THREADS=threads, RAYON_NUM_THREADS=threads, OMP_WAIT_POLICY="PASSIVE")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.parameters = int(self.answer()[1])

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}")
        return line.split()

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.answer()[0])

    def peak(self):
        self.process.stdin.close()
        return " ".join(self.answer()[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rust", default="target/release/aglet-train")
    parser.add_argument("--fused", action="store_true", help="PyTorch's AdamW in one kernel")
    parser.add_argument("--bf16", action="store_true", help="both sides: PyTorch's autocast, training.precision here")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return torch_side(args.shape, args.fused, args.bf16)
    fused = ["--fused"] if args.fused else []
    bf16 = ["--bf16"] if args.bf16 else []
    pytorch = Side([sys.executable, __file__, "--side", "torch", "--shape", args.shape, *fused, *bf16], args.threads)
    aglet = Side([args.rust, "bench", "--shape", args.shape, *bf16], args.threads)
    assert pytorch.parameters == aglet.parameters, (pytorch.parameters, aglet.parameters)
    times = {"pytorch": [], "aglet": []}
    for step in range(args.warm + args.steps):
        for name, side in (("pytorch", pytorch), ("aglet", aglet)):
            seconds = side.step()
            if step >= args.warm:
                times[name].append(seconds)
            print(f"{step + 1:3} {name:8} {seconds:.3f} s{'' if step >= args.warm else ' (warm-up)'}", flush=True)
    median = {name: statistics.median(list) for name, list in times.items()}
    for name, side in (("pytorch", pytorch), ("aglet", aglet)):
        print(f"{name:8} median {median[name]:.3f} s, {min(times[name]):.3f} to {max(times[name]):.3f}; peak {side.peak()}")
    pairs = [p / a for p, a in zip(times["pytorch"], times["aglet"])]
    print(f"{args.shape}, {aglet.parameters} parameters, {args.threads} threads: "
          f"aglet-train at {median['pytorch'] / median['aglet']:.2f} of PyTorch's step rate "
          f"(median of the pairs {statistics.median(pairs):.2f})")


if __name__ == "__main__":
    main()
