// The filters beside the results: a group of check boxes per attribute, a range per number or date. The counts come
// from the answer of the search itself; one group alone is asked for when a person wants more of its values.

import { anyOf, has, rangeOf, same, valueOf, without } from "./address.js";
import { element, label, number, said, sync, wait } from "./dom.js";

const FIRST = ["category", "gender", "color", "size", "current_price", "price", "brand", "shoelace_color"];
const PRICES = ["current_price", "price", "sale_price"];
// Values of a group before "Show all"; a group with only a few more shows them at once.
const FEW = 8;
const FEW_MORE = 2;
// Groups that are open at first, and what the API answers: groups in one request, values by default and at most.
const OPEN = 6;
const GROUPS = 20;
const SOME = 20;
const MOST = 1000;

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const ranged = (type) => type === "number" || type === "date";
// The API has dates as Unix seconds, a date field as 2026-11-29.
const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

export class Filters {
  #root;
  #change;
  #ask;
  #groups = [];
  #chosen = [];
  #answered = false;
  #sent = new Map();

  // `change` takes the filters that a person wants now; `ask` fetches the present search without products, with the
  // given fields more.
  constructor(root, { change, ask }) {
    this.#root = root;
    this.#change = change;
    this.#ask = ask;
  }

  // `hidden` is the attribute that results are grouped by, if any: its values are no choice for people.
  use(attributes, hidden) {
    this.abort();
    const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
    const price = attributes.has("current_price") ? "current_price" : "price";
    const left = new Set([hidden, "created", "sale_price", price === "price" ? "" : "price"]);
    const listed = [...attributes.values()]
      .filter(({ name }) => !left.has(name) && !name.includes(","))
      .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
    this.#groups = listed.map((attribute, index) => this.#group(attribute, index < OPEN, attribute.name === price && attributes.has("sale_price")));
    this.#root.replaceChildren(...this.#groups.map((group) => group.root));
  }

