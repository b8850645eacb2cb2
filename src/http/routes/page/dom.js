// Small help with the DOM, and texts that several files need.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const kept = new WeakMap();

// Brings a list to the wanted items. Elements of items that stay are kept, so that the focus and the scroll position
// stay too. `make` makes an item's element, `update` writes into it what may have changed.
export function sync(list, items, { key, make, update = () => {} }) {
  const before = kept.get(list) ?? new Map();
  const focused = document.activeElement;
  const after = new Map();
  for (const item of items) {
    const id = key(item);
    const node = before.get(id) ?? make(item);
    update(node, item);
    after.set(id, node);
  }
  for (const [id, node] of before) {
    if (!after.has(id)) node.remove();
  }
  let place = list.firstChild;
  for (const node of after.values()) {
    if (node === place) place = place.nextSibling;
    else list.insertBefore(node, place);
  }
  kept.set(list, after);
  // An element that is moved loses the focus.
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
}

// An attribute's name as people read it. What is asked for a product now, on sale or not, is its price to them.
export function label(name) {
  if (name === "current_price") return "Price";
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

// A value as people read it: booleans are yes and no.
export function said(value, type) {
  return type === "boolean" ? ({ true: "Yes", yes: "Yes", false: "No", no: "No" }[value.toLowerCase()] ?? value) : value;
}

export function number(value, digits = 2) {
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}

export function counted(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function money(amount, currency) {
  if (currency) {
    try {
      return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);
    } catch {
      // Not a currency code: the number alone.
    }
  }
  return number(amount);
}

export function wait(milliseconds, act) {
  let timer = 0;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
