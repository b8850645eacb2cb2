// Photos to search with: chosen, taken, pasted or dropped. A photo cannot be in an address; it is kept here under a
// number that the history entry holds.

import { $ } from "./dom.js";

const UPLOAD_LIMIT = 9 * 1024 * 1024;
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
