// The search page: what a person does changes the state, the state is written to the address, and render() asks for and
// shows what belongs to it. address.js has the state, request.js the requests, facets.js the filters.

import { ROOT, EMPTY, grouping, parameter, read, valueOf, wants, without, write } from "./address.js";
import { card, plainClick, skeletons } from "./cards.js";
import { $, counted, element, label, money, number, said, sync, wait } from "./dom.js";
import { Filters } from "./facets.js";
import { listenForPhotos, photo } from "./photo.js";
import { ask, curl, keepKey, reason, target } from "./request.js";

const PAGE = 24;
// What the API gives in one answer, and how far it goes.
const MOST = 250;
const LAST = 10000;
const CATEGORIES = 24;
const IDEAS = ["black formal shoes", "white sneakers with red laces", "brown boots", "sandals for women"];
// By what is asked for a product now, on sale or not, where the catalog has that. `same` are other ways to ask for an
// order.
const SORTS = [
  { value: "", text: "Relevance", same: ["relevance"] },
  { value: "current_price:asc", text: "Price, low to high", needs: "current_price", same: ["current_price", "price:asc", "price"] },
  { value: "price:asc", text: "Price, low to high", needs: "price", unless: "current_price", same: ["price"] },
  { value: "current_price:desc", text: "Price, high to low", needs: "current_price", same: ["-current_price", "price:desc", "-price"] },
  { value: "price:desc", text: "Price, high to low", needs: "price", unless: "current_price", same: ["-price"] },
  { value: "-created", text: "Newest", needs: "created", same: ["created:desc"] },
];

let attributes = new Map();
let state = EMPTY;
let shown = { hits: 0, total: 0, best: null, currency: "", running: null };
const titles = new Map();
const filters = new Filters($("facets"), {
  change: (chosen) => go({ filters: chosen, all: true }),
  ask: (more, signal) => ask(request({ limit: 0, more }), signal),
});

// ---- from one state to the next

function go(change) {
  state = { ...state, ...change };
  const address = write(state);
  const again = address === location.pathname + location.search && state.photo === (history.state?.photo ?? 0);
  if (again) history.replaceState({ photo: state.photo }, "", address);
  else {
    remember({ y: scrollY });
    history.pushState({ photo: state.photo }, "", address);
  }
  render();
}

// The history entry holds what the address does not: the photo's number, how many products were shown, and how far the
// page was scrolled.
function remember(more) {
  history.replaceState({ photo: state.photo, ...history.state, ...more }, "");
}

function restore() {
  state = { ...read(location.search, attributes), photo: history.state?.photo ?? 0 };
  render(history.state);
}

const words = (q) => go({ q, similar: "", photo: 0, sort: "", typo: true });

// ---- searching

function request(window) {
  return target(state, attributes, photo(state.photo)?.file, window);
}

async function search({ offset = 0, before = null } = {}) {
  shown.running?.abort();
  if (!offset) filters.abort();
  const running = new AbortController();
  shown.running = running;
  $("error").hidden = true;
  const anything = wants(state);
  $("start").hidden = anything;
  $("shop").hidden = !anything;
  $("request").hidden = !anything;
  if (!anything) {
    clearResults();
    $("results").setAttribute("aria-busy", "false");
    return;
  }
  const limit = offset ? PAGE : Math.min(MOST, Math.max(PAGE, before?.shown ?? 0));
  // More products of the same search leave the counts as they are, so these are asked for once.
  const wanted = request({ limit, offset, more: offset ? [] : filters.fields(state.filters) });
  if (!offset) $("curl").textContent = curl(wanted);
  $("results").setAttribute("aria-busy", "true");
  // The products of the search before stay until the answer is there, so that nothing jumps.
  if (!offset && !$("grid").childElementCount) {
    $("grid").replaceChildren(...skeletons());
    $("nothing").hidden = true;
  }
  try {
    const answer = await ask(wanted, running.signal);
    if (running.signal.aborted) return;
    show(answer, offset, before);
  } catch (error) {
    if (running.signal.aborted) return;
    if (error.code === "unknown_attribute" && !offset && (await renewed())) return;
    if (!offset) clearResults();
    complain(reason(error), () => search({ offset, before }), error.wantsKey);
  } finally {
    if (shown.running === running) $("results").setAttribute("aria-busy", "false");
  }
}

