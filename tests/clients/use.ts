// What a shop does with a service, by the generated TypeScript client: node use.js ADDRESS KEY PICTURE

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { client } from './client/client.gen';
import {
  allProducts,
  bulkProducts,
  deletePicture,
  deleteProduct,
  patchProduct,
  product,
  productPicture,
  putPicture,
  putProduct,
  search,
} from './client/sdk.gen';
import type { BulkEnd, BulkStatus, Problem, ProductInput } from './client/types.gen';

const id = 'ts 1/a';
const path = { id };

function lines<Line>(blob: Blob | File | undefined): Promise<Line[]> {
  assert(blob);
  return blob.text().then((text) => text.trimEnd().split('\n').map((line) => JSON.parse(line) as Line));
}

function etagOf(answer: { response: Response }): string {
  const etag = answer.response.headers.get('etag');
  assert(etag);
  return etag;
}

function refused(answer: { error?: Problem | undefined; response: Response }, status: number): Problem {
  assert(answer.error);
  assert.equal(answer.response.status, status);
  assert.equal(answer.error.status, status);
  assert(answer.error.detail.length > 0);
  return answer.error;
}

async function onProducts(): Promise<void> {
  const created = await putProduct({
    path,
    body: {
      title: 'Hilltop Walker',
      price: 89.9,
      currency: 'EUR',
      attributes: { category: 'Boots', color: ['Black', 'Brown'], season: 'Winter' },
    },
  });
  assert.equal(created.response.status, 201);
  assert.equal(created.data?.status, 'created');

  const first = await product({ path });
  assert.equal(etagOf(first), etagOf(created));
  assert.equal(first.data?.product.price, 89.9);
  assert.deepEqual(first.data?.product.attributes.color, ['Black', 'Brown']);

  // The second writer with the same ETag comes too late.
  const patch = { price: 79.9, currency: null, attributes: { color: ['Red'], season: null } };
  const headers = { 'If-Match': etagOf(first) };
  const patched = await patchProduct({ path, headers, body: patch });
  assert.equal(patched.data?.status, 'changed');
  const late = await patchProduct({ path, headers, body: { price: 1 } });
  const problem = refused(late, 412);
  assert.equal(problem.code, 'precondition_failed');
  assert.equal(problem.etag, etagOf(patched));

  const second = await product({ path });
  assert.equal(etagOf(second), etagOf(patched));
  assert.equal(second.data?.product.price, 79.9);
  assert.equal(second.data?.product.currency, null);
  assert.deepEqual(second.data?.product.attributes, { category: ['Boots'], color: ['Red'] });
  const same = await product({ path, headers: { 'If-None-Match': etagOf(second) } });
  assert.equal(same.response.status, 304);

  const wrong = refused(await putProduct({ path, body: { title: 'Derby', price: -1 } }), 422);
  assert.equal(wrong.code, 'invalid_product');
  assert.equal(wrong.field, 'price');
}

async function onManyProducts(): Promise<void> {
  const body = new Blob([
    '{"id": "ts-2", "title": "Harbor Stroller", "price": 49.9}\n',
    '{"id": "ts-3", "title": "Meadow Sandal", "price": "cheap"}\n',
    '{"op": "patch", "id": "ts-2", "price": 39.9}\n',
    '{"id": "ts-4", "title": "Quarry Clog"}\n',
    '{"op": "delete", "id": "ts-4"}\n',
  ]);
  // The client has no serializer for lines of JSON: without null it would send the blob as JSON.
  const answer = await bulkProducts({ body, bodySerializer: null, query: { wait: 'searchable' } });
  const all = await lines<BulkStatus & BulkEnd>(answer.data);
  const end = all.pop();
  assert.equal(end?.searchable, true);
  assert.deepEqual(all.map((line) => line.line), [1, 2, 3, 4, 5]);
  const became = all.map((line) => line.status ?? line.error?.code);
  assert.deepEqual(became, ['created', 'invalid_product', 'changed', 'created', 'deleted']);
  assert.equal(all[1]?.error?.field, 'price');

  const listed = await lines<ProductInput>((await allProducts()).data);
  assert.deepEqual(listed.map((line) => [line.id, line.price]), [[id, 79.9], ['ts-2', 39.9]]);
}

async function onPictures(): Promise<void> {
  const file = new Blob([readFileSync(process.argv[4] ?? '')]);
  const picture = { id, number: 1 };
  const uploaded = await putPicture({ path: picture, body: file, query: { wait: 'searchable' } });
  assert.equal(uploaded.data?.status, 'changed');
  assert.equal(uploaded.data?.searchable, true);
  for (let tries = 0; ; tries += 1) {
    const state = (await product({ path })).data?.pictures[0];
    assert.equal(state?.number, 1);
    if (state?.embedding.status === 'embedded') break;
    assert.equal(state?.embedding.status, 'waiting');
    assert(tries < 600, 'the picture is not embedded');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const shown = await productPicture({ path: picture });
  assert(shown.data);
  assert.deepEqual(await shown.data.arrayBuffer(), await file.arrayBuffer());

  const words = new Blob(['no picture']);
  const broken = await putPicture({ path: { id, number: 2 }, body: words });
  assert.equal(refused(broken, 415).code, 'unsupported_image_format');

  const found = await search({ query: { q: 'hilltop walker', color: ['Red'], filter: ['price:..80'], limit: 5 } });
  const [hit] = found.data?.hits ?? [];
  assert.equal(hit?.id, id);
  assert.equal(hit?.product.category, 'Boots');
}

async function onRemoval(): Promise<void> {
  const picture = await deletePicture({ path: { id, number: 1 } });
  assert.equal(picture.response.status, 204);
  assert.deepEqual((await product({ path })).data?.pictures, []);
  const deleted = await deleteProduct({ path, query: { wait: 'searchable' } });
  assert(deleted.data);
  assert.equal(deleted.data.status, 'deleted');
  assert.equal(refused(await product({ path }), 404).code, 'product_not_found');
  const found = await search({ query: { q: 'hilltop walker' } });
  assert(!found.data?.hits.some((hit) => hit.id === id));
}

async function main(): Promise<void> {
  client.setConfig({ baseUrl: process.argv[2] ?? '', auth: process.argv[3] ?? '' });
  await onProducts();
  await onManyProducts();
  await onPictures();
  await onRemoval();
}

void main();
