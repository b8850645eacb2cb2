// The state of the page and its address. The address has q, similar, sort, group_by, typo=false, and the filters as the
// API has them: one parameter per attribute value, filter= for ranges and exclusions. Nothing else in an address is
// read or passed on, because links from elsewhere carry parameters of trackers.

// The path that the service is under: "/", or "/find/" behind a proxy that takes /find away.
export const ROOT = new URL("..", import.meta.url).pathname;

export const EMPTY = { q: "", all: false, similar: "", photo: 0, filters: [], sort: "", group: "", typo: true };

// The API's own parameters: an attribute that has one of these names is only written as filter=name:value.
const PARAMETERS = new Set([
  "q", "similar", "limit", "offset", "filter", "facets", "facet_limit", "facet_query", "facet_ranges", "sort", "group_by",
  "diversify", "explain", "words_weight", "mode", "cut", "typo", "prefix", "exclude", "image",
]);

// ---- filters: { name, not, kind: "value" | "range" | "any", value, from, to }

function filter(name, text, type, not = false) {
  if (text === "*") return { name, not, kind: "any" };
  if ((type === "number" || type === "date") && text.includes("..")) {
    const at = text.indexOf("..");
    return { name, not, kind: "range", from: text.slice(0, at), to: text.slice(at + 2) };
  }
  return { name, not, kind: "value", value: text };
}

export const valueOf = (name, value) => ({ name, not: false, kind: "value", value });
export const rangeOf = (name, from, to) => ({ name, not: false, kind: "range", from, to });
export const anyOf = (name) => ({ name, not: false, kind: "any" });

// One filter as the parameter's name and value.
export function parameter({ name, not, kind, value, from, to }) {
  if (kind === "value" && !not && !PARAMETERS.has(name)) return [name, value];
  const text = { value, range: `${from}..${to}`, any: "*" }[kind];
  return ["filter", `${not ? "-" : ""}${name}:${text}`];
}

export function same(one, other) {
  return parameter(one).join("\n").toLowerCase() === parameter(other).join("\n").toLowerCase();
}

export function has(filters, wanted) {
  return filters.some((one) => same(one, wanted));
}

export function without(filters, unwanted) {
  return filters.filter((one) => !same(one, unwanted));
}

// ---- reading and writing

// `attributes` has what /attributes lists, by name.
export function read(query, attributes) {
  const state = { ...EMPTY, filters: [] };
  const add = (name, text, not) => {
    const attribute = attributes.get(name);
    if (!attribute || !text) return;
    const one = filter(name, text, attribute.type, not);
    if (!has(state.filters, one)) state.filters.push(one);
  };
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === "q") {
      state.q = value.trim();
      state.all = !state.q;
    } else if (name === "similar") state.similar = value;
    else if (name === "sort") state.sort = sortable(value, attributes) ? value : "";
    else if (name === "group_by") state.group = value === "none" || attributes.has(value) ? value : "";
    else if (name === "typo") state.typo = value !== "false";
    else if (name === "filter") {
      const [, minus, attribute, text] = /^(-?)([^:]+):(.*)$/s.exec(value) ?? [];
      add(attribute, text, minus === "-");
    } else if (!PARAMETERS.has(name)) add(name, value, false);
  }
  return state;
}

// price:asc, -created, price:desc,created:desc
function sortable(text, attributes) {
  return text.split(",").every((part) => {
    const [, name] = /^-?([^:]+)(?::(?:asc|desc))?$/.exec(part) ?? [];
    return name === "relevance" || ["number", "date"].includes(attributes.get(name)?.type);
  });
}

export function write(state) {
  const all = new URLSearchParams();
  if (state.q) all.append("q", state.q);
  if (state.q && !state.typo) all.append("typo", "false");
  for (const one of state.filters) all.append(...parameter(one));
  if (state.similar) all.append("similar", state.similar);
  if (state.sort) all.append("sort", state.sort);
  if (state.group) all.append("group_by", state.group);
  // All products, as against the start page.
  if (state.all && !state.q && !state.similar && !state.photo && !state.filters.length) all.append("q", "");
  const text = all.toString();
  return text ? `${ROOT}?${text}` : ROOT;
}

// Whether there is something to show, or else the start page.
export function wants(state) {
  return Boolean(state.q || state.all || state.similar || state.photo || state.filters.length || state.sort);
}

// The attribute of which the results show one product per value. Variants of one style are one hit, unless that style
// was chosen: then all of them are wanted.
export function grouping(state, attributes) {
  const name = state.group || (attributes.has("style") ? "style" : "none");
  const chosen = state.filters.some((one) => one.name === name && one.kind === "value" && !one.not);
  return name === "none" || chosen ? "" : name;
}
