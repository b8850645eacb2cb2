"""Makes tests/reference/clip/tokenizer.json: a small byte-level BPE vocabulary of CLIP's kind, and clip/tokens.json:
what transformers' CLIPTokenizer makes of some texts with it (truncated at 32 tokens, as the tiny model is).

The merges are learned from the words below, so that common fashion words are one or two tokens and others fall apart.
Run: python tests/reference/clip_tokenizer.py        (transformers 5.23, tokenizers 0.23)
"""

import collections
import json
import pathlib

from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).parent / "clip"
CONTEXT = 32
WORDS = """
a the of with for and in on photo product picture color colour size men women boys girls unisex kids
black white grey brown beige blue navy red green yellow orange pink purple multi silver gold cream olive maroon
shoe shoes casual sports formal sandal sandals heels boots sneaker sneakers flip flops slip loafers laces shoelaces
lace sole rubber leather suede canvas t-shirt shirt shirts top tops dress dresses jeans trousers shorts skirt kurta
jacket sweater sweatshirt socks belt belts watch watches bag bags handbag handbags backpack wallet wallets sunglasses
stripes striped checked printed plain solid slim fit regular sleeve sleeves collar neck round polo cotton denim wool
summer winter spring fall season brand new classic light dark running training walking basketball tennis football
ring rings necklace earrings bracelet scarf cap caps tie ties cufflinks perfume lipstick nail polish deodorant
""".split()
MERGES = 460


def byte_alphabet():
    """The printable stand-ins for the 256 bytes that GPT-2 introduced and CLIP took over."""
    keep = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in keep]
    order = keep + others
    letters = [chr(b) for b in keep] + [chr(256 + n) for n in range(len(others))]
    return order, letters


def learn(words, merges):
    """Plain BPE: the most frequent pair, ties by the pair's text."""
    order, letters = byte_alphabet()
    letter = dict(zip(order, letters))
    counts = collections.Counter(words)
    splits = {w: [letter[b] for b in w.encode()] for w in counts}
    splits = {w: s[:-1] + [s[-1] + "</w>"] for w, s in splits.items()}
    learned = []
    for _ in range(merges):
        pairs = collections.Counter()
        for word, parts in splits.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        learned.append(best)
        for word, parts in splits.items():
            merged, i = [], 0
            while i < len(parts):
                if tuple(parts[i : i + 2]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            splits[word] = merged
    return letters, learned


def main():
    letters, merges = learn([w for w in WORDS if "-" not in w] + ["t", "shirt"], MERGES)
    tokens = letters + [c + "</w>" for c in letters] + ["".join(pair) for pair in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges)
    HERE.mkdir(exist_ok=True)
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    (HERE / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n")

    texts = [
        "",
        "black formal shoes",
        "  Black\tFORMAL\n shoes ",
        "casual shoes with beige shoelaces",
        "t-shirt with white stripes",
        "Women's Top, size M/L (2-pack) @ 19.99!",
        "don't they'll we've I'm he'd you're",
        "Crème brûlée coloured ÉTÉ dress",
        "Cre\u0300me",
        "紅い靴 ботинки 🥾👟",
        "12345 h&m x-ray",
        "a<|endoftext|>b",
        "zigzag " * 20,
        "shoes " * 60,
        "ﬁne ǅ İstanbul ſ K",
        "\u00a0no-break\u2003em space\u200bzero",
    ]
    rows = [{"text": t, "ids": tokenizer(t, truncation=True, max_length=CONTEXT)["input_ids"]} for t in texts]
    lines = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / "tokens.json").write_text(f"[{lines}]\n")
    print(len(vocab), "tokens;", tokenizer.eos_token_id)


main()