function show(answer, offset, before) {
  const { hits, estimated_total: total } = answer;
  if (!offset) {
    $("grid").replaceChildren();
    const scored = !state.sort && (state.q || state.similar || state.photo);
    shown = { ...shown, hits: 0, best: scored ? Math.max(hits[0]?.score ?? 1, 0.001) : null };
    shown.currency = hits.find(({ product }) => product.currency)?.product.currency ?? shown.currency;
    filters.show(state.filters, answer.facets ?? []);
    renderChips();
    renderCorrection(answer.query.corrected);
  }
  shown.hits += hits.length;
  shown.total = total;
  const group = grouping(state, attributes);
  const ofGroup = (value) => [...state.filters, valueOf(group, value)];
  const cards = hits.map((hit) => card(hit, {
    best: shown.best,
    group,
    similar,
    variants: (value) => go({ filters: ofGroup(value) }),
    address: (value) => write({ ...state, filters: ofGroup(value) }),
  }));
  $("grid").append(...cards);
  $("more").hidden = hits.length === 0 || shown.hits >= total || shown.hits > LAST;
  const found = `${number(shown.hits)} of ${counted(total, "product", "products")}${shown.best === null ? "" : ", best first"}`;
  $("status").textContent = total === 0 ? nothing() : found;
  $("nothing").hidden = total > 0;
  $("nothing-text").textContent = state.filters.length
    ? "Take away a filter above, or all of them."
    : "Try other words, or look through the categories.";
  $("nothing-clear").hidden = state.filters.length === 0;
  $("drawer-show").textContent = total === 0 ? "No products" : `Show ${counted(total, "product", "products")}`;
  $("drawer-status").textContent = counted(total, "product", "products");
  $("about").textContent = `Model ${answer.model.name} · index ${answer.index_version} · ${number(answer.took_ms, 1)} ms`;
  remember({ shown: shown.hits });
  if (offset) {
    // The keyboard goes on where the new results begin.
    const first = cards[0]?.querySelector(".card");
    if (first) first.tabIndex = -1;
    first?.focus({ preventScroll: true });
  } else {
    scrollTo({ top: before?.y ?? 0 });
  }
}

function nothing() {
  if (state.filters.length) return "No product matches these filters.";
  return state.q ? "Nothing was found for these words." : "The catalog has no product yet.";
}

function clearResults() {
  $("grid").replaceChildren();
  $("more").hidden = true;
  $("nothing").hidden = true;
  $("status").textContent = "";
}

function complain(text, again = null, wantsKey = false) {
  $("error-text").textContent = text;
  $("error").hidden = false;
  $("key").hidden = !wantsKey;
  $("retry").hidden = wantsKey;
  if (wantsKey) $("key-text").focus();
  $("key").onsubmit = (event) => {
    event.preventDefault();
    keepKey($("key-text").value);
    $("key-text").value = "";
    $("error").hidden = true;
    again?.();
  };
  $("retry").textContent = again ? "Try again" : "Close";
  $("retry").onclick = () => {
    $("error").hidden = true;
    again?.();
  };
}

function similar({ id, product }) {
  titles.set(id, product.title);
  go({ q: "", photo: 0, sort: "", similar: id });
  scrollTo({ top: 0 });
  $("results").focus({ preventScroll: true });
}

// ---- attributes

async function loadAttributes() {
  const answer = await ask({ path: `${ROOT}attributes` });
  attributes = new Map(answer.attributes.map((one) => [one.name, one]));
  $("about").textContent ||= `Index ${answer.index_version}`;
  filters.use(attributes, attributes.has("style") ? "style" : "");
  renderCategories();
}

// The catalog may have changed since the page was opened. Returns whether an attribute of this search is gone, and if so
// searches without it.
async function renewed() {
  const before = [...attributes.keys()].join("\n");
  try {
    await loadAttributes();
  } catch {
    return false;
  }
  if (before === [...attributes.keys()].join("\n")) return false;
  go({ ...read(write(state), attributes), photo: state.photo });
  return true;
}

function renderCategories() {
  const categories = attributes.get("category");
  const link = (text, count, change) => {
    const to = { ...EMPTY, ...change };
    const made = element("a", { href: write(to) }, text);
    if (count !== null) made.append(" ", element("span", { className: "count", textContent: number(count) }));
    made.addEventListener("click", (event) => { if (plainClick(event)) go(to); });
    return element("li", {}, made);
  };
  const links = (categories?.values ?? []).slice(0, CATEGORIES)
    .map(({ value, count }) => link(value, count, { filters: [valueOf("category", value)] }));
  if (attributes.has("created")) links.push(link("Newest products", null, { sort: "-created" }));
  links.push(link("All products", null, { all: true }));
  $("categories").replaceChildren(...links);
  $("browse").hidden = attributes.size === 0;
}

// ---- what is chosen

function amount(text, name) {
  const value = Number(text);
  if (text === "" || Number.isNaN(value)) return text;
  return name.endsWith("price") ? money(value, shown.currency) : text;
}

