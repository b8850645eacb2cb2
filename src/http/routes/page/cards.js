// The results' cards.

import { ROOT } from "./address.js";
import { $, counted, element, money } from "./dom.js";

// `best` is the best hit's score, null where scores say nothing. `similar` and `variants` act on a hit; `address` gives
// the address of all products of a hit's group.
export function card(hit, { best, group, similar, variants, address }) {
  const { product } = hit;
  const item = $("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => item.querySelector(selector);
  const heading = part("h2");
  heading.title = product.title;
  if (product.url && /^https?:\/\//i.test(product.url)) {
    heading.append(element("a", { href: product.url, target: "_blank", rel: "noopener noreferrer", textContent: product.title }));
  } else {
    heading.textContent = product.title;
  }
  const image = part("img");
  if (product.image_url) {
    // Relative while the service does not know where clients reach it.
    image.src = product.image_url.replace(/^\/(?!\/)/, ROOT);
    image.alt = "";
    image.addEventListener("error", () => image.remove());
  } else {
    image.remove();
  }
  if (best === null) {
    part(".score").remove();
  } else {
    part(".meter span").style.width = `${Math.round(100 * Math.min(1, Math.max(0, hit.score / best)))}%`;
    part(".number").textContent = hit.score.toFixed(3);
    part(".score").title = "How well the product fits; the bar is relative to the best hit";
    part(".number").setAttribute("aria-label", `score ${hit.score.toFixed(3)}`);
  }
  part(".attributes").append(...tags(product));
  part(".price").append(...price(product));
  const more = part(".variants");
  if (hit.group?.products > 1) {
    const { value, products } = hit.group;
    const many = group === "style" ? counted(products, "variant", "variants") : `${counted(products, "product", "products")}: ${value}`;
    more.textContent = many;
    more.setAttribute("aria-label", `${many} of ${product.title}: show all`);
    more.href = address(value);
    more.addEventListener("click", (event) => {
      if (plainClick(event)) variants(value);
    });
  } else {
    more.remove();
  }
  const button = part(".similar");
  button.setAttribute("aria-label", `Similar to ${product.title}`);
  button.addEventListener("click", () => similar(hit));
  return item;
}

// Whether a click on a link is the page's; with a key held it opens another tab or window, and that is the browser's.
export function plainClick(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return false;
  event.preventDefault();
  return true;
}

// The price; of a product on sale the sale price, and the old one struck through.
function price({ price: regular, sale_price: sale, currency }) {
  const now = sale ?? regular;
  if (now == null) return [];
  if (regular == null || sale == null || sale >= regular) return [money(regular ?? now, currency)];
  return [
    element("ins", {}, element("span", { className: "unseen", textContent: "Sale price " }), money(sale, currency)),
    " ",
    element("del", {}, element("span", { className: "unseen", textContent: "instead of " }), money(regular, currency)),
  ];
}

function tags(product) {
  const laces = product.shoelace_color && product.shoelace_color !== "none" ? `${product.shoelace_color} laces` : null;
  const known = [product.category, product.color, laces, product.gender].filter(Boolean);
  return known.map((text) => element("li", { textContent: text }));
}

export function skeletons() {
  const one = () => {
    const item = element("li", {
      innerHTML: '<div class="card skeleton"><div class="picture"></div><div class="text"><div class="line"></div><div class="line short"></div></div></div>',
    });
    item.setAttribute("aria-hidden", "true");
    return item;
  };
  return Array.from({ length: 8 }, one);
}
