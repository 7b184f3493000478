"""Image files whose pixels are known by construction, sound ones and damaged ones."""

import io
import os
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
CLASS_COLORS = {"blue": (40, 60, 210), "green": (50, 200, 60), "red": (210, 50, 40)}


def halves(width: int, height: int, left=RED, right=BLUE) -> np.ndarray:
    """uint8 (height, width, 3): one colour in the left half, one in the right."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    return pixels


def save(path, pixels, mode: str | None = None, **options) -> str:
    """Writes an array as an image, in the format of the suffix unless told another."""
    image = Image.fromarray(np.asarray(pixels))
    image = image if mode is None else image.convert(mode)
    image.save(path, **options)
    return str(path)


def write_bytes(path, content: bytes) -> str:
    """Writes a file as it is."""
    with open(path, "wb") as file:
        file.write(content)
    return str(path)


def encoded(kind: str = "PNG", size: int = 40) -> bytes:
    """The bytes of a noisy image, too rich to be compressed to almost nothing."""
    pixels = np.random.default_rng(5).integers(0, 256, (size, size, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


# Damaged files: what the reader must say of each.
BAD: dict[str, tuple[Callable[[str], object], str]] = {
    "empty.jpg": (lambda path: write_bytes(path, b""), "empty file"),
    "text.jpg": (lambda path: write_bytes(path, b"hello, I am a text\n" * 40), "not an image"),
    "cut.jpg": (lambda path: write_bytes(path, encoded("JPEG")[:900]), "truncated"),
    "cut.png": (lambda path: write_bytes(path, encoded("PNG")[:900]), "truncated"),
    "dot.png": (lambda path: save(path, np.zeros((1, 1, 3), np.uint8)), "1x1"),
    "bomb.png": (lambda path: write_bytes(path, png_header(20_000, 20_000)), "pixels"),
    "gone.jpg": (lambda path: os.symlink("nowhere.jpg", path), "No such file"),
}


def make_folder(root, counts: dict[str, int], size: int = 32, seed: int = 0) -> str:
    """A data folder: one subfolder per name, of noisy pictures in one colour each."""
    rng = np.random.default_rng(seed)
    colors = list(CLASS_COLORS.values())
    for i, (name, count) in enumerate(counts.items()):
        os.makedirs(os.path.join(root, name), exist_ok=True)
        for number in range(count):
            noise = rng.integers(-40, 41, (size, size, 3))
            pixels = np.clip(np.array(colors[i % len(colors)]) + noise, 0, 255).astype(np.uint8)
            save(os.path.join(root, name, f"{number:03d}.png"), pixels)
    return str(root)