// A filter in words: what it is of, and the value.
function described({ name, not, kind, value, from, to }) {
  const of = not ? `Not ${label(name).toLowerCase()}` : label(name);
  const type = attributes.get(name)?.type;
  if (kind === "value") return [of, said(value, type)];
  if (kind === "any") return name === "sale_price" ? ["Price", not ? "not on sale" : "on sale"] : [label(name), not ? "none" : "any"];
  const [low, high] = type === "number" ? [amount(from, name), amount(to, name)] : [from, to];
  if (!to) return [of, `from ${low}`];
  return [of, from ? `${low} – ${high}` : `up to ${high}`];
}

function renderChips() {
  const chips = state.filters.map((one) => {
    const [of, value] = described(one);
    return { key: parameter(one).join("\n"), of, value, remove: () => go({ filters: without(state.filters, one), all: true }) };
  });
  if (state.similar) {
    chips.unshift({ key: "similar", of: "Similar to", value: titles.get(state.similar) ?? state.similar, remove: () => go({ similar: "" }) });
  }
  sync($("chips"), chips, {
    key: (chip) => chip.key,
    make: () => element("li", {}, element("button", { type: "button", className: "chip" },
      element("span"), element("span", { className: "x", textContent: "×" }))),
    update: (item, { of, value, remove }) => {
      const button = item.firstChild;
      button.setAttribute("aria-label", `Remove ${of}: ${value}`);
      button.firstChild.replaceChildren(`${of}: `, element("b", { textContent: value }));
      button.onclick = () => {
        const at = [...$("chips").children].indexOf(item);
        remove();
        // The chip is gone: the next best place is its neighbor, or the results.
        const left = $("chips").querySelectorAll("button");
        (left[Math.min(at, left.length - 1)] ?? $("results")).focus({ preventScroll: true });
      };
    },
  });
  const count = state.filters.length;
  $("chosen").hidden = chips.length === 0;
  $("clear").hidden = count === 0;
  $("drawer-clear").disabled = count === 0;
  $("open-count").hidden = count === 0;
  $("open-count").replaceChildren(String(count), element("span", { className: "unseen", textContent: " chosen" }));
}

function renderCorrection(corrected) {
  const note = $("correction");
  const other = (text, typo) => {
    const link = element("a", { href: write({ ...state, typo }), textContent: text });
    link.addEventListener("click", (event) => { if (plainClick(event)) go({ typo }); });
    return link;
  };
  if (corrected && state.q) {
    const instead = other(`Search for “${state.q}” instead`, false);
    note.replaceChildren("Results for ", element("b", { textContent: corrected }), `, instead of “${state.q}”. `, instead);
  } else if (state.q && !state.typo) {
    note.replaceChildren("Results for the words exactly as typed. ", other("Correct the spelling", true));
  } else {
    note.replaceChildren();
  }
  note.hidden = !note.firstChild;
}

function heading() {
  if (state.q) return `“${state.q}”`;
  if (state.similar) return titles.has(state.similar) ? `Similar to ${titles.get(state.similar)}` : "Similar products";
  if (state.photo) return "Products like your photo";
  const values = state.filters.filter(({ kind, not }) => kind === "value" && !not);
  const categories = values.filter(({ name }) => name === "category");
  return (categories.length ? categories : values).map(({ value }) => value).join(", ") || "All products";
}

function renderHeading() {
  $("heading").textContent = heading();
  document.title = wants(state) ? `${heading()} · Aglet` : "Aglet: product search";
}

function renderSorts() {
  const sorts = SORTS.filter(({ needs, unless }) => (!needs || attributes.has(needs)) && !attributes.has(unless));
  let now = sorts.find(({ value, same }) => value === state.sort || same.includes(state.sort));
  if (!now) sorts.push((now = { value: state.sort, text: "As in the address" }));
  sync($("sort"), sorts, { key: ({ value }) => value, make: ({ value, text }) => new Option(text, value) });
  $("sort").value = now.value;
  $("sort").closest("label").hidden = sorts.length < 2;
}

async function nameSimilar() {
  const id = state.similar;
  if (!id || titles.has(id)) return;
  const answer = await ask({ path: `/products/${encodeURIComponent(id)}` }).catch(() => null);
  if (!answer) return;
  titles.set(id, answer.product.title);
  renderChips();
  renderHeading();
}

// ---- putting it on the page

