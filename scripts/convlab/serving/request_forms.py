"""Forms of a request: JSON of several protocols, CSV, NumPy's format, PNG or JPEG, compressed with gzip or not.

This file is copied into every archive as ``code/request_forms.py``, beside ``inference.py``, which loads it. It imports
nothing of convlab, and at the top the standard library only: SageMaker's TensorFlow Serving image has neither NumPy nor
Pillow.
"""

import base64
import binascii
import json
import math
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NamedTuple

MAX_IMAGES = 256
"""Images in one request at most."""

MAX_BODY_BYTES = 6 * 2**20
"""Bytes of a body at most once gzip is undone, and of all pixels that its PNG or JPEG files hold."""

JSON, LINES, CSV, NPY = "application/json", "application/jsonlines", "text/csv", "application/x-npy"
PNG, JPEG, PICTURE = "image/png", "image/jpeg", "application/x-image"

TYPES = (JSON, LINES, CSV, NPY, PNG, JPEG, PICTURE)
"""Content types that are read."""

SIGNATURE = "serving_default"
"""The one signature of an exported model, by the name that TensorFlow Serving's clients may send."""

NUMBER_TYPES = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
"""Data types of the V2 inference protocol that are numbers."""

OTHER_TYPES = {
    "application/x-www-form-urlencoded": "curl -d says so by itself: add -H 'Content-Type: application/json'",
    "multipart/form-data": "a form, as curl -F sends it, is not read: send the images as the body, with --data-binary",
    "application/octet-stream": "name what it is",
    "image/": "of pictures PNG and JPEG are decoded, by image/png, image/jpeg or application/x-image",
}
"""Hints for unsupported content types, by prefix."""

SIGNATURES = {
    b"\xff\xd8\xff": f"a JPEG picture; say so with Content-Type: {JPEG}",
    b"\x89PNG": f"a PNG picture; say so with Content-Type: {PNG}",
    b"GIF8": "a GIF picture; save it as PNG, or decode it and send its pixels",
    b"RIFF": "a WebP picture or another RIFF file; save it as PNG, or decode it and send its pixels",
    b"BM": "a BMP picture; save it as PNG, or decode it and send its pixels",
    b"II*\0": "a TIFF picture; save it as PNG, or decode it and send its pixels",
    b"MM\0*": "a TIFF picture; save it as PNG, or decode it and send its pixels",
    b"PK\x03\x04": "a zip or .npz archive; send one array as numpy.save writes it",
    b"\x89HDF": "an HDF5 file; send the images' pixels",
    b"\x93NUMPY": f"an array in NumPy's format; say so with Content-Type: {NPY}",
}
"""Hints for unsupported bodies, by magic number."""

GZIP = b"\x1f\x8b"
"""Magic number of gzip."""

GZIP_PIECE_BYTES = 4096
"""Bytes that are decompressed at once: what follows a member of gzip data is copied for each member."""

MAX_SIZE = 2**31
"""Largest size of a dimension that is taken for one: whole numbers of JSON have thousands of digits."""

BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")
"""First characters of JPEG, PNG, GIF and WebP files in base64."""

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")

Shape = Sequence[int]
"""Height, width and channels of the model's images."""


class BadRequest(ValueError):
    """An error that the client can fix; the message says how. ``status`` is the HTTP status code."""

    status = 400


class TooLarge(BadRequest):
    status = 413


class UnsupportedType(BadRequest):
    status = 415


class Limits(NamedTuple):
    """What one request may hold: bytes once gzip is undone, or of the pixels of its files, and values of its text."""

    max_bytes: int = MAX_BODY_BYTES
    max_values: float = math.inf


