"""Records the values and gradients of CLIP's and SigLIP's losses, of classification by words and of drift, on drawn embeddings, for tests/it/train.rs.

Run: python loss_reference.py   (torch); writes loss_reference.json beside itself.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

torch.manual_seed(5)
ROWS, WIDTH = 7, 5


def contrastive(a, b, scale, bias, truth):
    """CLIP's: cross-entropy both ways; equal captions share the right answer."""
    logits = scale.exp() * a @ b.T
    loss = F.cross_entropy(logits, truth / truth.sum(1, keepdim=True))
    return (loss + F.cross_entropy(logits.T, (truth / truth.sum(0, keepdim=True)).T)) / 2


def siglip(a, b, scale, bias, truth):
    """SigLIP's (arXiv 2303.15343, algorithm 1): every pair for itself, several right ones in a row."""
    logits = scale.exp() * a @ b.T + bias
    return -F.logsigmoid((2 * truth - 1) * logits).sum() / len(a)


def classification(a, b, scale, bias, truth):
    """Each image over all classes in words; `truth` has one right class a row, the same one in several rows."""
    return F.cross_entropy(scale.exp() * a @ b.T, truth.argmax(1))


def drift(a, b, scale, bias, truth):
    """How far unit rows are from where they are to stay; the norm is the network's own last step, and no part of it."""
    return 1 - torch.einsum("ij,ij->i", a, b.detach()).mean()


def record(loss, truth, scale, bias):
    a = F.normalize(torch.randn(ROWS, WIDTH), dim=1).requires_grad_()
    b = F.normalize(torch.randn(ROWS, WIDTH), dim=1).requires_grad_()
    scale = torch.tensor([scale], requires_grad=True)
    bias = torch.tensor([bias], requires_grad=True)
    value = loss(a, b, scale, bias, truth)
    value.backward()
    flat = lambda t: [] if t is None else t.detach().flatten().tolist()
    return {"kind": loss.__name__, "truth": flat(truth), "rows": ROWS, "a": flat(a), "b": flat(b), "scale": flat(scale),
            "bias": flat(bias), "value": value.item(), "da": flat(a.grad), "db": flat(b.grad),
            "dscale": flat(scale.grad), "dbias": flat(bias.grad)}


alone = torch.eye(ROWS)
shared = torch.eye(ROWS)
shared[0, 3] = shared[3, 0] = shared[2, 3] = shared[5, 1] = 1.0
cases = [record(loss, truth, scale, bias)
         for loss in (contrastive, siglip)
         for truth in (alone, shared)
         # Where training begins, and where it may end: SigLIP's log 10 and -10; CLIP's cap of 100.
         for scale, bias in ((2.302585, -10.0), (4.605170, -12.5), (0.3, 1.5))]
classes = F.one_hot(torch.tensor([2, 0, 2, 6, 1, 1, 2]), ROWS).float()
cases += [record(classification, classes, scale, 0.0) for scale in (2.302585, 4.605170)]
cases.append(record(drift, alone, 1.0, 0.0))
Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
