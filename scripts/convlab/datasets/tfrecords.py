"""Reading TFRecord files of ``tf.train.Example`` without TensorFlow, which not every environment of `prepare` has.

The formats: https://www.tensorflow.org/tutorials/load_data/tfrecord (records, their lengths and checksums),
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto (what is in one) and
https://protobuf.dev/programming-guides/encoding (how). The checksum of each record's length is checked, not that of
its content: an image that is damaged does not decode. Standard library only.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

Feature = list[bytes] | list[float] | list[int]

_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8


def _table() -> list[int]:
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        values.append(value)
    return values


_CRC = _table()


def masked_crc32c(data: bytes) -> int:
    """CRC-32C of some bytes, rotated and shifted as TFRecord files keep it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The records of a file, in its order. Raises ValueError where it is cut short or is something else."""
    with path.open("rb") as stream:
        while beginning := stream.read(12):
            if len(beginning) < 12:
                raise ValueError("it is cut short")
            length, crc = struct.unpack("<QI", beginning)
            if masked_crc32c(beginning[:8]) != crc:
                raise ValueError("the checksum of a record's length differs")
            record = stream.read(length)
            if len(record) < length or len(stream.read(4)) < 4:
                raise ValueError("it is cut short")
            yield record


def example(record: bytes) -> dict[str, Feature]:
    """The features of a ``tf.train.Example`` by name. Raises ValueError where the record is something else."""
    features: dict[str, Feature] = {}
    try:
        for _, message in _fields(record):
            for _, entry in _fields(message):
                pair = dict(_fields(entry))
                features[pair[1].decode("utf-8")] = _feature(pair.get(2, b""))
    except (IndexError, KeyError, AttributeError, TypeError, struct.error, UnicodeDecodeError):
        raise ValueError("a record is no tf.train.Example") from None
    return features


_BYTES, _FLOATS, _INTEGERS = 1, 2, 3


def _feature(message: bytes) -> Feature:
    for kind, values in _fields(message):
        numbers: list = []
        for _, value in _fields(values):
            if kind == _BYTES or not isinstance(value, bytes):
                numbers.append(value)
            elif kind == _FLOATS:
                numbers += struct.unpack(f"<{len(value) // 4}f", value)
            else:
                position = 0
                while position < len(value):
                    number, position = _varint(value, position)
                    numbers.append(number)
        if kind == _INTEGERS:
            numbers = [number - 2**64 if number >= 2**63 else number for number in numbers]
        return numbers
    return []


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Numbers and values of a message's fields."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(message, position)
        elif wire == 2:
            length, position = _varint(message, position)
            value = message[position : position + length]
            if len(value) < length:
                raise IndexError
            position += length
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value = message[position : position + length]
            position += length
        else:
            raise IndexError
        yield tag >> 3, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
