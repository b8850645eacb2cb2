"""What transformers' CLIPModel computes with weights drawn from a counter-based generator: the reference values of
tests/it/model.rs, which draws the same weights bit for bit (tests/it/support/clip.rs).

Run: python tests/reference/clip.py        (transformers 5.23, torch 2.15; writes tests/reference/clip/*.json)
"""

import json
import pathlib
import zlib

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel

HERE = pathlib.Path(__file__).parent / "clip"
VOCABULARY = 901  # of clip/tokenizer.json; the last two ids are start and end
START, END = 899, 900

TINY = {
    "model_type": "clip",
    "projection_dim": 24,
    "text_config": {
        "hidden_size": 36, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 3,
        "max_position_embeddings": 32, "vocab_size": VOCABULARY, "eos_token_id": END, "hidden_act": "quick_gelu",
    },
    "vision_config": {
        "hidden_size": 60, "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 5,
        "image_size": 48, "patch_size": 8, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-6,
    },
}


def changed(**fields):
    config = json.loads(json.dumps(TINY))
    for section in ("text_config", "vision_config"):
        config[section].update(fields.get("both", {}))
        config[section].update(fields.get(section, {}))
    return config


CASES = {
    "tiny": (TINY, "float32"),
    "tiny_gelu": (changed(both={"hidden_act": "gelu"}), "float32"),
    "tiny_legacy_eos": (changed(text_config={"eos_token_id": 2}), "float32"),
    "tiny_float16": (TINY, "float16"),
    "tiny_bfloat16": (TINY, "bfloat16"),
    "one_layer_one_head": (changed(both={"num_hidden_layers": 1, "num_attention_heads": 1}), "float32"),
    # All else by default: ViT-B/32 with its 151 million weights.
    "vit_b_32": ({"model_type": "clip", "text_config": {"eos_token_id": END}, "vision_config": {}}, "float32"),
}


def uniform(seed, name, shape):
    """float32 in [-1, 1): splitmix64 of a key and the element's index; the key is the seed and the name's CRC-32."""
    key = np.uint64((seed << 32) | zlib.crc32(name.encode()))
    with np.errstate(over="ignore"):
        x = key * np.uint64(0xD1342543DE82EF95) + np.arange(int(np.prod(shape)), dtype=np.uint64)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    values = (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
    return values.reshape(shape)


def weight(seed, name, shape):
    """Scaled so that activations stay of the order of one and no part of the network is without effect."""
    if name == "logit_scale":
        return np.float32(4.5)
    u = uniform(seed, name, shape)
    if "norm" in name or "layrnorm" in name:
        return u * np.float32(0.25) + np.float32(1.0 if name.endswith("weight") else 0.0)
    if name.endswith("bias"):
        return u * np.float32(0.25)
    if "embedding" in name and "patch" not in name:
        return u * np.float32(0.5)
    fan_in = int(np.prod(shape[1:]))
    return u * (np.float32(2.0) / np.sqrt(np.float32(fan_in)))


def texts(context):
    """Rows of different lengths, padded as OpenAI pads (with the end token) and as transformers does (with 0)."""
    words = [(37 * i + 11) % (VOCABULARY - 2) for i in range(context)]
    rows = [[START, *words[:3], END], [START, *words[5:12], END], [START, END], [START, *words[: context - 2], END]]
    rows.append([START, *words[3:9], END] + [END] * 4)
    rows.append([START, *words[3:9], END] + [0] * 4)
    return rows


def run(case):
    config, dtype = CASES[case]
    seed = 7
    clip = CLIPConfig(**{k: v for k, v in config.items() if k != "model_type"})
    # Drawn on no memory first: torch's own random initialization of 151 M weights takes longer than everything else.
    with torch.device("meta"):
        model = CLIPModel(clip)
    state = {
        name: torch.tensor(weight(seed, name, tuple(t.shape))).to(getattr(torch, dtype)).float()
        for name, t in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    for tower in (model.text_model, model.vision_model):
        ids = tower.embeddings.position_ids
        tower.embeddings.position_ids = torch.arange(ids.shape[1]).expand(1, -1)
    model.eval()
    context, size = clip.text_config.max_position_embeddings, clip.vision_config.image_size
    rows = texts(context)
    images = 1 if case.startswith("vit") else 3
    pixels = torch.tensor(uniform(seed, "pixel_values", (images, 3, size, size)) * np.float32(2.0))

    def unit(output):
        out = getattr(output, "pooler_output", output)
        return torch.nn.functional.normalize(out, dim=-1)[0].tolist()

    with torch.no_grad():
        text = [unit(model.get_text_features(input_ids=torch.tensor([row]))) for row in rows]
        image = [unit(model.get_image_features(pixel_values=pixels[i : i + 1])) for i in range(images)]
    short = lambda rows: [[float(f"{v:.8g}") for v in row] for row in rows]
    reference = {
        "config": config, "seed": seed, "dtype": dtype, "parameters": sum(t.numel() for t in state.values()),
        "ids": rows, "text": short(text), "images": images, "image": short(image),
    }
    (HERE / f"{case}.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(case, reference["parameters"], text[0][:3], image[0][:3])


for case in CASES:
    run(case)