  // What the search asks for besides products.
  fields(chosen) {
    const wanted = (group) => Number(chosen.some(({ name }) => name === group.name)) * 2 + Number(group.root.open);
    const asked = [...this.#groups].sort((a, b) => wanted(b) - wanted(a)).slice(0, GROUPS);
    if (asked.length === 0) return [];
    // A chosen value may be a rare one, whose count the default number of values would leave out.
    const all = (group) => group.distinctEver > SOME && (group.expanded || group.query || wanted(group) >= 2);
    const width = asked.some(all) ? [["facet_limit", String(MOST)]] : [];
    const names = this.#groups.filter((group) => asked.includes(group)).map((group) => group.name);
    this.#sent = new Map(asked.map((group) => [group, group.query]));
    return [["facets", names.join(",")], ...width, ...asked.flatMap((group) => this.#narrowed(group))];
  }

  // Values of a group that is too large to have here are looked for by the service.
  #narrowed(group) {
    return group.query && group.distinctEver > MOST ? [["facet_query", `${group.name}:${group.query}`]] : [];
  }

  // Gives up what is being asked for, because a new search brings other values.
  abort() {
    for (const group of this.#groups) {
      group.later.cancel();
      group.running?.abort();
    }
  }

  // The choice at once, and the counts when there is an answer.
  show(chosen, facets) {
    this.#chosen = chosen;
    this.#answered ||= facets !== null;
    for (const group of this.#groups) {
      if (facets) {
        const found = facets.find(({ name }) => name === group.name);
        if (!found && group.root.open) group.root.open = false;
        this.#take(group, found ?? null, this.#sent.get(group) ?? "");
        // What was typed since the search was sent is looked for now.
        if (found && group.query && !this.#here(group)) group.later();
      }
      this.#render(group);
    }
  }

  // Whether all values that what was typed could find are here.
  #here(group) {
    return group.distinctEver > MOST ? group.got === group.query : group.values?.length >= group.distinct;
  }

  // `query` is what was typed when the values were asked for.
  #take(group, facet, query) {
    const { values = null, distinct = 0, min, max } = facet ?? {};
    Object.assign(group, { got: query, values, distinct, min, max });
  }

  async #load(group) {
    group.running?.abort();
    const running = new AbortController();
    group.running = running;
    const { query } = group;
    try {
      const more = [["facets", group.name], ["facet_limit", String(MOST)], ...this.#narrowed(group)];
      const answer = await this.#ask(more, running.signal);
      if (running.signal.aborted) return;
      this.#take(group, answer.facets[0], query);
      this.#render(group);
    } catch {
      if (!running.signal.aborted) group.note.textContent = "More values could not be loaded.";
    }
  }

  // ---- one group

  #group(attribute, open, sales) {
    const { name, type } = attribute;
    const group = {
      name, type, prices: PRICES.includes(name),
      // How many values the catalog has; then the values that are here, and how many the present search has.
      distinctEver: attribute.distinct ?? 0, values: null, distinct: 0,
      // What a person typed to find a value, and for what the values that are here were asked for.
      expanded: false, query: "", got: "",
      badge: element("span", { className: "badge", hidden: true }),
      body: element("fieldset", {}, element("legend", { className: "unseen", textContent: `Filter by ${label(name).toLowerCase()}` })),
      list: element("ul", { className: "values" }),
      note: element("p", { className: "note" }),
      more: element("button", { type: "button", className: "plain", hidden: true }),
      later: wait(200, () => this.#load(group)),
    };
    group.note.setAttribute("aria-live", "polite");
    const summary = element("summary", {}, label(name), group.badge);
    group.root = element("details", { className: "facet", open, hidden: true }, summary, group.body);
    summary.addEventListener("click", () => {
      if (!group.root.open && group.values === null) this.#load(group);
    });
    if (ranged(type)) this.#addRange(group, sales);
    if (type !== "date" && group.distinctEver > FEW + FEW_MORE) this.#addSearch(group);
    group.body.append(group.list, element("div", { className: "tail" }, group.note, group.more));
    group.more.addEventListener("click", () => {
      group.expanded = !group.expanded;
      if (group.expanded && group.values.length < group.distinct) this.#load(group);
      this.#render(group);
    });
    return group;
  }

  #addSearch(group) {
    const text = `Search ${label(group.name).toLowerCase()}`;
    const field = element("input", { type: "search", className: "find", placeholder: text, autocomplete: "off", spellcheck: false });
    field.setAttribute("aria-label", text);
    field.addEventListener("input", () => {
      // The same height for whatever is found, so that what is below stays where it is while a person types.
      if (!group.query) group.list.style.height = `${Math.max(160, group.list.offsetHeight)}px`;
      group.query = field.value.trim();
      if (!group.query) group.list.style.height = "";
      if (!this.#here(group)) group.later();
      this.#render(group);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !field.value) return;
      // Only the field is cleared; without this the dialog around it would close.
      event.preventDefault();
      field.value = "";
      field.dispatchEvent(new Event("input"));
    });
    group.find = field;
    group.body.append(field);
  }

  #addRange(group, sales) {
    const field = (text) => {
      const input = element("input", group.type === "number" ? { type: "number", step: "any", inputMode: "decimal" } : { type: "date" });
      input.setAttribute("aria-label", `${label(group.name)} ${text}`);
      input.addEventListener("change", () => this.#setRange(group));
      return input;
    };
    group.from = field("from");
    group.to = field("to");
    group.body.append(element("div", { className: "range" }, group.from, element("span", { textContent: "to" }), group.to));
    if (!sales) return;
    group.sale = element("input", { type: "checkbox" });
    group.sale.addEventListener("change", () => this.#toggle(anyOf("sale_price")));
    group.body.append(element("label", { className: "choice" }, group.sale, element("span", { className: "value", textContent: "On sale" })));
  }

  #setRange(group) {
    if (group.from.validity.badInput || group.to.validity.badInput) return;
    let [from, to] = [group.from.value, group.to.value];
    const backward = group.type === "number" ? Number(from) > Number(to) : from > to;
    if (from && to && backward) [from, to] = [to, from];
    const others = this.#chosen.filter((one) => !this.#ofGroup(group, one) || one.kind !== "range" || one.not);
    this.#change(from || to ? [...others, rangeOf(group.name, from, to)] : others);
  }

  // Filters by the price in any of its forms are shown with the price.
  #ofGroup(group, { name }) {
    return name === group.name || (group.prices && PRICES.includes(name));
  }

