"""One image from file to network input: the evaluation transform.

Validation, calibration, accuracy and prediction all go through here. It does
what a phone does (MediaPipe's ImageClassifier, Android's scaled Bitmap): the
whole image, stretched to the input with bilinear interpolation, no crop and no
antialiasing. Training and telephone then see the same pixels.
"""

import os
import warnings

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MIN_SIDE = 8  # Below it is a tracking pixel or a damaged file, not a picture.
MAX_PIXELS = 178_956_970  # 700 MB when decoded; Pillow, too, opens nothing larger.


class ImageError(ValueError):
    """An image that cannot be used; the message says why, without the path."""


def is_image_path(path: str) -> bool:
    """True where the file's name ends like an image's."""
    return path.lower().endswith(SUFFIXES)


def read_image(path: str) -> np.ndarray:
    """Decodes an image file of any common format by its content.

    The camera's rotation is applied, transparency is laid on white, the first
    frame of an animation is taken, 16-bit gray is scaled, CMYK converted.

    Args:
        path: of the file; its suffix does not matter.

    Returns:
        uint8 (height, width, 3), RGB in 0..255.

    Raises:
        ImageError: the file is not an image, is damaged, or has a size out of
            range.
        OSError: the file cannot be opened.
    """
    if os.path.getsize(path) == 0:
        raise ImageError("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning; ours decides.
        try:
            with Image.open(path) as image:
                _check_size(*image.size)
                return _to_rgb(ImageOps.exif_transpose(image))
        except ImageError:
            raise
        except Image.DecompressionBombError:
            raise ImageError(f"more than {MAX_PIXELS:,d} pixels") from None
        except Image.UnidentifiedImageError:
            raise ImageError("not an image") from None
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            if getattr(error, "errno", None):
                raise  # The file system's; the decoders' own have no number.
            # Pillow's decoders raise all of these for damaged data.
            raise ImageError(str(error).splitlines()[0] if str(error) else "damaged") from None


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width}x{height} pixels, at least {MIN_SIDE}x{MIN_SIDE} needed")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}x{height} is more than {MAX_PIXELS:,d} pixels")


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion clips.
        return np.repeat(_to_8_bits(np.asarray(image))[..., np.newaxis], 3, axis=2)
    if image.mode == "F":
        raise ImageError("floating-point pixels")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"))


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    return (np.clip(pixels, 0, 65535).astype(np.uint32) >> 8).astype(np.uint8)


def to_rgb_array(pixels: np.ndarray) -> np.ndarray:
    """Brings an array of a data set to uint8 RGB.

    Args:
        pixels: uint8 or uint16 (height, width, channels), 1, 3 or 4 channels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ImageError: another shape or dtype.
    """
    if pixels.dtype == np.uint16:
        pixels = _to_8_bits(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ImageError(f"pixels of dtype {pixels.dtype} and shape {pixels.shape}")
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels[..., :3]


def resize_image(pixels: np.ndarray, image_size: int) -> np.ndarray:
    """Stretches a whole image to the network's input.

    Args:
        pixels: uint8 (height, width, 3).
        image_size: side of the square result in pixels.

    Returns:
        uint8 (image_size, image_size, 3).
    """
    height, width = pixels.shape[:2]
    if (height, width) == (image_size, image_size):
        return pixels
    # transform, not resize: Pillow's resize averages over the source pixels.
    image = Image.fromarray(pixels).transform(
        (image_size, image_size),
        Image.Transform.EXTENT,
        (0, 0, width, height),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(image)


def load_image(path: str, image_size: int) -> np.ndarray:
    """Reads a file and stretches it: the whole evaluation transform.

    Args:
        path: of the image file.
        image_size: side of the square result in pixels.

    Returns:
        uint8 (image_size, image_size, 3), RGB in 0..255.

    Raises:
        ImageError, OSError: see `read_image`.
    """
    return resize_image(read_image(path), image_size)
