"""Records what PyTorch's optimizers and learning-rate schedulers do, for tests/it/train.rs.

Run: python train_reference.py   (torch); writes train_reference.json beside itself.
"""

import json
from pathlib import Path

import torch
from torch.optim import SGD, Adagrad, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, ExponentialLR, LinearLR, ReduceLROnPlateau

torch.manual_seed(11)
RATE = 0.01


def optimizer_run(make, steps=12, schedule=None):
    """Two parameters, one without weight decay, over recorded gradients."""
    start = [torch.randn(7), torch.randn(5)]
    gradients = [[torch.randn(7) * (1 + s % 3), torch.randn(5) * 0.01] for s in range(steps)]
    weights = [torch.nn.Parameter(t.clone()) for t in start]
    optimizer = make(weights)
    scheduler = schedule(optimizer) if schedule else None
    for group in gradients:
        for w, g in zip(weights, group):
            w.grad = g.clone()
        optimizer.step()
        if scheduler:
            scheduler.step()
    to_list = lambda ts: [t.detach().tolist() for t in ts]
    return {"start": to_list(start), "gradients": [to_list(g) for g in gradients], "end": to_list(weights)}


def groups(weights, decay):
    return [{"params": [weights[0]], "weight_decay": decay}, {"params": [weights[1]], "weight_decay": 0.0}]


optimizers = [
    {"rule": {"kind": "adamw", "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "weight_decay": 0.1},
     **optimizer_run(lambda w: AdamW(groups(w, 0.1), lr=RATE, betas=(0.9, 0.98), eps=1e-6))},
    {"rule": {"kind": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.05},
     **optimizer_run(lambda w: SGD(groups(w, 0.05), lr=RATE, momentum=0.9))},
    {"rule": {"kind": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.0},
     **optimizer_run(lambda w: SGD(groups(w, 0.0), lr=RATE, momentum=0.8, nesterov=True))},
    {"rule": {"kind": "adagrad", "eps": 1e-10, "lr_decay": 0.1, "weight_decay": 0.05, "initial_accumulator": 0.1},
     **optimizer_run(lambda w: Adagrad(groups(w, 0.05), lr=RATE, lr_decay=0.1, initial_accumulator_value=0.1))},
    {"rule": {"kind": "sgd", "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.05},
     **optimizer_run(lambda w: SGD(groups(w, 0.05), lr=RATE, momentum=0.9, dampening=0.4))},
]
# CyclicLR moves the momentum against the rate: a cycle and a half of 8 steps.
cyclic = {"kind": "cyclic", "base": 1e-3, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2",
          "base_momentum": 0.7, "max_momentum": 0.95}
cycle = lambda o: CyclicLR(o, 1e-3, RATE, step_size_up=3, step_size_down=5, mode="triangular2", base_momentum=0.7,
                           max_momentum=0.95)
cycled = [
    {"schedule": cyclic, "rule": {"kind": "sgd", "momentum": 0.5, "nesterov": True},
     **optimizer_run(lambda w: SGD(groups(w, 0.0), lr=RATE, momentum=0.5, nesterov=True), schedule=cycle)},
    {"schedule": cyclic, "rule": {"kind": "adamw", "weight_decay": 0.1},
     **optimizer_run(lambda w: AdamW(groups(w, 0.1), lr=RATE), schedule=cycle)},
]


def dummy():
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def by_steps(make, steps=40):
    optimizer = dummy()
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def by_metric(values, **settings):
    optimizer = dummy()
    scheduler = ReduceLROnPlateau(optimizer, **settings)
    rates = []
    for value in values:
        optimizer.step()
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return {"values": values, "rates": rates}


plateau = [1.0, 0.9, 0.89999, 0.91, 0.905, 0.92, 0.8, 0.8, 0.8, 0.8, 0.8, 0.79, 0.8, 0.81, 0.8, 0.8, 0.8, 0.8, 0.8]
schedules = {
    "exponential": by_steps(lambda o: ExponentialLR(o, gamma=0.93)),
    "cosine": by_steps(lambda o: CosineAnnealingLR(o, T_max=15, eta_min=1e-4)),
    "triangular": by_steps(lambda o: CyclicLR(o, 1e-3, RATE, step_size_up=4, step_size_down=7)),
    "triangular2": by_steps(lambda o: CyclicLR(o, 1e-3, RATE, step_size_up=5, mode="triangular2")),
    "exp_range": by_steps(lambda o: CyclicLR(o, 1e-3, RATE, step_size_up=6, mode="exp_range", gamma=0.97)),
    "warmup": by_steps(lambda o: LinearLR(o, start_factor=1 / 8, total_iters=7), 12),
    "plateau_min": by_metric(plateau, mode="min", factor=0.5, patience=1, threshold=1e-3, cooldown=1, min_lr=1e-3),
    "plateau_max": by_metric([-v for v in plateau], mode="max", factor=0.1, patience=2, threshold=0.02,
                             threshold_mode="abs", cooldown=0, min_lr=0.0),
    "plateau_min_abs": by_metric(plateau, mode="min", factor=0.3, patience=0, threshold=0.015, threshold_mode="abs",
                                 cooldown=2, min_lr=1e-5),
    "plateau_max_rel": by_metric([2 - v for v in plateau], mode="max", factor=0.7, patience=1, threshold=0.03,
                                 threshold_mode="rel", cooldown=0, min_lr=0.0, eps=2.5e-3),
}
out = {"rate": RATE, "optimizers": optimizers, "cycled": cycled, "schedules": schedules}
Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