def read(body: bytes | str, content_type: str | None, input_shape: Callable[[], Shape], limits: Limits) -> Any:
    """Images as the body holds them, of any shape yet: nested lists, or an array for NumPy's format.

    Args:
        body: bytes (or text), compressed with gzip or not.
        content_type: one of ``TYPES``, JSON where there is none.
        input_shape: height, width and channels of the model's images; called where there are PNG or JPEG files, which
            are never resized.

    Raises:
        BadRequest: the body is invalid or too large, or the type is not supported.
    """
    kind = (content_type or JSON).split(";")[0].strip().lower()
    kind = JPEG if kind == "image/jpg" else kind
    if kind not in TYPES:
        hint = next((hint for start, hint in OTHER_TYPES.items() if kind.startswith(start)), "")
        raise UnsupportedType(
            f"content type {kind[:100]} is not supported; send {', '.join(TYPES[:-1])} or {TYPES[-1]}"
            + (f" ({hint})" if hint else "")
        )
    if not isinstance(body, str) and bytes(body[:2]) == GZIP:
        body = decompressed(body, limits.max_bytes)
    if kind == NPY:
        return _from_npy(body)
    pictures = _Pictures(input_shape, limits.max_bytes)
    if kind in (PNG, JPEG, PICTURE):
        return [pictures.decode(body, "the body")]
    if not isinstance(body, str):
        try:
            body = bytes(body).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadRequest(f"the body is {_signature(body) or 'not UTF-8 text'}") from None
    if body.lstrip().startswith("[" * 64):
        raise BadRequest("the body is not valid JSON: it is nested too deeply")
    if any(body.count(mark) > limits.max_values for mark in ',[{\n\r"'):
        raise TooLarge(f"the body holds far more values than {MAX_IMAGES} images have; send fewer images at once")
    if kind == CSV:
        return _from_csv(body)
    return _from_lines(body, pictures) if kind == LINES else _from_json(body, pictures)


def decompressed(body: bytes, limit: int) -> bytes:
    """A gzip body, of several members or one; TooLarge beyond ``limit`` bytes, before they are made."""
    view, position, parts, size = memoryview(body), 0, [], 0
    member = zlib.decompressobj(wbits=31)
    try:
        while position < len(view):
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            piece = view[position : position + GZIP_PIECE_BYTES]
            parts.append(member.decompress(piece, limit + 1 - size))
            size += len(parts[-1])
            if size > limit:
                raise TooLarge(f"the body has more than {limit:,} bytes once gzip is undone; send fewer images at once")
            position += len(piece) - len(member.unused_data)
    except zlib.error as error:
        raise BadRequest(f"the body is damaged gzip data ({error}); compress it again") from None
    if not member.eof:
        raise BadRequest("the body ends before its gzip data do; send all of it")
    return b"".join(parts)


def shown_shape(shape: Shape) -> str:
    """One image's height, width and colour, in words."""
    height, width, channels = shape
    return f"{height}×{width} pixels, {'grey' if channels == 1 else 'RGB' if channels == 3 else f'{channels} channels'}"


def _signature(body: bytes) -> str | None:
    """Hint for a body by its magic number; None if that is unknown."""
    return next((what for start, what in SIGNATURES.items() if bytes(body[:8]).startswith(start)), None)


# ---------------------------------------------------------------------------------------------------------------------
# JSON


