// What a browser makes of the search page, told to the page around it: a photo is searched with, an arrow pressed on a
// closed list, and the layout and the colors are looked at.
const $ = (id) => document.getElementById(id);
const until = async (what) => {
  for (let tries = 0; tries < 400 && !what(); tries++) await new Promise((done) => setTimeout(done, 20));
};
const hits = () => document.querySelectorAll("#results article").length;

async function searchByPhoto() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  canvas.getContext("2d").fillRect(8, 8, 40, 40);
  const drawn = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const chosen = new DataTransfer();
  chosen.items.add(new File([drawn], "shoe.png", { type: "image/png" }));
  $("file").files = chosen.files;
  $("file").dispatchEvent(new Event("change"));
  await until(() => hits() > 0 && $("results").getAttribute("aria-busy") === "false");
}

// WCAG 2.2, contrast ratio of two opaque colors.
function contrast(one, other) {
  const light = (color) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.match(/[\d.]+/g).map((c) => linear(Number(c) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [darker, lighter] = [light(one), light(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

await until(() => document.querySelectorAll("#sort option").length > 0);
const press = new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true, cancelable: true });
$("sort").dispatchEvent(press);
await searchByPhoto();
const placeholder = getComputedStyle($("q"), "::placeholder");
const root = document.documentElement;
top.document.body.dataset.seen = JSON.stringify({
  hits: hits(),
  curl: $("curl").textContent,
  thumbnail: !$("photo").hidden,
  kept: press.defaultPrevented && !document.querySelector("#chips li"),
  width: innerWidth,
  overflow: root.scrollWidth - root.clientWidth,
  columns: getComputedStyle($("grid")).gridTemplateColumns.split(" ").length,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  words: contrast(getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor),
  placeholder: placeholder.opacity === "1" ? contrast(placeholder.color, getComputedStyle($("bar")).backgroundColor) : 0,
});
