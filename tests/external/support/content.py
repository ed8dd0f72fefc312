"""Bytes that can be made again from a few words, so that a test needs to remember only their names."""

import hashlib
import random

KIB = 1024
MIB = 1024 * KIB

# Both sides of every border of the store that a body can lie on: inline bodies, write units, checksum blocks, chunks.
BOUNDARY_SIZES = [
    0, 1, 2, 4095, 4096, 4097, 65535, 65536, 65537, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, MIB - 1, MIB, MIB + 1,
    4 * MIB - 1, 4 * MIB + 1,
]

# Object keys that break servers which treat a key as a path, a C string, a number or a URL.
ODD_KEYS = [
    "plain", "with space", "  leading and trailing  ", "plus+plus", "per%cent", "per%2Fcent", "per%25cent", "a&b=c?d#e",
    "semi;colon,comma", "quote\"apostrophe'", "<tag>&amp;", "back\\slash", "tilde~star*", "colon:at@bang!", "[]{}|^`$()",
    "ünïcode/ключ/鍵", "emoji-\U0001f980", "e\u0301 decomposed", "\u00e9 composed", "\u202eright to left",
    ".", "..", "./x", "../x", "a/../b", "a/./b", "a//b", "//", "///", "/leading", "trailing/", "a", "a/b", "a/b/c",
    "UPPER", "upper", "tab\there", "line\nbreak", "return\rhere", "bell\x07", "escape\x1b", "delete\x7f", "nul\x00byte",
    "\x01", "\ufffd", "\uffff", "\U0010ffff", "0", "00", "-1", "1e309", "null", "x" * 1024, "é" * 512,
]


def body(name, length):
    """`length` bytes that depend on `name` alone."""
    return random.Random(f"{name}:{length}").randbytes(length)


def md5(data):
    """The hex MD5: what S3 uses as the entity tag of a plain object."""
    return hashlib.md5(data).hexdigest()


def composite(parts):
    """The entity tag of a multipart object with these part bodies."""
    return f"{hashlib.md5(b''.join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"


def first_difference(left, right):
    """For messages: where two byte strings part, without printing megabytes."""
    if left == right:
        return "equal"
    for index, (a, b) in enumerate(zip(left, right)):
        if a != b:
            return f"lengths {len(left)} and {len(right)}, first difference at {index}"
    return f"lengths {len(left)} and {len(right)}, one begins with the other"


def same(found, wanted):
    """Asserts that two byte strings are equal."""
    assert found == wanted, first_difference(found, wanted)
