#!/usr/bin/env python3
"""Lets libraries run with an older C library: symbols that they ask for in a version newer than given are bound to an older version of the same symbol.

    older_symbols.py FILE... [--glibc 2.34] [--glibcxx 3.4.29]

A file that was linked on a newer system asks for the newest version of each symbol there. Where that system's library also exports the symbol in a version that is old enough
(glibc's `hypot` of 2.2.5 beside that of 2.35, which differs in how it reports errors), and the file knows that version's name, the file's version table gets that name in place of the newer one. The defaults
are what RHEL 9 has. A version that cannot be replaced for all symbols that ask for it stays as it is.

Files are ELF, 64 bits, little-endian. Layout: "Symbol Versioning" of the Linux Standard Base Core Specification (Verneed, Vernaux).
"""
import argparse
import pathlib
import re
import struct
import subprocess

# Section types of ELF.
SYMBOLS, VERSIONS_NEEDED, VERSION_OF_SYMBOLS = 11, 0x6FFFFFFE, 0x6FFFFFFF


class Library:
    """The parts of a file that say which symbols it asks for."""

    def __init__(self, path):
        self.path, self.data = path, bytearray(path.read_bytes())
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise SystemExit(f"{path} is no ELF file of 64 bits, little-endian")
        table, = struct.unpack_from("<Q", self.data, 40)
        size, count = struct.unpack_from("<HH", self.data, 58)
        # name, type, flags, address, offset, size, link, info, alignment, entry size
        sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, table + index * size) for index in range(count)]
        self.sections = {section[1]: section for section in sections}
        self.strings = sections[self.sections[SYMBOLS][6]][4] if SYMBOLS in self.sections else 0

    def text(self, offset):
        start = self.strings + offset
        return self.data[start : self.data.index(0, start)].decode()

    def needed(self):
        """(library, version, its number in this file, place of its entry, offset of its name) of each version that is asked for."""
        if VERSIONS_NEEDED not in self.sections:
            return
        place = self.sections[VERSIONS_NEEDED][4]
        while True:
            _, count, name, first, following = struct.unpack_from("<HHIII", self.data, place)
            entry = place + first
            for _ in range(count):
                _, _, number, version, step = struct.unpack_from("<IHHII", self.data, entry)
                yield self.text(name), self.text(version), number & 0x7FFF, entry, version
                entry += step
            if following == 0:
                return
            place += following

    def symbols(self, number):
        """The symbols that are asked for in the version of this number."""
        _, _, _, _, offset, size, *_ = self.sections[SYMBOLS]
        versions = self.sections[VERSION_OF_SYMBOLS][4]
        for index in range(size // 24):
            if struct.unpack_from("<H", self.data, versions + 2 * index)[0] & 0x7FFF == number:
                yield self.text(struct.unpack_from("<I", self.data, offset + 24 * index)[0])


def parts(version):
    """GLIBC_2.2.5 -> ("GLIBC", (2, 2, 5)); (name, None) where no number follows."""
    match = re.fullmatch(r"(\w+?)_([0-9.]+)", version)
    return (match[1], tuple(map(int, match[2].split(".")))) if match else (version, None)


def exported(path):
    """{symbol: versions} of what a library of this machine exports."""
    found = {}
    for line in subprocess.run(["readelf", "--dyn-syms", "--wide", path], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split()
        if len(words) >= 8 and words[6] != "UND" and "@" in words[7]:
            name, _, version = words[7].partition("@")
            found.setdefault(name, set()).add(version.lstrip("@"))
    return found


def loaded(path):
    """{name: path} of the libraries that a file loads here."""
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout, re.MULTILINE))


def elf_hash(name):
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value >> 24 & 0xF0)) & 0x0FFFFFFF
    return value


def make_older(path, limits):
    library = Library(path)
    needed = list(library.needed())
    changed = False
    for source, version, number, entry, _ in needed:
        family, numbers = parts(version)
        if family not in limits or numbers is None or numbers <= limits[family]:
            continue
        symbols = list(library.symbols(number))
        exports = exported(loaded(path)[source])
        # What the file has a name for, and all its symbols exist in.
        older = {
            name: offset for _, name, _, _, offset in needed
            if parts(name)[0] == family and parts(name)[1] <= limits[family] and all(name in exports.get(symbol, ()) for symbol in symbols)}
        if not older:
            print(f"{path.name}: {version} stays: {', '.join(symbols)}")
            continue
        name = max(older, key=lambda name: parts(name)[1])
        struct.pack_into("<I", library.data, entry, elf_hash(name))
        struct.pack_into("<I", library.data, entry + 8, older[name])
        changed = True
        print(f"{path.name}: {', '.join(symbols)} of {name} in place of {version}")
    if changed:
        path.write_bytes(library.data)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("files", nargs="+", type=pathlib.Path)
parser.add_argument("--glibc", default="2.34")
parser.add_argument("--glibcxx", default="3.4.29")
arguments = parser.parse_args()
for file in arguments.files:
    make_older(file, {"GLIBC": parts(f"GLIBC_{arguments.glibc}")[1], "GLIBCXX": parts(f"GLIBCXX_{arguments.glibcxx}")[1]})
