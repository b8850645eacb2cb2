"""Records what a running service answers, and compares two such records.

For changes that must not change an answer. 300 requests are drawn from the catalog that the service
has, always the same ones for the same catalog: 100 in words, 60 in words with a filter, 60 by photo
(the catalog's own pictures), 40 pages further down, 40 for similar products. Of each answer the ids,
the scores and the total are kept.

    python3 tests/answers/answers.py record http://127.0.0.1:8080 --out before.json
    python3 tests/answers/answers.py record http://127.0.0.1:8080 --like before.json --out after.json
    python3 tests/answers/answers.py compare before.json after.json

Which products are asked of depends on an answer: `--like` asks the questions of another record. A
graph that is built anew may miss another product: compare services over the same saved index, or
look at how often two builds of the same version differ.

`compare` fails when an id, a total, or a score by more than 1e-6 differs; `--swaps` lets neighbors
whose scores differ by less than 1e-6 change places.
"""

import argparse
import json
import random
import sys
import urllib.parse
import urllib.request
import uuid

TOLERANCE = 1e-6


def call(url, body=None, kind=None):
    request = urllib.request.Request(url, data=body)
    if kind:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()


def get(base, path, **parameters):
    query = urllib.parse.urlencode(parameters, doseq=True)
    return json.loads(call(f"{base}{path}?{query}" if query else f"{base}{path}"))


def by_photo(base, picture, **fields):
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'
    body = b"".join(parts) + head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    return json.loads(call(f"{base}/search/image", body, kind))


def kept(answer):
    if "hits" not in answer:
        return {"error": answer.get("code")}
    hits = [[hit["id"], hit["score"]] for hit in answer["hits"]]
    return {"total": answer["estimated_total"], "hits": hits}


def write(found, out):
    with open(out, "w") as file:
        json.dump(found, file, indent=0)
    empty = sum(1 for answer in found if not answer.get("hits"))
    print(f"{len(found)} answers recorded, {empty} without hits")


def by_picture(base, product, fields):
    picture = call(f"{base}/products/{urllib.parse.quote(product, safe='')}/image")
    return by_photo(base, picture, **fields)


def similar(base, product, parameters):
    return get(base, f"/products/{urllib.parse.quote(product, safe='')}/similar", **parameters)


def repeat(base, like, out):
    """Asks what another record asked."""
    with open(like) as file:
        questions = json.load(file)
    found = []
    for question in questions:
        kind, asked = question["kind"], question["asked"]
        if kind == "words":
            answer = get(base, "/search", q=asked, limit=len(question["hits"]))
        elif kind == "filtered":
            answer = get(base, "/search", q=asked[0], **asked[1])
        elif kind == "photo":
            answer = by_picture(base, *asked)
        elif kind == "page":
            answer = get(base, "/search", q=asked[0], limit=20, offset=asked[1])
        else:
            answer = similar(base, *asked)
        found.append({"kind": kind, "asked": asked, **kept(answer)})
    write(found, out)


def record(base, out):
    draw = random.Random(1)
    attributes = {a["name"]: [v["value"] for v in a["values"]] for a in get(base, "/attributes")["attributes"]}
    colors, categories = sorted(attributes["color"]), sorted(attributes["category"])
    pool = get(base, "/search", q="product", limit=250)["hits"]
    pool += get(base, "/search", q="shoes for men", limit=250, offset=250)["hits"]
    products = {hit["id"]: hit["product"] for hit in pool}
    ids = sorted(products)

    def words():
        form = draw.randrange(4)
        if form == 0:
            return products[draw.choice(ids)]["title"]
        if form == 1:
            return f"{draw.choice(colors)} {draw.choice(categories)}".lower()
        if form == 2:
            return f"{draw.choice(categories)} with {draw.choice(colors)} shoelaces".lower()
        return draw.choice(["something warm", "party", "for a wedding", "running", "ruß", "  two   words "])

    found = []

    def add(kind, asked, answer):
        found.append({"kind": kind, "asked": asked, **kept(answer)})

    for _ in range(100):
        q = words()
        add("words", q, get(base, "/search", q=q, limit=draw.choice([1, 10, 20, 100])))
    for number in range(60):
        q, name = words(), draw.choice(sorted(attributes))
        values = draw.sample(sorted(attributes[name]), min(len(attributes[name]), 1 + number % 3))
        parameters = {name: values, "limit": 30}
        if number % 4 == 0:
            parameters["exclude"] = draw.sample(ids, 3)
        add("filtered", [q, parameters], get(base, "/search", q=q, **parameters))
    for number in range(60):
        product = draw.choice(ids)
        fields = {"limit": 20}
        if number % 3 == 0:
            fields["color"] = draw.choice(colors)
        add("photo", [product, fields], by_picture(base, product, fields))
    for _ in range(40):
        q, offset = words(), draw.choice([5, 20, 60, 125, 130, 300, 510, 515, 590])
        add("page", [q, offset], get(base, "/search", q=q, limit=20, offset=offset))
    for number in range(40):
        product = draw.choice(ids)
        parameters = {"limit": 15, "offset": 10 * (number % 2)}
        add("similar", [product, parameters], similar(base, product, parameters))
    write(found, out)


def differs(one, other, swaps):
    if (one["kind"], one["asked"]) != (other["kind"], other["asked"]):
        return "not the same question"
    if one.get("error") != other.get("error") or one.get("total") != other.get("total"):
        return f"total {one.get('total')} and {other.get('total')}, error {one.get('error')} and {other.get('error')}"
    first, second = one.get("hits", []), other.get("hits", [])
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} hits"
    for place, ((a, x), (b, y)) in enumerate(zip(first, second), 1):
        if abs(x - y) > TOLERANCE:
            return f"place {place}: scores {x} and {y}"
        if a != b and not swaps:
            return f"place {place}: {a} and {b}"
    return None


def compare(before, after, swaps):
    with open(before) as one, open(after) as other:
        one, other = json.load(one), json.load(other)
    wrong = 0 if len(one) == len(other) else 1
    for a, b in zip(one, other):
        reason = differs(a, b, swaps)
        if reason:
            wrong += 1
            print(f"{a['kind']} {json.dumps(a['asked'], ensure_ascii=False)}: {reason}")
    print(f"{len(one)} and {len(other)} answers, {wrong} differ")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("record", help="ask a service and write its answers down")
    command.add_argument("service", help="such as http://127.0.0.1:8080")
    command.add_argument("--out", required=True)
    command.add_argument("--like", metavar="RECORD", help="ask what this record asked")
    command = commands.add_parser("compare", help="compare two records")
    command.add_argument("before")
    command.add_argument("after")
    command.add_argument("--swaps", action="store_true", help="neighbors of equal score may change places")
    arguments = parser.parse_args()
    if arguments.command == "record":
        service = arguments.service.rstrip("/")
        if arguments.like:
            repeat(service, arguments.like, arguments.out)
        else:
            record(service, arguments.out)
    else:
        sys.exit(compare(arguments.before, arguments.after, arguments.swaps))


if __name__ == "__main__":
    main()
