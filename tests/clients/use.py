"""What a shop does with a service, by the generated Python client: python use.py ADDRESS KEY PICTURE"""

import json
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from aglet_client import AuthenticatedClient
from aglet_client.api.products import (
    all_products,
    bulk_products,
    delete_picture,
    delete_product,
    patch_product,
    product,
    product_picture,
    put_picture,
    put_product,
)
from aglet_client.api.search import search
from aglet_client.models import (
    Problem,
    ProductDocument,
    ProductInput,
    ProductInputAttributesType0,
    ProductPatch,
    ProductPatchAttributesType0,
    SearchResponse,
    WriteResponse,
)
from aglet_client.types import File, Response

ID = "py 1/a"

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])


def same(got: object, wanted: object) -> None:
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def refused(answer: Response[Any], status: int) -> Problem:
    problem = answer.parsed
    assert isinstance(problem, Problem), answer
    same((answer.status_code, problem.status), (status, status))
    assert problem.detail
    return problem


def read() -> tuple[ProductDocument, str]:
    """The product and its ETag."""
    answer = product.sync_detailed(ID, client=client)
    assert isinstance(answer.parsed, ProductDocument), answer
    return answer.parsed, answer.headers["etag"]


def on_products() -> None:
    attributes = ProductInputAttributesType0.from_dict(
        {"category": "Boots", "color": ["Black", "Brown"], "season": "Winter"}
    )
    whole = ProductInput(title="Hilltop Walker", price=89.9, currency="EUR", attributes=attributes)
    created = put_product.sync_detailed(ID, client=client, body=whole)
    assert isinstance(created.parsed, WriteResponse), created
    same((created.status_code, created.parsed.status), (201, "created"))

    first, etag = read()
    same(etag, created.headers["etag"])
    same((first.product.price, first.product.attributes["color"]), (89.9, ["Black", "Brown"]))

    # The second writer with the same ETag comes too late.
    patch = ProductPatch(
        price=79.9,
        currency=None,
        attributes=ProductPatchAttributesType0.from_dict({"color": ["Red"], "season": None}),
    )
    patched = patch_product.sync_detailed(ID, client=client, body=patch, if_match=etag)
    assert isinstance(patched.parsed, WriteResponse), patched
    same(patched.parsed.status, "changed")
    late = patch_product.sync_detailed(ID, client=client, body=ProductPatch(price=1.0), if_match=etag)
    problem = refused(late, 412)
    same((problem.code, problem["etag"]), ("precondition_failed", patched.headers["etag"]))

    second, etag = read()
    same(etag, patched.headers["etag"])
    same((second.product.price, second.product.currency), (79.9, None))
    same(second.product.attributes.to_dict(), {"category": ["Boots"], "color": ["Red"]})
    same(product.sync_detailed(ID, client=client, if_none_match=etag).status_code, 304)

    bad = ProductInput(title="Derby", price=-1.0)
    wrong = refused(put_product.sync_detailed(ID, client=client, body=bad), 422)
    same((wrong.code, wrong["field"]), ("invalid_product", "price"))


def lines(answer: File | Problem | None) -> list[dict[str, Any]]:
    assert isinstance(answer, File), answer
    return [json.loads(line) for line in answer.payload]


def on_many_products() -> None:
    body = b"""\
{"id": "py-2", "title": "Harbor Stroller", "price": 49.9}
{"id": "py-3", "title": "Meadow Sandal", "price": "cheap"}
{"op": "patch", "id": "py-2", "price": 39.9}
{"id": "py-4", "title": "Quarry Clog"}
{"op": "delete", "id": "py-4"}
"""
    answer = bulk_products.sync(client=client, body=File(payload=BytesIO(body)), wait="searchable")
    *all_lines, end = lines(answer)
    same(end["searchable"], True)
    same([line["line"] for line in all_lines], [1, 2, 3, 4, 5])
    became = [line.get("status") or line["error"]["code"] for line in all_lines]
    same(became, ["created", "invalid_product", "changed", "created", "deleted"])
    same(all_lines[1]["error"]["field"], "price")

    listed = lines(all_products.sync(client=client))
    same([(line["id"], line["price"]) for line in listed], [(ID, 79.9), ("py-2", 39.9)])


def on_pictures() -> None:
    picture = Path(sys.argv[3]).read_bytes()
    uploaded = put_picture.sync(ID, 1, client=client, body=File(payload=BytesIO(picture)), wait="searchable")
    assert isinstance(uploaded, WriteResponse), uploaded
    same((uploaded.status, uploaded.searchable), ("changed", True))
    until = time.monotonic() + 60
    while (state := read()[0].pictures[0]).embedding.status != "embedded":
        same((state.number, state.embedding.status), (1, "waiting"))
        assert time.monotonic() < until, "the picture is not embedded"
        time.sleep(0.1)
    # The generator knows no images: their bytes are the answer's content.
    same(product_picture.sync_detailed(ID, 1, client=client).content, picture)

    words = File(payload=BytesIO(b"no picture"))
    broken = refused(put_picture.sync_detailed(ID, 2, client=client, body=words), 415)
    same(broken.code, "unsupported_image_format")

    found = search.sync(client=client, q="hilltop walker", color=["Red"], filter_=["price:..80"], limit=5)
    assert isinstance(found, SearchResponse), found
    same((found.hits[0].id, found.hits[0].product.category), (ID, "Boots"))


def on_removal() -> None:
    same(delete_picture.sync_detailed(ID, 1, client=client).status_code, 204)
    same(read()[0].pictures, [])
    deleted = delete_product.sync(ID, client=client, wait="searchable")
    assert isinstance(deleted, WriteResponse), deleted
    same(deleted.status, "deleted")
    same(refused(product.sync_detailed(ID, client=client), 404).code, "product_not_found")
    found = search.sync(client=client, q="hilltop walker")
    assert isinstance(found, SearchResponse), found
    assert ID not in [hit.id for hit in found.hits]


on_products()
on_many_products()
on_pictures()
on_removal()
