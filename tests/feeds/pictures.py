"""Small pictures, made from a number: a mosaic of 8 by 8 colored squares as JPEG or PNG. Standard library only.

The same number gives the same bytes. The JPEG writer knows one kind of block, a square of one color: its Huffman tables hold what
such blocks need and nothing else."""
import random
import struct
import zlib

# Squares of 8 pixels, each way.
SQUARES = 8


def colors(number):
    dice = random.Random(f"picture {number}")
    base = [dice.randrange(256) for _ in range(3)]
    return [[[min(255, max(0, part + dice.randrange(-40, 41))) for part in base] for _ in range(SQUARES)] for _ in range(SQUARES)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(number):
    """RGB, 8 bits, no filter."""
    size = SQUARES * 8
    rows = b"".join(b"\0" + b"".join(bytes(color) * 8 for color in row) for row in colors(number) for _ in range(8))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_of_many_pixels(side=40_000):
    """A gray PNG of so many pixels a side: kilobytes that become gigabytes when they are decoded."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class Bits:
    def __init__(self):
        self.value, self.count, self.out = 0, 0, bytearray()

    def put(self, value, count):
        self.value = self.value << count | value
        self.count += count
        while self.count >= 8:
            self.count -= 8
            byte = self.value >> self.count & 0xFF
            self.out.append(byte)
            if byte == 0xFF:
                self.out.append(0)
        self.value &= (1 << self.count) - 1

    def end(self):
        if self.count:
            self.put((1 << 8 - self.count) - 1, 8 - self.count)
        return bytes(self.out)


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(number):
    """Baseline, YCbCr without subsampling."""
    size = SQUARES * 8
    bits, before = Bits(), [0, 0, 0]
    for row in colors(number):
        for red, green, blue in row:
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            parts = [luma, 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma)]
            for at, part in enumerate(parts):
                # Divided by 8 by the quantization table, the mean of a block is its value less 128.
                value = min(255, max(0, round(part))) - 128
                step, before[at] = value - before[at], value
                category = abs(step).bit_length()
                bits.put(category, 4)
                bits.put(step if step >= 0 else step + (1 << category) - 1, category)
                # The only AC code: the block ends here.
                bits.put(0, 1)
    out = b"\xff\xd8" + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
    out += segment(0xDB, b"\0" + bytes([8] * 64))
    frame = struct.pack(">BHHB", 8, size, size, 3)
    out += segment(0xC0, frame + b"".join(bytes([part, 0x11, 0]) for part in (1, 2, 3)))
    # Twelve DC codes of four bits, which are their own numbers; one AC code of one bit.
    out += segment(0xC4, b"\0" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
    out += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    out += segment(0xDA, b"\x03" + b"".join(bytes([part, 0]) for part in (1, 2, 3)) + b"\0\x3f\0")
    return out + bits.end() + b"\xff\xd9"


def picture(number):
    """The bytes and their type."""
    return (png(number), "image/png") if number % 2 else (jpeg(number), "image/jpeg")