  #toggle(one) {
    this.#change(has(this.#chosen, one) ? without(this.#chosen, one) : [...this.#chosen, one]);
  }

  #render(group) {
    const chosen = this.#chosen.filter((one) => this.#ofGroup(group, one));
    const count = chosen.length;
    group.badge.hidden = count === 0;
    group.badge.replaceChildren(String(count), element("span", { className: "unseen", textContent: " chosen" }));
    if (group.from) this.#renderRange(group, chosen);
    this.#renderValues(group, chosen.filter((one) => one.name === group.name && one.kind === "value" && !one.not));
    // A group with nothing to choose from is left out; one that was not asked for may have something.
    const asked = group.values !== null;
    const choice = asked ? group.values.length > 0 || group.min != null : this.#answered;
    const only = !ranged(group.type) && group.distinctEver === 1;
    const used = count > 0 || group.query || group.root.contains(document.activeElement);
    group.root.hidden = !used && (!choice || only);
  }

  #renderRange(group, chosen) {
    const range = chosen.find((one) => one.kind === "range" && !one.not);
    for (const [input, end, bound] of [[group.from, "from", group.min], [group.to, "to", group.max]]) {
      if (group.type === "number") input.placeholder = bound == null ? "" : String(end === "from" ? Math.floor(bound) : Math.ceil(bound));
      else if (bound != null) Object.assign(input, { min: day(group.min), max: day(group.max) });
      const text = (range?.[end] ?? "").slice(0, group.type === "date" ? 10 : undefined);
      // What is being typed stays when an answer comes.
      if (input.dataset.chosen !== text) input.value = text;
      input.dataset.chosen = text;
    }
    if (group.sale) group.sale.checked = has(this.#chosen, anyOf("sale_price"));
  }

  #renderValues(group, chosen) {
    // Dates are chosen by their range alone.
    const all = (group.type !== "date" && group.values) || [];
    const complete = all.length >= group.distinct;
    let shown = all;
    // Values that the service looked for are shown as they came; the others are looked for here.
    const looked = group.distinctEver > MOST && group.got === group.query;
    if (group.query && !looked) shown = all.filter(({ value }) => begins(said(value, group.type), group.query));
    else if (!group.query && !group.expanded && all.length > FEW + FEW_MORE) shown = all.slice(0, FEW);
    const alike = (value) => (one) => one.value.toLowerCase() === value.toLowerCase();
    const missing = (value) => !shown.some(alike(value));
    const known = (value) => all.find(alike(value)) ?? { value, count: complete ? 0 : null };
    // What is chosen is always there, and a box that was just cleared stays while it has the focus.
    const focused = document.activeElement;
    const kept = (group.query ? [] : chosen.filter(({ value }) => missing(value))).map(({ value }) => known(value));
    const here = focused?.type === "checkbox" && group.list.contains(focused) && missing(focused.value);
    if (here && !kept.some(alike(focused.value))) kept.push(known(focused.value));
    // A long list is scrolled: its end is out of sight.
    shown = group.expanded ? [...kept, ...shown] : [...shown, ...kept];
    if (group.type === "number") shown = [...shown].sort((a, b) => Number(a.value) - Number(b.value));
    sync(group.list, shown, {
      key: ({ value }) => value.toLowerCase(),
      make: ({ value }) => this.#choice(group, value),
      update: (row, { value, count }) => {
        row.querySelector("input").checked = chosen.some((one) => same(one, valueOf(group.name, value)));
        row.querySelector(".count").textContent = count === null ? "" : number(count);
        row.classList.toggle("zero", count === 0);
      },
    });
    const long = group.expanded || Boolean(group.query);
    group.list.classList.toggle("long", long && group.distinctEver > FEW + FEW_MORE);
    group.list.parentNode.classList.toggle("searching", Boolean(group.query));
    // A field to search among a handful of values is in the way.
    if (group.find) group.find.hidden = !group.query && group.distinct <= FEW + FEW_MORE && group.find !== document.activeElement;
    group.more.hidden = Boolean(group.query) || group.type === "date" || group.distinct <= FEW + FEW_MORE;
    group.more.setAttribute("aria-expanded", String(group.expanded));
    group.more.textContent = group.expanded ? "Show fewer" : group.distinct > MOST ? "Show more" : `Show all ${number(group.distinct)}`;
    if (group.query && shown.length === 0 && this.#here(group)) group.note.textContent = "Nothing here begins with that.";
    else if (group.expanded && !group.query && all.length >= MOST && !complete) {
      group.note.textContent = `The ${number(MOST)} most frequent. Search for others.`;
    } else group.note.textContent = "";
  }

  #choice(group, value) {
    const box = element("input", { type: "checkbox", value });
    box.addEventListener("change", () => this.#toggle(valueOf(group.name, value)));
    const words = element("span", { className: "value", textContent: said(value, group.type) });
    return element("li", {}, element("label", { className: "choice" }, box, words, " ", element("span", { className: "count" })));
  }
}

// Whether a word of the value begins with what was typed; the service looks for values in the same way.
function begins(value, typed) {
  const text = plain(value);
  const wanted = plain(typed);
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1])) return true;
  }
  return false;
}
