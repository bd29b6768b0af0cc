"""The key-value pairs at the head of a .gguf file.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. gguf.GGUFReader reads them too, but
makes an object of every token, which takes seconds for a large vocabulary.
"""

import mmap
import struct

from user_error import UserError

# GGUF's number of a type -> struct's letter
SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def read_metadata(path):
    """All key-value pairs as a dict; arrays are lists."""
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return Cursor(data).metadata()
        except (struct.error, ValueError, KeyError) as failure:
            raise UserError(
                f"{path}: not a GGUF file of version 2 or 3, little-endian, or it is cut short"
            ) from failure


class Cursor:
    """A place in the file that each read moves on."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def metadata(self):
        magic, version, _, pairs = self.unpack("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("another format")
        return {self.string(): self.value(*self.unpack("I")) for _ in range(pairs)}

    def unpack(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.place)
        self.place += struct.calcsize("<" + layout)
        return values

    def string(self):
        (size,) = self.unpack("Q")
        if size > len(self.data) - self.place:
            raise ValueError("cut short")
        self.place += size
        return self.data[self.place - size : self.place].decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array(*self.unpack("IQ"))
        return self.unpack(SCALARS[kind])[0]

    def array(self, kind, size):
        if kind in SCALARS:
            return list(self.unpack(f"{size}{SCALARS[kind]}"))
        return [self.value(kind) for _ in range(size)]