def _from_json(text: str, pictures: "_Pictures") -> list:
    """TensorFlow Serving's rows or columns, the V2 protocol, the images alone, or any as text inside of JSON."""
    value = _json(text, "the body")
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{", '"'):
        value = _json(value, "the text in the body")
    path = "instances"
    if isinstance(value, dict):
        path, value = _of_request(value)
    if pictures.is_one(value):
        value = [value]
    if not isinstance(value, list):
        raise BadRequest(f'the images should be a list: {{"instances": [image, ...]}}; they are {kind_in_words(value)}')
    return [pictures.or_as_is(_unnamed(image), f"{path}[{index}]") for index, image in enumerate(value)]


def _of_request(request: dict[str, Any]) -> tuple[str, Any]:
    """The name and the images of TensorFlow Serving's or the V2 protocol's request."""
    signature = request.get("signature_name", SIGNATURE)
    if signature != SIGNATURE:
        raise BadRequest(f"signature_name is {_quoted(signature)}; this model has {SIGNATURE} only: leave it out")
    names = [name for name in ("instances", "inputs") if name in request]
    if not names:
        keys = f" but {_listed(request)}" if request else ""
        raise BadRequest(f'the body has no "instances"{keys}; send {{"instances": [image, ...]}}')
    if len(names) > 1:
        raise BadRequest('the body has both "instances" and "inputs"; send one of them')
    (name,) = names
    value = request[name]
    if name == "instances":
        return name, value
    if isinstance(value, list) and any(isinstance(item, dict) and "datatype" in item for item in value):
        return "data", _from_v2(value)
    if isinstance(value, dict) and not _Pictures.is_one(value):
        if len(value) != 1:
            raise BadRequest(f'"inputs" has {_listed(value) or "no input"}; this model takes one input, the images')
        (value,) = value.values()
    return name, value


def _unnamed(image: Any) -> Any:
    """An instance without the name of its input, as TensorFlow Serving's clients send it: ``{"image": ...}``."""
    if isinstance(image, dict) and len(image) == 1 and not _Pictures.is_one(image):
        (value,) = image.values()
        if isinstance(value, list) or _Pictures.is_one(value):
            return value
    return image


def _from_v2(tensors: list) -> list:
    """The one tensor of a request of the V2 inference protocol, as nested lists."""
    if len(tensors) != 1:
        raise BadRequest(f'"inputs" has {len(tensors)} tensors; this model takes one, the images')
    tensor = tensors[0]
    kind, shape, data = (tensor.get(name) for name in ("datatype", "shape", "data"))
    if kind not in NUMBER_TYPES:
        raise BadRequest(f"inputs[0].datatype is {_quoted(kind)}; send pixels as UINT8 or FP32")
    whole = isinstance(shape, list) and all(type(size) is int and 0 < size < MAX_SIZE for size in shape)
    if not whole or not 0 < len(shape) <= 4:
        raise BadRequest("inputs[0].shape should be one to four whole numbers from 1: how many images, and their sizes")
    if not isinstance(data, list):
        raise BadRequest(f"inputs[0].data should be a list of pixels; it is {kind_in_words(data)}")
    if data and isinstance(data[0], list):
        sizes, first = [], data
        while isinstance(first, list) and first:
            sizes.append(len(first))
            first = first[0]
        if sizes != shape:
            raise BadRequest(f"inputs[0].shape is {shape}, but its data have shape {sizes[:8]}")
        return data
    if math.prod(shape) != len(data):
        raise BadRequest(f"inputs[0].shape is {shape}, which is {math.prod(shape)} values; its data are {len(data)}")
    return nested(data, shape[1:])


def nested(values: Sequence, shape: Shape) -> list:
    """Values one after another as a list of nested lists, each of this shape."""
    lists = list(values)
    for size in reversed(shape):
        lists = [lists[start : start + size] for start in range(0, len(lists), size)]
    return lists


def _from_lines(text: str, pictures: "_Pictures") -> list:
    """One image a line, each as JSON: a list of numbers, nested or not, or a picture in base64."""
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    images = []
    for number, line in enumerate(lines, start=1):
        image = pictures.or_as_is(_unnamed(_json(line, f"line {number}")), f"line {number}")
        if not isinstance(image, list):
            words = kind_in_words(image)
            raise BadRequest(f"line {number} is {words}; send one image a line, as a list of its pixels")
        images.append(image)
    return images


def _json(text: str, what: str) -> Any:
    """The value of JSON text; ``what`` is what the text is."""
    if not text.strip():
        raise BadRequest(f'{what} is empty, which is not valid JSON; send {{"instances": [image, ...]}}')
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise BadRequest(f"{what} is not valid JSON: {reason}") from None


def kind_in_words(value: Any) -> str:
    """Type of a JSON value, in words, for messages."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return f"an object with {_listed(value)}" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if not isinstance(value, str):
        return "a number"
    if value.startswith(("http://", "https://", "s3://", "file://")):
        return "an address, which is not fetched"
    return "a file's name" if value.lower().endswith(PICTURES) else "text"


def _listed(names: Any) -> str:
    """The first names, quoted."""
    return ", ".join(map(_quoted, list(names)[:5])) + (", ..." if len(names) > 5 else "")


def _quoted(name: Any) -> str:
    return json.dumps(str(name)[:40], ensure_ascii=False)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no pixel value")


# ---------------------------------------------------------------------------------------------------------------------
# CSV and NumPy's format


def _from_csv(text: str) -> list[list[float]]:
    """One image a line, its pixels row by row, channels innermost."""
    rows = []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(value.replace("_", "?")) for value in line.split(",")])  # to Python 1_0 is ten
        except ValueError:
            raise BadRequest(f"line {number} is not numbers separated by commas; send pixels only, no header") from None
    return rows


def _from_npy(body: bytes) -> Any:
    """An array in NumPy's format, read without unpickling or allocating more than the body holds."""
    try:
        import numpy as np
    except ImportError:
        raise UnsupportedType(f"{NPY} is not supported by this image; send {JSON} or {CSV}") from None
    stream = BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, in_columns, dtype = read_header[version](stream)
        if dtype.hasobject or dtype.kind not in "uif":
            raise BadRequest(f"the array holds {dtype}; send numbers, uint8 or float32")
        values = np.frombuffer(body, dtype, offset=stream.tell())
        return values.reshape(shape, order="F" if in_columns else "C")
    except BadRequest:
        raise
    except Exception as error:  # NumPy raises a dozen types for a damaged header
        what = _signature(body)
        reason = f"it is {what}" if what and not what.startswith("an array") else str(error)[:200]
        raise BadRequest(f"the body is not an array in NumPy's .npy format ({reason})") from None


# ---------------------------------------------------------------------------------------------------------------------
# PNG and JPEG files


class _Pictures:
    """Decodes the PNG and JPEG files of one request, of exactly the model's size, where nothing is lost by it."""

    def __init__(self, input_shape: Callable[[], Shape], max_bytes: int) -> None:
        self._input_shape, self._max_bytes, self._decoded_bytes = input_shape, max_bytes, 0

    @staticmethod
    def is_one(value: Any) -> bool:
        """Whether a JSON value is a file in base64: TensorFlow Serving's ``{"b64": ...}``, a data URL, or its text."""
        if isinstance(value, str):
            return value.startswith(("data:image/", *BASE64))
        return isinstance(value, dict) and set(value) == {"b64"}

    def or_as_is(self, value: Any, path: str) -> Any:
        """The pixels of a file in base64, one after another; any other value as it is."""
        if not self.is_one(value):
            return value
        coded = value["b64"] if isinstance(value, dict) else value.split(",", 1)[-1]
        try:
            content = base64.b64decode(coded, validate=True) if isinstance(coded, str) else None
        except (binascii.Error, ValueError):
            content = None
        if content is None:
            raise BadRequest(f"{path} is not base64; send a PNG or JPEG file encoded so, without line breaks")
        return self.decode(content, path)

    def decode(self, content: bytes, path: str) -> list[int]:
        """Pixels of a file row by row, channels innermost; BadRequest names what the model cannot take."""
        if not content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
            what = (_signature(content) or "something else").split(";")[0]
            raise BadRequest(f"{path} should be a PNG or JPEG file; it is {what if content else 'empty'}")
        shape = tuple(self._input_shape())
        self._decoded_bytes += math.prod(shape)
        if self._decoded_bytes > self._max_bytes:
            raise TooLarge(f"the pixels of these files are more than {self._max_bytes:,} bytes; send fewer at once")
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError:
            raise UnsupportedType(
                f"{path} is a PNG or JPEG file, and this image has no Pillow to decode it; send its pixels"
            ) from None
        try:
            with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as picture:
                return list(_pixels(picture, shape, path))
        except BadRequest:
            raise
        except UnidentifiedImageError:  # whose message has an address in memory
            raise BadRequest(f"{path} is a damaged PNG or JPEG file (its head cannot be read)") from None
        except Exception as error:  # decoders raise a dozen types for a damaged file
            raise BadRequest(f"{path} is a damaged PNG or JPEG file ({str(error)[:100]})") from None


def _pixels(picture: Any, shape: Shape, path: str) -> bytes:
    """Pixels of an opened file as bytes; nothing is decoded of one that has another size."""
    from PIL import ImageOps

    height, width, channels = shape
    wanted = f"this model takes {shown_shape(shape)}"
    if channels not in (1, 3):
        raise BadRequest(f"{path} is a PNG or JPEG file; {wanted}: send arrays")
    other_size = f"{path} has {picture.height}×{picture.width} pixels; {wanted}: resize it as the training images were"
    if sorted(picture.size) != sorted((width, height)):
        raise BadRequest(other_size)
    if getattr(picture, "is_animated", False) and picture.format == "PNG":
        raise BadRequest(f"{path} is an animation; send one image")
    deep = any("16" in str(tile[-1]) for tile in picture.tile)  # Pillow keeps the high byte of 16 bits
    if deep or picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        mode = "16 bits" if deep else picture.mode
        raise BadRequest(f"{path} has pixels of type {mode}; save it as grey or RGB of 8 bits")
    picture = ImageOps.exif_transpose(picture)
    if picture.size != (width, height):
        raise BadRequest(other_size)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            raise BadRequest(f"{path} has transparent pixels; {wanted}: put it on a background")
    if picture.mode in ("1", "L", "LA"):
        return picture.convert("L" if channels == 1 else "RGB").tobytes()
    picture = picture.convert("RGB")
    if channels == 3:
        return picture.tobytes()
    red, green, blue = (band.tobytes() for band in picture.split())
    if not red == green == blue:
        raise BadRequest(f"{path} is in colour; {wanted}: convert it as the training images were")
    return red
