"""Records one training step of a small CLIP in PyTorch: weights, batch, loss, gradients, weights after AdamW.

Run: python train_step.py   (torch, transformers, safetensors); writes train_step.safetensors beside itself.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

torch.manual_seed(7)
WIDTH, MLP, LAYERS, HEADS, PATCH, SIZE, VOCAB, CONTEXT, PROJECTION = 16, 32, 2, 2, 4, 12, 40, 12, 12
tower = dict(hidden_size=WIDTH, intermediate_size=MLP, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
             hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=PROJECTION)
config = CLIPConfig(
    text_config=dict(tower, vocab_size=VOCAB, max_position_embeddings=CONTEXT, bos_token_id=VOCAB - 2,
                     eos_token_id=VOCAB - 1, pad_token_id=VOCAB - 1),
    vision_config=dict(tower, image_size=SIZE, patch_size=PATCH),
    projection_dim=PROJECTION,
)
model = CLIPModel(config).eval()
with torch.no_grad():  # biases and norms start at 0 and 1: move them, so that a mistake there shows
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)

COUNT = 6
pixels = torch.randn(COUNT, 3, SIZE, SIZE)


def texts(longest):
    lengths = torch.randint(3, longest + 1, (COUNT,))
    lengths[0] = longest
    ids = torch.full((COUNT, longest), VOCAB - 1)
    for row, length in enumerate(lengths.tolist()):
        ids[row, 0] = VOCAB - 2
        ids[row, 1:length - 1] = torch.randint(0, VOCAB - 2, (length - 2,))
    return ids, lengths


documents, document_lengths = texts(CONTEXT)
queries, query_lengths = texts(7)
described = torch.eye(COUNT)
asked = torch.eye(COUNT)
asked[0, 3] = asked[3, 0] = asked[2, 3] = asked[5, 1] = 1.0


def contrastive(a, b, scale, truth):
    logits = scale.exp() * a @ b.T
    rows = truth / truth.sum(1, keepdim=True)
    columns = truth / truth.sum(0, keepdim=True)
    loss = -(rows * logits.log_softmax(1)).sum(1).mean() - (columns * logits.log_softmax(0)).sum(0).mean()
    return loss / 2


def likeness(a, labels, temperature):
    """SupCon's L_out over one modality; a row alone with its label is left out."""
    alike = (labels[:, None] == labels[None, :]) & ~torch.eye(len(labels), dtype=torch.bool)
    logits = (a @ a.T / temperature).masked_fill(torch.eye(len(labels), dtype=torch.bool), float("-inf"))
    rows = [-logits[i].log_softmax(0)[alike[i]].mean() for i in range(len(labels)) if alike[i].any()]
    return torch.stack(rows).mean()


def embed_image():
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    x = model.visual_projection(pooled)
    return x / x.norm(dim=-1, keepdim=True)


def embed_text(ids):
    pooled = model.text_model(input_ids=ids).pooler_output
    x = model.text_projection(pooled)
    return x / x.norm(dim=-1, keepdim=True)


no_decay = ("bias", "layer_norm", "layernorm", "layrnorm", "position_embedding", "class_embedding", "logit_scale")
named = list(model.named_parameters())
groups = [
    {"params": [p for n, p in named if not any(k in n for k in no_decay)], "weight_decay": 0.1},
    {"params": [p for n, p in named if any(k in n for k in no_decay)], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6)
out = {f"before.{n}": p.detach().clone() for n, p in named}
image, document, query = embed_image(), embed_text(documents), embed_text(queries)
scale = model.logit_scale
parts = [contrastive(image, document, scale, described), contrastive(image, query, scale, asked),
         contrastive(document, query, scale, asked), likeness(image, torch.tensor([0, 1, 2, 1, 1, 0]), 0.1)]
loss = 0.5 * (parts[0] + parts[1]) + 0.25 * parts[2] + 0.5 * parts[3]
loss.backward()
out |= {f"gradient.{n}": p.grad.clone() for n, p in named}
norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()
out |= {f"after.{n}": p.detach().clone() for n, p in named}
out |= {"pixels": pixels, "image": image.detach(), "document": document.detach(), "query": query.detach(),
        "described": described, "asked": asked, "losses": torch.stack([loss, *parts]).detach(), "norm": norm.reshape(1)}
sizes = dict(width=WIDTH, mlp=MLP, layers=LAYERS, heads=HEADS, patch=PATCH, size=SIZE, vocabulary=VOCAB,
             context=CONTEXT, projection=PROJECTION)
metadata = {"sizes": json.dumps(sizes), "documents": json.dumps(documents.tolist()),
            "queries": json.dumps(queries.tolist()), "document_lengths": json.dumps(document_lengths.tolist()),
            "query_lengths": json.dumps(query_lengths.tolist())}
save_file({k: v.contiguous() for k, v in out.items()}, Path(__file__).with_suffix(".safetensors"), metadata)
