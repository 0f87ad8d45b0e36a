"""Image files: checked before a run starts, and loaded as RGB when a prompt needs them."""

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

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # not EPS, which PIL passes to another program
MAX_PIXELS = 2**26  # 67 million, 8192 × 8192; the largest image of MathVision has 21 million. PIL refuses 179 million
_WHITE = (255, 255, 255, 255)
_GREY16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_READABLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", *_GREY16)


@dataclass(frozen=True)
class ImageFile:
    """An image file with the SHA-256 of its content.

    Its text is that hash, so that fingerprints of problems depend on the content of images, not on their paths.
    """

    path: Path
    sha256: str

    def __str__(self) -> str:
        return self.sha256

    __repr__ = __str__  # that of a list of images is made of theirs


def check_image(path: Path) -> ImageFile:
    """Return the image file at `path` if load_image can load it. An unchanged file is read once.

    Raises:
        ValueError: the file is missing, truncated, not an image, or has more than MAX_PIXELS pixels.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise ValueError(f"image {path} does not exist") from error
    return ImageFile(path, _checked(path, stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=2**16)
def _checked(path: Path, mtime_ns: int, size: int) -> str:
    """Return the SHA-256 of a valid image file, cached by its time and size."""
    with _opened(path, MAX_PIXELS) as image:
        if image.format == "PNG":
            image.verify()  # checks the checksums of all chunks without decoding
        else:
            image.draft("L", (1, 1))  # a JPEG is then decoded to its end, at an eighth of its size
            to_rgb(image)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the first frame of an image file in mode RGB: transparency on white, 16-bit grey scaled to 8 bits.

    Raises:
        ValueError: the file is missing, truncated, not an image, or its header states more than `max_pixels` pixels.
    """
    with _opened(path, max_pixels) as image:
        return to_rgb(image)


class _ImageError(ValueError):
    """A fault of an image, in words that follow its name."""


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image without decoding it; any error in the block becomes a ValueError with its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faults that matter raise errors
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
    """Return the image in mode RGB, on a white ground.

    Raises:
        ValueError: the mode has no colours, or grey values lie outside 0 … 65535.
    """
    if image.mode not in _READABLE:
        raise _ImageError(f"is in mode {image.mode!r}. The task needs one of {', '.join(_READABLE)}")
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
    """Return the image, scaled down to at most `max_pixels` pixels at the same aspect ratio."""
    if (pixels := image.width * image.height) <= max_pixels:
        return image
    scale = math.sqrt(max_pixels / pixels)
    width = max(1, int(image.width * scale))
    height = max(1, min(int(image.height * scale), max_pixels // width))
    return image.resize((min(width, max_pixels // height), height), Image.Resampling.BICUBIC)


def store_image(content: bytes, folder: Path) -> Path:
    """Write an image from within a table to a file in `folder`, named by its content; return its path."""
    path = folder / hashlib.sha256(content).hexdigest()
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)  # a file of that name is complete
    return path
