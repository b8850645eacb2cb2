// The search page. The URL is the state: q, similar, and one parameter per attribute, as the API has them. A photo
// cannot be in a URL; it is kept in memory under a number that the history entry holds.

const $ = (id) => document.getElementById(id);
const PAGE = 24;
const UPLOAD_LIMIT = 9 * 1024 * 1024;
const FIRST = ["category", "color", "gender", "shoelace_color"];
const IDEAS = ["black formal shoes", "white sneakers with red laces", "brown boots", "sandals for women"];

const photos = new Map();
let facets = [];
let state = { q: "", similar: "", photo: 0, filters: [] };
let shown = { hits: 0, total: 0, best: 1, running: null };

// ---- state and URL

function fromLocation() {
  const read = { q: "", similar: "", photo: history.state?.photo ?? 0, filters: [] };
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (name === "q") read.q = value;
    else if (name === "similar") read.similar = value;
    else if (name !== "limit" && name !== "offset" && value) read.filters.push([name, value]);
  }
  return read;
}

function parameters(withWords) {
  const all = new URLSearchParams();
  if (withWords && state.q) all.append("q", state.q);
  for (const [name, value] of state.filters) all.append(name, value);
  return all;
}

function pageUrl() {
  const all = parameters(true);
  if (state.similar) all.append("similar", state.similar);
  const text = all.toString();
  return text ? `/?${text}` : "/";
}

function go(change, { replace = false } = {}) {
  state = { ...state, ...change };
  history[replace ? "replaceState" : "pushState"]({ photo: state.photo }, "", pageUrl());
  render();
}

// ---- the request behind the state

function target(offset) {
  if (state.photo) return { path: "/search/image", photo: photos.get(state.photo), offset };
  const window = { limit: String(PAGE), ...(offset ? { offset: String(offset) } : {}) };
  const path = state.similar ? `/products/${encodeURIComponent(state.similar)}/similar` : "/search";
  const all = parameters(!state.similar);
  for (const [name, value] of Object.entries(window)) all.append(name, value);
  return { path: `${path}?${all}` };
}

async function ask({ path, photo, offset }, signal) {
  const request = { signal, headers: { accept: "application/json" } };
  if (photo) {
    const form = new FormData();
    form.append("image", photo.file, photo.file.name || "photo");
    for (const [name, value] of state.filters) form.append(name, value);
    form.append("limit", String(PAGE));
    if (offset) form.append("offset", String(offset));
    request.method = "POST";
    request.body = form;
  }
  const response = await fetch(path, request);
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Error(explain(response.status, body));
}

