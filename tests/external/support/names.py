"""Names of objects: every byte that S3 allows in them, and many of them.

A name is up to 1024 bytes of UTF-8. Every code point but the surrogates is allowed, so every byte but C0, C1 and F5 to FF
comes in some name.
"""

from support.content import ODD_KEYS

NAME_BYTES_MAX = 1024
# The first and last letters of each length of UTF-8, of each plane, and around what is no letter.
CORNERS = [0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFDD0, 0xFEFF, 0xFFFD] + [
    plane << 16 | low for plane in range(17) for low in (0, 1, 0xFFFE, 0xFFFF) if plane << 16 | low
]


def with_every_byte():
    """Each code point below 256 alone, first, last, in the middle and twice; each lead byte; each continuation byte."""
    names = []
    for point in range(256):
        letter = chr(point)
        names += [letter, f"every/{letter}", f"every/{letter}x", f"every/x{letter}", f"every/x{letter}y",
                  f"every/{letter}{letter}", f"every{letter}/z"]
    leads = [lead << 6 for lead in range(0x02, 0x20)] + [lead << 12 | 0x800 for lead in range(0x10)]
    leads += [lead << 18 | 0x10000 for lead in range(4)] + [0x100000]
    tails = [0x20000 | tail << 12 | tail << 6 | tail for tail in range(0x40)]
    for point in leads + tails + CORNERS:
        if not 0xD800 <= point < 0xE000:
            names.append(f"lead/{chr(point)}")
    return names


def that_servers_mistake():
    """Names that look like paths, queries, escapes or the end of something."""
    pieces = ["", ".", "..", "/", "//", "a", "+", "%", "%2F", "%00", "%zz", "?", "#", "&", "=", " ", "\\", "*", "\x00",
              "\xff"]
    names = [a + b for a in pieces for b in pieces] + [f"{a}/{b}/{c}" for a in pieces for b in pieces for c in "./+"]
    long = [letter * (NAME_BYTES_MAX // len(letter.encode("utf-8")))
            for letter in ("x", "/", ".", "%", " ", "+", "\x00", "\x01", "\x7f", "a/", "é", "\uffff", "\U0010ffff")]
    long += ["x" * (NAME_BYTES_MAX - 1), "x" * (NAME_BYTES_MAX - 1) + "y", "\x00" * (NAME_BYTES_MAX - 1) + "\x01"]
    return [name for name in names if name] + long


def odd():
    """All odd names once, in a fixed order."""
    return list(dict.fromkeys(ODD_KEYS + with_every_byte() + that_servers_mistake()))


def by_chance(chance):
    """One name of a random kind; may repeat."""
    kind = chance.randrange(5)
    if kind == 0:
        return f"photos/{chance.randrange(40):02}/{chance.randrange(10**9)}.jpg"
    if kind == 1:
        return chance.randbytes(8).hex()
    if kind == 2:
        return "/".join(str(chance.randrange(12)) for _ in range(chance.randrange(2, 9)))
    if kind == 3:
        return "".join(chr(chance.randrange(256)) for _ in range(chance.randrange(4, 24)))
    letters = []
    for _ in range(chance.randrange(2, 16)):
        point = chance.choice(CORNERS) if chance.random() < 0.1 else chance.randrange(0x110000)
        letters.append(chr(point if not 0xD800 <= point < 0xE000 else point - 0x800))
    return "".join(letters)


def many(count, chance):
    """`count` different names: the odd ones first, as far as there is room, then random ones."""
    names = dict.fromkeys(odd()[:count])
    while len(names) < count:
        names[by_chance(chance)] = None
    return list(names)
