"""Every kind of image file that users have, and the one resize that phones do."""

import image_files
import numpy as np
import pytest
import tensorflow as tf
from image_files import BLUE, GREEN, RED, halves, save
from PIL import Image

from mobilenet_tf.data import images
from mobilenet_tf.data.images import ImageError, is_image_path, read_image, resize_image


def _solid(*values: int, dtype=np.uint8) -> np.ndarray:
    """12 x 10 pixels of one value; one channel where one value is given."""
    shape = (12, 10) if len(values) == 1 else (12, 10, len(values))
    return np.full(shape, values, dtype)


def _assert_solid(pixels: np.ndarray, color: tuple[int, ...], tolerance: int = 0) -> None:
    assert pixels.shape == (12, 10, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - color).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "webp"])
def test_lossless_formats_are_read_exactly(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", halves(20, 16), **options)
    np.testing.assert_array_equal(read_image(path), halves(20, 16))


def test_jpeg_is_read_nearly(tmp_path):
    path = save(tmp_path / "a.jpg", _solid(200, 100, 50), quality=95)
    _assert_solid(read_image(path), (200, 100, 50), tolerance=3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
def test_wrong_suffix_does_not_matter(tmp_path, kind):
    path = save(tmp_path / "a.jpg", _solid(*GREEN), format=kind)
    _assert_solid(read_image(path), GREEN)


def test_gray_fills_three_channels(tmp_path):
    _assert_solid(read_image(save(tmp_path / "a.png", _solid(77))), (77, 77, 77))


def test_one_bit_is_black_and_white(tmp_path):
    pixels = halves(10, 12, (255,) * 3, (0,) * 3)
    path = save(tmp_path / "a.png", pixels, mode="1")
    np.testing.assert_array_equal(read_image(path), pixels)


@pytest.mark.parametrize(
    "value, expected", [(0, 0), (0x00FF, 0), (0x0100, 1), (0x8000, 128), (0xFFFF, 255)]
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_keeps_its_high_byte(tmp_path, suffix, value, expected):
    path = save(tmp_path / f"a.{suffix}", _solid(value, dtype=np.uint16))
    _assert_solid(read_image(path), (expected,) * 3)


def test_16_bit_big_endian(tmp_path):
    image = Image.frombytes("I;16B", (10, 12), b"\x80\x01" * 120)
    image.save(tmp_path / "a.tif")
    _assert_solid(read_image(str(tmp_path / "a.tif")), (128,) * 3)


@pytest.mark.parametrize("value, expected", [(40_000, 156), (70_000, 255), (-5, 0)])
def test_32_bit_gray_is_taken_for_16_and_clipped(tmp_path, value, expected):
    path = save(tmp_path / "a.tif", _solid(value, dtype=np.int32))
    _assert_solid(read_image(path), (expected,) * 3)  # 40,000 // 256 = 156.


def test_floating_point_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", _solid(0.5, dtype=np.float32))
    with pytest.raises(ImageError, match="floating-point"):
        read_image(path)


# Over white, a share a = alpha / 255 of the colour and 1 - a of 255 remain.
@pytest.mark.parametrize(
    "rgba, expected",
    [
        ((255, 0, 0, 128), (255, 127, 127)),
        ((255, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 255, 255), BLUE),
        ((0, 0, 0, 51), (204, 204, 204)),
    ],
)
def test_transparency_lies_on_white(tmp_path, rgba, expected):
    _assert_solid(read_image(save(tmp_path / "a.png", _solid(*rgba))), expected, tolerance=1)


def test_gray_with_alpha(tmp_path):
    Image.merge("LA", [Image.new("L", (10, 12), value) for value in (0, 128)]).save(
        tmp_path / "a.png"
    )
    _assert_solid(read_image(str(tmp_path / "a.png")), (127,) * 3, tolerance=1)


def _palette_image() -> Image.Image:
    image = Image.fromarray(np.repeat([[0] * 5 + [1] * 5], 12, axis=0).astype(np.uint8), "L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([*GREEN, *BLUE])
    return image


@pytest.mark.parametrize("transparent, left", [(None, GREEN), (0, (255, 255, 255))])
def test_palette(tmp_path, transparent, left):
    options = {} if transparent is None else {"transparency": transparent}
    _palette_image().save(tmp_path / "a.png", **options)
    expected = halves(10, 12, left, BLUE)
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png")), expected)


@pytest.mark.parametrize("suffix, tolerance", [("tif", 0), ("jpg", 3)])
def test_cmyk_cyan(tmp_path, suffix, tolerance):
    Image.new("CMYK", (10, 12), (255, 0, 0, 0)).save(tmp_path / f"a.{suffix}")
    _assert_solid(read_image(str(tmp_path / f"a.{suffix}")), (0, 255, 255), tolerance)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (10, 12), color) for color in (RED, BLUE, GREEN)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3
    _assert_solid(read_image(str(tmp_path / "a.gif")), RED)


# What EXIF 2.3 says of the stored picture; numpy turns counter-clockwise.
@pytest.mark.parametrize(
    "orientation, upright",
    [
        (1, lambda stored: stored),
        (2, np.fliplr),
        (3, lambda stored: np.rot90(stored, 2)),
        (4, np.flipud),
        (5, lambda stored: stored.transpose(1, 0, 2)),
        (6, lambda stored: np.rot90(stored, -1)),
        (8, lambda stored: np.rot90(stored, 1)),
    ],
)
def test_camera_rotation(tmp_path, orientation, upright):
    stored = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", stored, exif=exif)
    np.testing.assert_array_equal(read_image(path), upright(stored))


def test_rotated_jpeg_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise: left becomes top.
    path = save(tmp_path / "a.jpg", halves(32, 16), exif=exif, subsampling=0, quality=95)
    pixels = read_image(path).astype(int)
    assert pixels.shape == (32, 16, 3)
    assert np.abs(pixels[:12] - RED).max() < 12 and np.abs(pixels[20:] - BLUE).max() < 12


def test_very_wide_image(tmp_path):
    path = save(tmp_path / "a.png", halves(20_000, 10))
    pixels = images.load_image(path, 32)
    np.testing.assert_array_equal(pixels, halves(32, 32))


@pytest.mark.parametrize("width, height", [(1, 1), (7, 8), (100, 7)])
def test_too_small(tmp_path, width, height):
    path = save(tmp_path / "a.png", np.zeros((height, width, 3), np.uint8))
    with pytest.raises(ImageError, match=f"{width}x{height} pixels, at least 8x8"):
        read_image(path)


def test_smallest(tmp_path):
    assert read_image(save(tmp_path / "a.png", halves(8, 8))).shape == (8, 8, 3)


@pytest.mark.parametrize("name", [name for name in image_files.BAD if name != "gone.jpg"])
def test_damaged_files_say_why(tmp_path, name):
    make, reason = image_files.BAD[name]
    make(str(tmp_path / name))
    with pytest.raises(ImageError) as caught:
        read_image(str(tmp_path / name))
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("side, allowed", [(13_400, False), (13_370, True)])
def test_pixel_limit_is_as_stated(tmp_path, side, allowed):
    # 13,400 squared is above the limit, 13,370 squared below it.
    assert (side**2 <= images.MAX_PIXELS) == allowed
    path = image_files.write_bytes(tmp_path / "a.png", image_files.png_header(side, side))
    with pytest.raises(ImageError) as caught:
        read_image(path)  # Either way: the small one has no pixels.
    assert (f"{images.MAX_PIXELS:,d}" not in str(caught.value)) == allowed


def test_paths_that_are_no_files(tmp_path):
    for path in (tmp_path, tmp_path / "missing.jpg"):
        with pytest.raises(OSError):
            read_image(str(path))


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(path):  # Permissions themselves do not stop root, who may run this.
        raise PermissionError(13, "Permission denied", path)

    path = save(tmp_path / "a.png", halves(10, 12))
    monkeypatch.setattr(images.Image, "open", refuse)
    with pytest.raises(PermissionError):
        read_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_random_damage_never_raises_anything_else(tmp_path, kind):
    content, rng = image_files.encoded(kind), np.random.default_rng(1)
    for _ in range(80):
        damaged = bytearray(content)
        # Half of the damage hits the headers, where the parsers are.
        for position in rng.integers(0, rng.choice([120, len(damaged)]), 6):
            damaged[position] = rng.integers(256)
        path = image_files.write_bytes(
            tmp_path / "a.jpg", damaged[: rng.integers(40, len(damaged))]
        )
        try:
            assert read_image(path).shape[2] == 3
        except ImageError as error:
            assert str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "path, expected",
    [("a.JPG", True), ("b.jpeg", True), ("ü/é.WebP", True), ("a.txt", False), ("jpg", False)],
)
def test_names_of_images(path, expected):
    assert is_image_path(path) == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_become_rgb(channels):
    pixels = np.full((4, 4, channels), 0x90FF, np.uint16)
    assert images.to_rgb_array(pixels).tolist() == np.full((4, 4, 3), 0x90).tolist()


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3))]
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ImageError, match="shape"):
        images.to_rgb_array(pixels)