function render(before = null) {
  // After a reload the history entry still has its number, but the photo is gone.
  if (state.photo && !photo(state.photo)) {
    state.photo = 0;
    remember({ photo: 0 });
  }
  // Words that are being typed stay when something else changes.
  if ($("q").dataset.searched !== state.q || before) $("q").value = state.q;
  $("q").dataset.searched = state.q;
  const picture = photo(state.photo);
  $("photo").hidden = !picture;
  if (picture) {
    $("photo-picture").src = picture.url;
    $("photo-picture").alt = `Your photo ${picture.file.name ?? ""}`.trim();
  }
  $("q").placeholder = picture ? "your photo" : "black formal shoes";
  renderHeading();
  renderSorts();
  renderChips();
  filters.show(state.filters, null);
  nameSimilar();
  search({ before });
}

// In some browsers these keys choose the next value of a closed select, which would be a search at every press on the
// way to the value that is wanted: they open its list instead.
const CHOOSING = ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End", "PageDown", "PageUp"];

function openInstead(event) {
  const select = event.currentTarget;
  if (event.altKey || event.ctrlKey || event.metaKey || !CHOOSING.includes(event.key) || !select.showPicker) return;
  event.preventDefault();
  try {
    select.showPicker();
  } catch {
    // Only a person's key press may open it, and that of a script opens nothing.
  }
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const q = $("q").value.trim();
    if (q) words(q);
    else if (state.q) go({ q: "" });
    // On a phone the keyboard gives way to the results; elsewhere the words stay at hand.
    if (matchMedia("(pointer: coarse)").matches) $("q").blur();
  });
  $("home").addEventListener("click", (event) => {
    if (!plainClick(event)) return;
    go(EMPTY);
    $("q").focus();
  });
  // Not a step in the history, which a link to a part of the page would be.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    (wants(state) ? $("results") : $("q")).focus();
  });
  $("more").addEventListener("click", () => search({ offset: shown.hits }));
  $("sort").addEventListener("change", () => go({ sort: $("sort").value, all: true }));
  $("sort").addEventListener("keydown", openInstead);
  for (const id of ["clear", "nothing-clear", "drawer-clear"]) {
    $(id).addEventListener("click", () => {
      go({ filters: [], all: true });
      $(id === "drawer-clear" ? "drawer-show" : "results").focus({ preventScroll: true });
    });
  }
  $("nothing-home").addEventListener("click", (event) => { if (plainClick(event)) go(EMPTY); });
  $("photo-remove").addEventListener("click", () => {
    go({ photo: 0 });
    $("q").focus();
  });
  $("copy").addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText($("curl").textContent).then(() => true, () => false);
    if (!done) getSelection().selectAllChildren($("curl"));
    $("copy").textContent = done ? "Copied" : "Selected";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1600);
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && !$("drawer").open) {
      event.preventDefault();
      $("q").focus();
      $("q").select();
    } else if (event.key === "Escape" && event.target === $("q")) {
      if ($("q").value) $("q").value = "";
      else $("q").blur();
    }
  });
  listenForPhotos((key) => go({ q: "", similar: "", sort: "", photo: key }), complain);
}

// Where the window is narrow, the filters are in a dialog.
function listenForDrawer() {
  const drawer = $("drawer");
  const narrow = matchMedia("(max-width: 860px)");
  const place = () => {
    if (drawer.open) drawer.close();
    $(narrow.matches ? "drawer-body" : "side").append($("filters"));
  };
  narrow.addEventListener("change", place);
  place();
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("open").addEventListener("click", () => drawer.showModal());
  for (const id of ["drawer-close", "drawer-show"]) $(id).addEventListener("click", () => drawer.close());
  // The ground behind the dialog is the dialog's own, outside its box.
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close();
  });
}

function listenForHistory() {
  history.scrollRestoration = "manual";
  const place = wait(150, () => remember({ y: scrollY }));
  addEventListener("scroll", place, { passive: true });
  addEventListener("popstate", () => {
    place.cancel();
    if ($("drawer").open) $("drawer").close();
    restore();
  });
}

function ideas() {
  $("ideas").append(...IDEAS.map((text) => {
    const link = element("a", { href: write({ ...EMPTY, q: text }), textContent: text });
    link.addEventListener("click", (event) => { if (plainClick(event)) words(text); });
    return element("li", {}, link);
  }));
}

// The attributes come first: they tell which parameters of the address are filters.
async function begin() {
  try {
    await loadAttributes();
  } catch (error) {
    complain(reason(error), begin, error.wantsKey);
    return;
  }
  listenForHistory();
  restore();
}

$("q").value = $("q").dataset.searched = new URLSearchParams(location.search).get("q")?.trim() ?? "";
if ($("q").value) {
  $("shop").hidden = false;
  $("grid").replaceChildren(...skeletons());
}
ideas();
listen();
listenForDrawer();
begin();
