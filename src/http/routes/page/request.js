// The request behind a state of the page: to /search, /search/image or /products/{id}/similar.

import { ROOT, grouping, parameter } from "./address.js";

// The request's fields, for a query string or a form: both have the same.
function fields(state, attributes, { limit, offset = 0, more = [] }) {
  const all = [];
  if (state.q && !state.similar && !state.photo) {
    all.push(["q", state.q]);
    if (!state.typo) all.push(["typo", "false"]);
  }
  all.push(...state.filters.map(parameter), ["limit", String(limit)]);
  if (offset) all.push(["offset", String(offset)]);
  if (state.sort) all.push(["sort", state.sort]);
  const group = grouping(state, attributes);
  if (group) all.push(["group_by", group]);
  return [...all, ...more];
}

// `photo` is the File that is searched with, if any; `window` the limit, the offset, and more fields.
export function target(state, attributes, photo, window) {
  const all = fields(state, attributes, window);
  if (photo) return { path: `${ROOT}search/image`, photo, fields: all };
  const path = ROOT + (state.similar ? `products/${encodeURIComponent(state.similar)}/similar` : "search");
  return { path: `${path}?${new URLSearchParams(all)}` };
}

// A key is kept as long as the tab is open.
const KEY = "aglet-key";
const key = () => sessionStorage.getItem(KEY);
// Nothing else can stand in a header.
export const keepKey = (text) => sessionStorage.setItem(KEY, text.replaceAll(/[^!-~]/g, ""));

export class Refused extends Error {
  constructor(status, problem) {
    super(explain(status, problem));
    this.code = problem?.code;
    this.wantsKey = status === 401 || this.code === "key_forbidden";
  }
}

export async function ask({ path, photo, fields: all }, signal) {
  const request = { signal, headers: { accept: "application/json" } };
  if (key()) request.headers.authorization = `Bearer ${key()}`;
  if (photo) {
    const form = new FormData();
    form.append("image", photo, photo.name || "photo");
    for (const [name, value] of all) form.append(name, value);
    request.method = "POST";
    request.body = form;
  }
  const response = await fetch(path, request);
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Refused(response.status, body);
}

function explain(status, problem) {
  switch (problem?.code) {
    case "unsupported_image_format": return "This file is not a picture that can be read. JPEG, PNG, WebP, GIF and BMP can.";
    case "broken_image": return "This picture is broken and cannot be read.";
    case "image_too_large": return "This picture has too many pixels.";
    case "body_too_large": return "This file is too large.";
    case "product_not_found": return "This product does not exist any more.";
    case "overloaded": return "Many people are searching right now. Please try again in a moment.";
    case "key_missing": return "This service asks for a key.";
    case "rate_limited": return "Too many searches at once. Please try again in a moment.";
    case "not_ready": return "The catalog is still being prepared. Please try again in a moment.";
    default: return problem?.detail ?? `The service answered with status ${status}.`;
  }
}

// What to say of anything that `ask` throws: fetch throws TypeError when there is no connection.
export function reason(error) {
  return error instanceof TypeError ? "The service cannot be reached." : error.message;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function curl({ path, photo, fields: all }) {
  const parts = [`curl ${quoted(location.origin + path)}`];
  if (key()) parts.push('-H "Authorization: Bearer $AGLET_API_KEY"');
  if (photo) parts.push(`-F ${quoted(`image=@${photo.name || "photo.jpg"}`)}`);
  for (const [name, value] of all ?? []) parts.push(`--form-string ${quoted(`${name}=${value}`)}`);
  return parts.join(" ");
}
