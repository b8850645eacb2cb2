"""Records the gradients of low-rank pairs beside a linear layer in PyTorch, for tests/it/train.rs.

Run: python lora_step.py   (torch, transformers, safetensors); reads train_step.safetensors, writes
lora_step.safetensors beside itself: the pairs, the loss and the pairs' gradients of the recorded step with the base
frozen. The layer is written out as LoRA's paper has it (arXiv 2106.09685, section 4.1).
"""

import runpy
from pathlib import Path

import torch
from safetensors.torch import save_file

here = Path(__file__).parent
RANK, ALPHA = 3, 6.0
# The same model, batch and losses, before its step: the script's functions work on its globals.
import safetensors.torch as st  # noqa: E402

written = st.save_file
st.save_file = lambda *_: None
step = runpy.run_path(str(here / "train_step.py"))
st.save_file = written
model = step["model"]
with torch.no_grad():
    for name, parameter in model.named_parameters():
        parameter.copy_(step["out"][f"before.{name}"])
        parameter.requires_grad_(False)
torch.manual_seed(3)


class Pair(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.a = torch.nn.Parameter(torch.randn(RANK, layer.in_features) * 0.2)
        self.b = torch.nn.Parameter(torch.randn(layer.out_features, RANK) * 0.2)

    def forward(self, x):
        return self.layer(x) + ALPHA / RANK * (x @ self.a.T) @ self.b.T


pairs = {}
for name, module in list(model.named_modules()):
    if name.rsplit(".", 1)[-1] in ("q_proj", "fc2"):
        parent = model.get_submodule(name.rsplit(".", 1)[0])
        pairs[name] = Pair(module)
        setattr(parent, name.rsplit(".", 1)[-1], pairs[name])
embed_image, embed_text, contrastive, likeness = (step[n] for n in ("embed_image", "embed_text", "contrastive", "likeness"))
image, document, query = embed_image(), embed_text(step["documents"]), embed_text(step["queries"])
scale = model.logit_scale
loss = 0.5 * (contrastive(image, document, scale, step["described"]) + contrastive(image, query, scale, step["asked"]))
loss = loss + 0.25 * contrastive(document, query, scale, step["asked"])
loss = loss + 0.5 * likeness(image, torch.tensor([0, 1, 2, 1, 1, 0]), 0.1)
loss.backward()
out = {"loss": loss.detach().reshape(1)}
for name, pair in pairs.items():
    for letter, tensor in (("A", pair.a), ("B", pair.b)):
        out[f"pair.{name}.lora_{letter}.weight"] = tensor.detach().clone()
        out[f"gradient.{name}.lora_{letter}.weight"] = tensor.grad.clone()
save_file({k: v.contiguous() for k, v in out.items()}, here / "lora_step.safetensors", {"rank": str(RANK), "alpha": str(ALPHA)})
print(loss.item(), step["loss"].item(), len(pairs))
