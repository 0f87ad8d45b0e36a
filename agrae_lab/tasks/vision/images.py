"""Image files: checked before anything expensive starts, and loaded as RGB whenever they are wanted."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # no EPS, which PIL hands to another program
MOST_PIXELS = 2**26  # 67 million, 8192 × 8192; the largest image of MathVision has 21 million. PIL refuses 179 million
_WHITE = (255, 255, 255, 255)
_GREY16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_READABLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", *_GREY16)


@dataclass(frozen=True)
class ImageFile:
    """An image file with its content's SHA-256. As text it is that, so that problems are what their images show,
    wherever these lie (see fingerprint_problems)."""

    path: Path
    sha256: str

    def __str__(self) -> str:
        return self.sha256


def check_image(path: Path) -> ImageFile:
    """The image at `path`, which load_image will load. A file that has not changed is read once.

    Raises:
        ValueError: missing, truncated, not an image, or more than MOST_PIXELS pixels.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise ValueError(f"image {path} does not exist") from error
    return ImageFile(path, _checked(path, stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=2**16)
def _checked(path: Path, mtime_ns: int, size: int) -> str:
    """The SHA-256 of a file as it stood at `mtime_ns`."""
    with _opened(path, MOST_PIXELS) as image:
        if image.format == "PNG":
            image.verify()  # checks every chunk's checksum and decodes nothing
        else:
            image.draft("L", (1, 1))  # a JPEG is then decoded at an eighth of its size, but to its end
            to_rgb(image)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_image(path: Path, *, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """An image file as an image of mode RGB: transparency on white, 16-bit grey scaled to 8 bits, the first frame.

    Raises:
        ValueError: missing, truncated, not an image, or more than `max_pixels` pixels by its header, which is read
            before anything is decoded.
    """
    with _opened(path, max_pixels) as image:
        return to_rgb(image)


class _ImageError(ValueError):
    """What is the matter with an image, to be said after its name."""


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The open image, not yet decoded; what goes wrong within is a ValueError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters raises
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise _ImageError(f"has {image.width} × {image.height} pixels, more than the {max_pixels} allowed")
                yield image
    except _ImageError as error:
        raise ValueError(f"image {path} {error}") from error
    except FileNotFoundError as error:
        raise ValueError(f"image {path} does not exist") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(f"image {path} has more than the {max_pixels} pixels allowed") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"image {path} cannot be read: it is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # damaged files make the decoders raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"image {path} is truncated or damaged ({reason})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, as it looks on white paper.

    Raises:
        ValueError: a mode without colours, or grey values outside 0 … 65535, of which nobody knows what is white.
    """
    if image.mode not in _READABLE:
        raise _ImageError(f"is in mode {image.mode!r}; the task needs one of {', '.join(_READABLE)}")
    if image.mode in _GREY16:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise _ImageError(f"has grey values from {values.min()} to {values.max()}, not within 0 … 65535")
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")  # PIL itself would cut at 255
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, _WHITE)
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def fit(image: Image.Image, *, max_pixels: int) -> Image.Image:
    """The image, scaled down to at most `max_pixels` pixels if it has more; its aspect stays, to the pixel."""
    if (pixels := image.width * image.height) <= max_pixels:
        return image
    scale = math.sqrt(max_pixels / pixels)
    width = max(1, int(image.width * scale))
    height = max(1, min(int(image.height * scale), max_pixels // width))
    return image.resize((min(width, max_pixels // height), height), Image.Resampling.BICUBIC)


def store_image(content: bytes, folder: Path) -> Path:
    """The file in `folder` that holds an image which came within a table; it is named by its content."""
    path = folder / hashlib.sha256(content).hexdigest()
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)  # a file of that name is whole
    return path
