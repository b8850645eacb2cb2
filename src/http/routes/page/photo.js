// Photos to search with: chosen, taken, pasted or dropped. A photo cannot be in an address; it is kept here under a
// number that the history entry holds.

import { $ } from "./dom.js";

// Below what the service takes by default: 10 MiB, 64 megapixels, 20,000 pixels an edge.
const LIMITS = { bytes: 9 * 1024 * 1024, pixels: 60e6, edge: 16_000 };
const photos = new Map();

export const photo = (key) => photos.get(key);

// Calls `use` with the number of each photo that comes, `complain` when it is another kind of file.
export function listenForPhotos(use, complain) {
  const take = async (file) => {
    if (!file) return;
    if (file.type && !file.type.startsWith("image/")) {
      complain("This file is not a picture. JPEG, PNG, WebP, GIF and BMP can be searched with.");
      return;
    }
    const ready = await shrink(file);
    const key = photos.size + 1;
    photos.set(key, { file: ready, url: URL.createObjectURL(ready) });
    use(key);
  };
  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", (event) => {
      take(event.target.files[0]);
      event.target.value = "";
    });
  }
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      take(file);
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
    take(event.dataTransfer.files[0]);
  });
}

// A photo above the limits is made smaller here, where it costs nobody a transfer: also one of few bytes and many pixels,
// such as a panorama.
async function shrink(file) {
  const size = await dimensions(file);
  if (!isTooLarge(file.size, size)) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return blob ? new File([blob], "photo.jpg", { type: "image/jpeg" }) : file;
  } catch {
    return file;
  }
}

// Whether a photo has to be made smaller.
function isTooLarge(bytes, size) {
  if (bytes > LIMITS.bytes) return true;
  return size !== null && (size.width * size.height > LIMITS.pixels || Math.max(size.width, size.height) > LIMITS.edge);
}

// Width and height; null when the browser cannot read them, which the service then says.
function dimensions(file) {
  return new Promise((resolve) => {
    const image = new Image();
    const url = URL.createObjectURL(file);
    const done = (size) => {
      URL.revokeObjectURL(url);
      resolve(size);
    };
    image.onload = () => done({ width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => done(null);
    image.src = url;
  });
}
