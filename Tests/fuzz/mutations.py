"""Files that are damaged at random: bytes, JSON in headers, and arrays under a digest that fits."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from copy import deepcopy
from typing import Any

import numpy as np
import safetensors.numpy

#: Values that stand where others are expected.
ODD: list[Any] = [
    *(None, True, False, "", "x", "\x1b]0;t\x07", "\ud800", "__metadata__", "../w", "a\0b", "$x^$"),
    *(0, 1, -1, 2, 31, 255, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64),
    *(10**30, 10**400, 0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan")),
    *([], [0], [1] * 70, [2**40, 2**40], [0, 2**40, 2**40], {}, {"a": 1}, [[]], ["a"]),
]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes that were flipped, overwritten, inserted, left out, repeated or cut off."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        size = len(data)
        at = int(rng.integers(0, size + 1))
        length = int(rng.integers(1, 2 + min(64, size - at) if rng.random() < 0.8 else size + 2))
        match int(rng.integers(0, 8)):
            case 0 if at < size:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[at : at + length] = rng.bytes(min(length, size - at))
            case 2:
                data[at:at] = rng.bytes(length)
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                del data[at:]
            case 6:
                number = int(rng.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 10**8, 2**40]))
                data[at : at + 8] = struct.pack(str(rng.choice(["<Q", ">Q"])), number)
            case _:
                data[:8] = struct.pack("<Q", int(rng.integers(0, 2 * size + 2)))
    return bytes(data)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container in a JSON value, with each of its keys or positions."""
    found = []
    left = [value]
    while left:
        one = left.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            found.append((one, key))
            if isinstance(one[key], (dict, list)):
                left.append(one[key])
    return found


def bent(value: Any, rng: np.random.Generator) -> None:
    """Change a few entries of a JSON value in place."""
    for _ in range(int(rng.integers(1, 4))):
        inside = places(value)
        if not inside:
            return
        container, key = inside[int(rng.integers(0, len(inside)))]
        other, place = inside[int(rng.integers(0, len(inside)))]
        odd = deepcopy(ODD[int(rng.integers(0, len(ODD)))])
        match int(rng.integers(0, 6)):
            case 0 | 1:
                container[key] = odd
            case 2 if type(container[key]) is int:
                container[key] += int(rng.integers(-3, 4))
            case 3:
                container[key] = deepcopy(other[place])
            case 4:
                del container[key]
            case _ if isinstance(container, dict):
                container[f"{key}{'' if rng.random() < 0.5 else odd!r}"] = odd
            case _:
                container.append(odd)


def text_of(value: Any, rng: np.random.Generator) -> str:
    """JSON, now and then with a key twice, or nested without end."""
    text = json.dumps(value)
    draw = rng.random()
    if draw < 0.02 and text.startswith("{"):
        return f'{{"__metadata__": {{}}, {text[1:]}'
    if draw < 0.04 and text.startswith("{") and len(text) > 2:
        return text[:-1] + ", " + text[1:]
    if draw < 0.05:
        return text[: len(text) // 2] + "[" * 60_000 + text[len(text) // 2 :]
    if draw < 0.06:
        return '{"a":' * 60_000
    return text


def header_and_data(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and all that follows it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def other_header(content: bytes, rng: np.random.Generator) -> bytes:
    """The file with another header."""
    header, data = header_and_data(content)
    bent(header, rng)
    text = text_of(header, rng).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


def resealed(content: bytes, name: str, rng: np.random.Generator) -> bytes:
    """A file of swiftforce with other arrays or another description, under a digest that fits."""
    header, _ = header_and_data(content)
    arrays = safetensors.numpy.load(content)
    about = json.loads(json.loads(header["__metadata__"][name])["about"])
    if rng.random() < 0.8:
        bent(about, rng)
    if rng.random() < 0.4 and arrays:
        _other_array(arrays, rng)
    text = text_of(about, rng)
    total = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for entry in sorted(arrays):
        total.update(f"{entry} {arrays[entry].dtype} {arrays[entry].shape}".encode())
        total.update(arrays[entry].tobytes())
    envelope = json.dumps({"about": text, "digest": total.hexdigest()})
    return safetensors.numpy.save(arrays, {name: envelope})


def _other_array(arrays: dict[str, Any], rng: np.random.Generator) -> None:
    name = str(rng.choice(sorted(arrays)))
    array = arrays[name]
    match int(rng.integers(0, 6)):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = array.astype(str(rng.choice(["i8", "f4", "u1", "u8", "f2", "?"])))
        case 2:
            arrays[name] = array.reshape(-1)[: int(rng.integers(0, array.size + 1))].copy()
        case 3:
            arrays[name] = np.concatenate([array, array])
        case 4:
            flat = array.reshape(-1).copy()
            if flat.size:
                flat[int(rng.integers(0, flat.size))] += 1
            arrays[name] = flat.reshape(array.shape)
        case _:
            arrays[f"{name}0"] = array


def zipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Damaged before or after it was compressed."""
    if rng.random() < 0.5:
        return gzip.compress(damaged(content, rng), 1)
    return damaged(gzip.compress(content, 1), rng)
