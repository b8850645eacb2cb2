"""Makes tests/reference/robustness.csv: what the pixels of the files in data/robustness are to Pillow.

One row for each file that Pillow reads in a format that Aglet reads: size, sha256 and mean colors of the pixels as
Aglet should see them, that is upright (EXIF) and over white. Nothing of the files themselves is kept.
Run: python tests/reference/robustness.py DATA/robustness        (Pillow 13.0, numpy)
"""

import csv
import hashlib
import pathlib
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

CLAIMED = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP"}
MOST_PIXELS = 50_000_000


def upright_rgb(im):
    """The first frame, upright, 8 bits, over white. Gray of 16 bits keeps its high byte."""
    im.load()
    if im.mode.startswith("I;16"):
        high = (np.array(im) >> 8).astype(np.uint8)
        turned = Image.fromarray(high)
        turned.info = im.info
        im = turned
    im = ImageOps.exif_transpose(im)
    if not im.has_transparency_data:
        return im.convert("RGB")
    rgba = im.convert("RGBA")
    white = Image.new("RGB", im.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def main():
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None
    folder = pathlib.Path(sys.argv[1])
    out = pathlib.Path(__file__).parent / "robustness.csv"
    with open(folder / "manifest.csv", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["pillow"] == "ok" and r["format"] in CLAIMED]
    with open(out, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["file", "format", "mode", "width", "height", "sha256", "red", "green", "blue"])
        for row in rows:
            if int(row["width"]) * int(row["height"]) > MOST_PIXELS:
                continue
            try:
                pixels = np.array(upright_rgb(Image.open(folder / row["file"])))
            except Exception as error:
                print(row["file"], error)
                continue
            means = [f"{mean:.3f}" for mean in pixels.reshape(-1, 3).mean(axis=0)]
            sha = hashlib.sha256(pixels.tobytes()).hexdigest()
            writer.writerow([row["file"], row["format"], row["mode"], pixels.shape[1], pixels.shape[0], sha, *means])


if __name__ == "__main__":
    main()
