"""Image files: every mode becomes the right colours, and what cannot be used is one sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from agrae_lab.tasks.vision.images import MAX_PIXELS, check_image, fit, load_image, store_image

SIZE = (8, 6)
RED, WHITE = (255, 0, 0), (255, 255, 255)


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))


def saved(path, image, **options):
    image.save(path, **options)
    return path


def pixel(path, at=(0, 0)):
    image = load_image(path)
    assert image.mode == "RGB"
    return image.getpixel(at)


def png_of_size(path, width, height):
    """A PNG whose header alone is large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_a_palette_with_and_without_a_clear_colour(tmp_path):
    image = Image.new("P", SIZE)
    image.putpalette([*RED, 0, 255, 0])
    image.putpixel((1, 0), 1)
    plain = saved(tmp_path / "p.png", image)
    assert (pixel(plain), pixel(plain, (1, 0))) == (RED, (0, 255, 0))
    clear = saved(tmp_path / "clear.gif", image, transparency=0)
    assert (pixel(clear), pixel(clear, (1, 0))) == (WHITE, (0, 255, 0))
    partly = saved(tmp_path / "partly.png", image, transparency=bytes([128, 255]))
    assert (pixel(partly), pixel(partly, (1, 0))) == ((255, 127, 127), (0, 255, 0))


def test_alpha_lies_on_white(tmp_path):
    image = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    image.putpixel((1, 0), (*RED, 255))
    image.putpixel((2, 0), (*RED, 128))
    path = saved(tmp_path / "a.png", image)
    assert [pixel(path, (x, 0)) for x in range(3)] == [WHITE, RED, (255, 127, 127)]
    grey = saved(tmp_path / "la.png", Image.new("LA", SIZE, (0, 51)))
    assert pixel(grey) == (204, 204, 204)
    keyed = saved(tmp_path / "keyed.png", Image.new("RGB", SIZE, RED), transparency=RED)
    assert pixel(keyed) == WHITE


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_and_not_cut(tmp_path, suffix):
    values = np.array([[0, 256, 257 * 100, 32768, 65535]], dtype=np.uint16)
    path = saved(tmp_path / f"g.{suffix}", Image.fromarray(values))
    assert [pixel(path, (x, 0))[0] for x in range(5)] == [0, 1, 100, 128, 255]


def test_cmyk_grey_and_black_and_white(tmp_path):
    cyan = saved(tmp_path / "c.tiff", Image.new("CMYK", SIZE, (255, 0, 0, 0)))
    assert pixel(cyan) == (0, 255, 255)
    jpeg = saved(tmp_path / "c.jpg", Image.new("CMYK", SIZE, (255, 0, 0, 0)), quality=100)
    assert np.abs(np.subtract(pixel(jpeg), (0, 255, 255))).max() <= 4
    assert pixel(saved(tmp_path / "l.png", Image.new("L", SIZE, 90))) == (90, 90, 90)
    assert pixel(saved(tmp_path / "1.png", Image.new("1", SIZE, 1))) == WHITE


def test_modes_of_which_nobody_knows_what_is_white(tmp_path):
    deep = saved(tmp_path / "i.tiff", Image.fromarray(np.array([[0, 70000]], dtype=np.int32)))
    real = saved(tmp_path / "f.tiff", Image.new("F", SIZE, 0.5))
    for path, message in ((deep, r"has grey values from 0 to 70000, not within 0 … 65535"), (real, "is in mode 'F'")):
        for read in (check_image, load_image):
            with pytest.raises(ValueError, match=rf"image {path} {message}"):
                read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif", "bmp"])
def test_truncated_images_are_found_before_they_are_wanted(tmp_path, suffix):
    whole = saved(tmp_path / f"whole.{suffix}", noise())
    assert len(check_image(whole).sha256) == 64
    content = whole.read_bytes()
    for share in (0.3, 0.6, 0.99):
        path = tmp_path / f"cut{share}.{suffix}"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=rf"image {path} (is truncated or damaged|cannot be read)") as caught:
            check_image(path)
        assert "\n" not in str(caught.value)


def test_damage_within_a_png_is_found_by_its_checksums(tmp_path):
    path = saved(tmp_path / "a.png", noise())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        check_image(path)


@pytest.mark.parametrize("read", [check_image, load_image])
def test_missing_files_and_files_that_are_no_images(tmp_path, read):
    with pytest.raises(ValueError, match=r"image .*nowhere.png does not exist"):
        read(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("an image, honestly")
    with pytest.raises(ValueError, match=r"text.png cannot be read: it is none of PNG, JPEG"):
        read(tmp_path / "text.png")
    (tmp_path / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nquit\n")
    with pytest.raises(ValueError, match=r"program.png cannot be read"):  # PIL would hand it to Ghostscript
        read(tmp_path / "program.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"folder.png is truncated or damaged"):
        read(tmp_path / "folder.png")


@pytest.mark.parametrize("side", [8193, 10_000, 60_000])  # past our bound; where PIL warns; where PIL refuses
def test_bombs_are_refused_by_their_header(tmp_path, side):
    path = png_of_size(tmp_path / "bomb.png", side, side)
    with pytest.raises(ValueError, match=r"image .*bomb.png has .*pixels.* allowed"):
        check_image(path)
    with pytest.raises(ValueError, match=f"more than the {MAX_PIXELS} (pixels )?allowed"):
        load_image(path)


def test_the_bound_is_the_callers(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGB", (10, 10)))
    assert load_image(path, max_pixels=100).size == (10, 10)
    with pytest.raises(ValueError, match=r"has 10 × 10 pixels, more than the 99 allowed"):
        load_image(path, max_pixels=99)


def test_a_file_is_checked_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", Image.new("RGB", SIZE, RED))
    first = check_image(path)
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", None)  # nothing is opened
        assert check_image(path) == first
    saved(path, Image.new("RGB", (9, 9), WHITE))
    assert check_image(path).sha256 != first.sha256


def test_a_image_is_what_it_shows_wherever_it_lies(tmp_path):
    one, other = (saved(tmp_path / name, Image.new("RGB", SIZE, RED)) for name in ("a.png", "b.png"))
    assert str(check_image(one)) == str(check_image(other)) == check_image(one).sha256
    kept = store_image(one.read_bytes(), tmp_path / "new" / "folder")
    assert kept.name == check_image(kept).sha256 == check_image(one).sha256
    assert store_image(one.read_bytes(), kept.parent) == kept
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize("size", [(1000, 500), (333, 77), (5000, 1), (1, 5000), (40, 40)])
@pytest.mark.parametrize("budget", [1, 7, 1600, 100_000])
def test_images_are_scaled_into_their_budget(size, budget):
    image = Image.new("RGB", size, RED)
    small = fit(image, max_pixels=budget)
    assert small.width * small.height <= max(budget, 1)
    assert small.getpixel((0, 0)) == RED
    if size[0] * size[1] <= budget:
        assert small is image
    elif min(small.size) > 5:
        assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.2)
        assert small.width * small.height > 0.8 * budget  # no smaller than it needs to be