def test_equal_size_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(resize_image(pixels, 32), pixels)


@pytest.mark.parametrize("height, width", [(9, 500), (33, 31), (8, 8), (200, 64)])
def test_constant_image_stays_constant(height, width):
    resized = resize_image(np.full((height, width, 3), (9, 99, 199), np.uint8), 32)
    assert resized.shape == (32, 32, 3) and resized.dtype == np.uint8
    assert (resized == (9, 99, 199)).all()


@pytest.mark.parametrize("height, width", [(128, 64), (64, 256)])
def test_whole_image_is_stretched(height, width):
    np.testing.assert_array_equal(resize_image(halves(width, height), 32), halves(32, 32))


def _channels(pixels: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(pixels, np.uint8)[..., np.newaxis], 3, axis=2)


def test_4x4_to_2x2_by_hand():
    # Output i looks at source 2 (i + 0.5) - 0.5 = 0.5 and 2.5: halfway between
    # pixels 0 and 1, and 2 and 3. So each output is the mean of a 2 x 2 block;
    # antialiasing would mix in the neighbouring blocks.
    pixels = [[0, 40, 200, 200], [80, 120, 200, 200], [16, 16, 4, 8], [16, 16, 12, 16]]
    np.testing.assert_array_equal(
        resize_image(_channels(pixels), 2), _channels([[60, 200], [16, 10]])
    )


def test_8x8_to_2x2_by_hand():
    # Source 4 (i + 0.5) - 0.5 = 1.5 and 5.5: pixels 1, 2 and 5, 6. The others
    # do not count, as they would with antialiasing.
    pixels = np.full((8, 8), 255)
    pixels[1:3, 1:3], pixels[1:3, 5:7], pixels[5:7, 1:3], pixels[5:7, 5:7] = 10, 20, 30, 40
    np.testing.assert_array_equal(
        resize_image(_channels(pixels.tolist()), 2), _channels([[10, 20], [30, 40]])
    )


@pytest.mark.parametrize("height, width, side", [(100, 61, 32), (37, 37, 64), (224, 160, 96)])
def test_agrees_with_tensorflow(height, width, side):
    rng = np.random.default_rng(height)
    coarse = rng.uniform(0, 255, (1, 6, 6, 3))
    smooth = tf.image.resize(coarse, (height, width), "bicubic")[0]
    pixels = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    expected = tf.image.resize(pixels, (side, side), "bilinear", antialias=False).numpy()
    # Pillow cuts off the fraction, so the difference is just under 1 at most.
    assert np.abs(resize_image(pixels, side) - expected).max() < 1.001