function explain(status, problem) {
  switch (problem?.code) {
    case "unsupported_image_format": return "This file is no picture that can be read. JPEG, PNG, WebP, GIF and BMP can.";
    case "broken_image": return "This picture is broken and cannot be read.";
    case "image_too_large": return "This picture has too many pixels.";
    case "body_too_large": return "This file is too large.";
    case "product_not_found": return "This product does not exist any more.";
    case "overloaded": return "Many people are searching right now. Please try again in a moment.";
    case "not_ready": return "The catalog is still being prepared. Please try again in a moment.";
    default: return problem?.detail ?? `The service answered with status ${status}.`;
  }
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl() {
  const { path, photo } = target(0);
  if (!photo) return `curl ${quoted(location.origin + path)}`;
  const parts = [`curl ${quoted(location.origin + path)}`, `-F ${quoted(`image=@${photo.file.name || "photo.jpg"}`)}`];
  for (const [name, value] of state.filters) parts.push(`--form-string ${quoted(`${name}=${value}`)}`);
  parts.push(`-F limit=${PAGE}`);
  return parts.join(" ");
}

// ---- searching

async function search(offset = 0) {
  shown.running?.abort();
  const running = new AbortController();
  shown.running = running;
  const anything = state.q || state.similar || state.photo;
  $("error").hidden = true;
  $("start").hidden = Boolean(anything);
  $("request").hidden = !anything;
  if (!anything) {
    $("grid").replaceChildren();
    $("more").hidden = true;
    $("status").textContent = "";
    $("results").setAttribute("aria-busy", "false");
    return;
  }
  $("curl").textContent = curl();
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = offset ? "Loading more…" : "Searching…";
  if (!offset) skeletons();
  try {
    const answer = await ask(target(offset), running.signal);
    if (running.signal.aborted) return;
    show(answer, offset);
  } catch (error) {
    if (running.signal.aborted) return;
    if (!offset) $("grid").replaceChildren();
    $("more").hidden = !offset;
    $("status").textContent = "";
    $("error-text").textContent = error instanceof TypeError ? "The service cannot be reached." : error.message;
    $("error").hidden = false;
    $("retry").onclick = () => search(offset);
  } finally {
    if (shown.running === running) $("results").setAttribute("aria-busy", "false");
  }
}

function show(answer, offset) {
  const hits = answer.hits;
  if (!offset) {
    $("grid").replaceChildren();
    shown = { ...shown, hits: 0, best: Math.max(hits[0]?.score ?? 1, 0.001) };
  }
  shown.hits += hits.length;
  shown.total = answer.estimated_total;
  const cards = hits.map(card);
  $("grid").append(...cards);
  const more = hits.length > 0 && shown.hits < shown.total && offset + PAGE <= 10000;
  $("more").hidden = !more;
  const nothing = state.filters.length
    ? "No product matches these filters. Remove one to see more."
    : (answer.query.q ? "Nothing was found for these words." : "The catalog has no product yet.");
  $("status").textContent = shown.total === 0 ? nothing : `${answer.query.corrected ? `Results for “${answer.query.corrected}”: ` : ""}${shown.hits.toLocaleString("en")} of ${shown.total.toLocaleString("en")} products, best first · ${answer.took_ms.toFixed(1)} ms`;
  $("about").textContent = `Model ${answer.model.name} · index ${answer.index_version}`;
  // After "Show more" the keyboard goes on where the new results begin.
  if (offset && cards[0]) {
    const first = cards[0].querySelector(".card");
    first.tabIndex = -1;
    first.focus({ preventScroll: true });
  }
}

function skeletons() {
  const one = () => {
    const item = document.createElement("li");
    item.setAttribute("aria-hidden", "true");
    item.innerHTML = '<div class="card skeleton"><div class="picture"></div><div class="text"><div class="line"></div><div class="line short"></div></div></div>';
    return item;
  };
  $("grid").replaceChildren(...Array.from({ length: 8 }, one));
}

function card(hit) {
  const { product } = hit;
  const item = $("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => item.querySelector(selector);
  const heading = part("h2");
  heading.textContent = product.title;
  heading.title = product.title;
  const image = part("img");
  if (product.image_url) {
    image.src = product.image_url;
    image.alt = product.title;
    image.addEventListener("error", () => image.remove());
  } else {
    image.remove();
  }
  part(".meter span").style.width = `${Math.round(100 * Math.min(1, Math.max(0, hit.score / shown.best)))}%`;
  part(".number").textContent = hit.score.toFixed(3);
  part(".score").title = "Cosine similarity; the bar is relative to the best hit";
  part(".number").setAttribute("aria-label", `score ${hit.score.toFixed(3)}`);
  part(".attributes").append(...tags(product));
  part(".price").textContent = product.price == null ? "" : product.price.toLocaleString("en", { maximumFractionDigits: 2 });
  const shop = part(".shop");
  if (product.url && /^https?:\/\//i.test(product.url)) {
    shop.href = product.url;
    shop.setAttribute("aria-label", `View ${product.title} in the shop`);
  } else {
    shop.remove();
  }
  const similar = part(".similar");
  similar.setAttribute("aria-label", `Similar to ${product.title}`);
  similar.addEventListener("click", () => {
    titles.set(hit.id, product.title);
    go({ q: "", photo: 0, similar: hit.id });
    scrollTo({ top: 0 });
    $("results").focus({ preventScroll: true });
  });
  return item;
}

function tags(product) {
  const laces = product.shoelace_color && product.shoelace_color !== "none" ? `${product.shoelace_color} laces` : null;
  return [product.category, product.color, laces, product.gender].filter(Boolean).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
}

// ---- filters

function label(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

async function loadFacets() {
  try {
    const response = await fetch("/attributes");
    if (!response.ok) return;
    const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
    const answer = await response.json();
    facets = answer.attributes.sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
    $("about").textContent ||= `Index ${answer.index_version}`;
    renderFilters();
  } catch {
    // Searching works without filters; the search itself will tell what is wrong.
  }
}

function chosen(name, value) {
  return state.filters.some(([n, v]) => n === name && v.toLowerCase() === value.toLowerCase());
}

function renderFilters() {
  const focused = document.activeElement?.dataset?.attribute;
  $("filters").hidden = facets.length === 0 && state.filters.length === 0 && !state.similar;
  $("pickers").replaceChildren(...facets.map((facet) => {
    const select = document.createElement("select");
    select.dataset.attribute = facet.name;
    select.setAttribute("aria-label", `Filter by ${label(facet.name).toLowerCase()}`);
    select.append(new Option(label(facet.name), ""));
    for (const { value, count } of facet.values) {
      if (!chosen(facet.name, value)) select.append(new Option(`${value} (${count.toLocaleString("en")})`, value));
    }
    select.addEventListener("change", () => {
      if (select.value) go({ filters: [...state.filters, [facet.name, select.value]] });
    });
    select.addEventListener("keydown", openInstead);
    return select;
  }));
  if (focused) $("pickers").querySelector(`[data-attribute="${CSS.escape(focused)}"]`)?.focus();
  const chips = state.filters.map(([name, value], index) =>
    chip(label(name), value, () => go({ filters: state.filters.filter((_, at) => at !== index) })));
  if (state.similar) {
    chips.unshift(chip("Similar to", titles.get(state.similar) ?? state.similar, () => go({ similar: "" })));
  }
  $("chips").replaceChildren(...chips);
}

// In some browsers these keys choose the next value of a closed select, which would be a filter at every press on the
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

function chip(name, value, remove) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chip";
  button.setAttribute("aria-label", `Remove ${name}: ${value}`);
  const bold = document.createElement("b");
  bold.textContent = value;
  const text = document.createElement("span");
  text.append(`${name}: `, bold);
  const cross = document.createElement("span");
  cross.className = "x";
  cross.textContent = "×";
  button.append(text, cross);
  button.addEventListener("click", () => {
    remove();
    // The chip is gone: the next best place is another chip, or the field.
    ($("chips").querySelector("button") ?? $("q")).focus();
  });
  item.append(button);
  return item;
}

const titles = new Map();

async function nameSimilar() {
  const id = state.similar;
  if (!id || titles.has(id)) return;
  const response = await fetch(`/products/${encodeURIComponent(id)}`).catch(() => null);
  if (!response?.ok) return;
  titles.set(id, (await response.json()).product.title);
  renderFilters();
}

// ---- photos

async function usePhoto(file) {
  if (!file) return;
  if (file.type && !file.type.startsWith("image/")) {
    return complain("This file is no picture. JPEG, PNG, WebP, GIF and BMP can be searched with.");
  }
  const ready = await shrink(file);
  const key = photos.size + 1;
  photos.set(key, { file: ready, url: URL.createObjectURL(ready) });
  go({ q: "", similar: "", photo: key });
}

// A photo above the upload limit is made smaller here, where it costs nobody a transfer.
async function shrink(file) {
  if (file.size <= UPLOAD_LIMIT) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return blob ? new File([blob], "photo.jpg", { type: "image/jpeg" }) : file;
  } catch {
    return file;
  }
}

function complain(text) {
  $("error-text").textContent = text;
  $("error").hidden = false;
  $("retry").onclick = () => { $("error").hidden = true; };
}

// ---- putting it on the page

function render() {
  // After a reload the history entry still has its number, but the photo is gone.
  if (state.photo && !photos.has(state.photo)) {
    state.photo = 0;
    history.replaceState({ photo: 0 }, "", pageUrl());
  }
  $("q").value = state.q;
  const photo = photos.get(state.photo);
  $("photo").hidden = !photo;
  if (photo) {
    $("photo-picture").src = photo.url;
    $("photo-picture").alt = `Your photo ${photo.file.name ?? ""}`.trim();
  }
  $("q").placeholder = photo ? "your photo" : "black formal shoes";
  const subject = state.q || (state.similar && "similar products") || (photo && "by photo");
  document.title = subject ? `${subject} · Aglet` : "Aglet: product search";
  renderFilters();
  nameSimilar();
  search();
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const q = $("q").value.trim();
    if (q) go({ q, similar: "", photo: 0 });
    else if (state.q) go({ q: "" });
    // On a phone the keyboard gives way to the results; elsewhere the words stay at hand.
    if (matchMedia("(pointer: coarse)").matches) $("q").blur();
  });
  $("home").addEventListener("click", (event) => {
    event.preventDefault();
    go({ q: "", similar: "", photo: 0, filters: [] });
    $("q").focus();
  });
  $("more").addEventListener("click", () => search(shown.hits));
  $("photo-remove").addEventListener("click", () => {
    go({ photo: 0 });
    $("q").focus();
  });
  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", (event) => {
      usePhoto(event.target.files[0]);
      event.target.value = "";
    });
  }
  $("copy").addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText($("curl").textContent).then(() => true, () => false);
    if (!done) getSelection().selectAllChildren($("curl"));
    $("copy").textContent = done ? "Copied" : "Selected";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1600);
  });
  addEventListener("popstate", () => {
    state = fromLocation();
    render();
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("q").focus();
      $("q").select();
    } else if (event.key === "Escape" && event.target === $("q")) {
      if ($("q").value) $("q").value = "";
      else $("q").blur();
    }
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      usePhoto(file);
    }
  });
  let depth = 0;
  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => {
    if (carriesFile(event) && ++depth === 1) document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (carriesFile(event) && --depth <= 0) {
      depth = 0;
      document.body.classList.remove("dragging");
    }
  });
  addEventListener("dragover", (event) => { if (carriesFile(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("dragging");
    usePhoto(event.dataTransfer.files[0]);
  });
}

function ideas() {
  $("ideas").append(...IDEAS.map((text) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `/?q=${encodeURIComponent(text)}`;
    link.textContent = text;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go({ q: text, similar: "", photo: 0 });
    });
    item.append(link);
    return item;
  }));
}

ideas();
listen();
loadFacets();
state = fromLocation();
render();
