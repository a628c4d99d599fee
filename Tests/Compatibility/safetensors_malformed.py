#!/usr/bin/env python3
"""Compares which safetensors files Cleave and the reference reader accept.

    safetensors_malformed.py BINARY [--written FILE ...]

Builds malformed, well-formed and doubtful files, opens each with the `safetensors` package and with
`BINARY inspect FILE` (exit status 0: accepted, 65: refused), and prints every verdict that is not the expected one.
Files given by --written were written by Cleave: the reference must read them and write the same bytes again.
Needs: pip install safetensors numpy
"""

import argparse
import ctypes
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors

ACCEPTED, REFUSED = "accepted", "refused"


def file_bytes(header, data=b"", length=None):
    """A file with the given header text; `length` lies about the header's size."""
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(dtype='"F32"', shape="[1]", offsets="[0,4]", data=b"1234", more=""):
    """A file with one tensor whose fields have the given JSON text."""
    return file_bytes(f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{more}}}}}', data)


def tensors(*entries, data=b""):
    """A file of U8 tensors, each (name, shape, begin, end)."""
    members = (
        f'{json.dumps(name)}:{{"dtype":"U8","shape":{shape},"data_offsets":[{begin},{end}]}}'
        for name, shape, begin, end in entries
    )
    return file_bytes("{" + ",".join(members) + "}", data)


EMPTY = dict(dtype='"U8"', shape="[0]", offsets="[0,0]", data=b"")

# Refused by both.
MALFORMED = {
    "empty file": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "header length 0": file_bytes(""),
    "header length past the end": file_bytes("{}", length=3),
    "header length 2^64 - 1": file_bytes("{}", length=2**64 - 1),
    "header length 2^63": file_bytes("{}", length=2**63),
    "header length over 100 MB": file_bytes("{}" + " " * 99_999_999),
    "header is invalid UTF-8 in a name": file_bytes(b'{"\xff":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "header is invalid UTF-8 in an ignored field": file_bytes(
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":"\xc3"}}'),
    "byte order mark": file_bytes("\ufeff{}"),
    "array instead of object": file_bytes("[]"),
    "object without end": file_bytes('{"a":'),
    "trailing comma": file_bytes('{"__metadata__":{},}'),
    "letter behind the object": file_bytes("{}x"),
    "zero byte behind the object": file_bytes("{}\0"),
    "unpaired surrogate": file_bytes('{"__metadata__":{"a":"\\ud800"}}'),
    "control character in a string": file_bytes('{"__metadata__":{"a":"\x01"}}'),
    "unknown escape": file_bytes('{"__metadata__":{"a":"\\x"}}'),
    "NaN": tensor(**EMPTY, more=',"x":NaN'),
    "number beyond double range": tensor(**EMPTY, more=',"x":1e999'),
    "nesting too deep": tensor(**EMPTY, more=',"x":' + "[" * 126 + "]" * 126),
    "dtype given twice": file_bytes('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "metadata given twice": file_bytes('{"__metadata__":{},"__metadata__":{}}'),
    "metadata with a number": file_bytes('{"__metadata__":{"a":1}}'),
    "metadata with null": file_bytes('{"__metadata__":{"a":null}}'),
    "metadata as array": file_bytes('{"__metadata__":[]}'),
    "tensor is null": file_bytes('{"a":null}'),
    "tensor is text": file_bytes('{"a":"F32"}'),
    "no dtype": file_bytes('{"a":{"shape":[0],"data_offsets":[0,0]}}'),
    "no shape": file_bytes('{"a":{"dtype":"U8","data_offsets":[0,0]}}'),
    "no data_offsets": file_bytes('{"a":{"dtype":"U8","shape":[0]}}'),
    "unknown dtype": tensor(dtype='"F31"'),
    "dtype in small letters": tensor(dtype='"f32"'),
    "dtype is a number": tensor(dtype="32"),
    "negative dimension": tensor(shape="[-1]"),
    "dimension minus zero": tensor(shape="[-0]", offsets="[0,0]", data=b""),
    "fractional dimension": tensor(shape="[1.0]"),
    "dimension with exponent": tensor(shape="[1e0]"),
    "dimension with leading zero": tensor(shape="[01]"),
    "dimension 2^64": tensor(shape="[0,18446744073709551616]", offsets="[0,0]", data=b""),
    "dimension as text": tensor(shape='["1"]'),
    "shape null": tensor(shape="null"),
    "shape product overflows": tensor(shape="[4294967296,4294967296]"),
    "shape product overflows before a 0": tensor(shape="[4294967296,4294967296,0]", offsets="[0,0]", data=b""),
    "byte size overflows": tensor(shape="[2305843009213693952]"),
    "one offset": tensor(offsets="[0]"),
    "three offsets": tensor(offsets="[0,4,4]"),
    "negative offset": tensor(offsets="[-4,0]"),
    "end before begin": tensor(offsets="[4,0]"),
    "span larger than shape": tensor(offsets="[0,8]", data=b"12345678"),
    "span smaller than shape": tensor(offsets="[0,2]", data=b"12"),
    "packed elements in half a byte": tensor(dtype='"F4"', shape="[3]", offsets="[0,2]", data=b"12"),
    "hole at the start": tensors(("a", [1], 1, 2), data=b"12"),
    "hole between tensors": tensors(("a", [1], 0, 1), ("b", [1], 2, 3), data=b"123"),
    "overlap": tensors(("a", [2], 0, 2), ("b", [2], 1, 3), data=b"123"),
    "same bytes for two tensors": tensors(("a", [2], 0, 2), ("b", [2], 0, 2), data=b"12"),
    "empty tensor past the end": tensors(("a", [1], 0, 1), ("b", [0], 2, 2), data=b"1"),
    "data truncated": tensor(data=b"123"),
    "data missing": tensor(data=b""),
    "data trailing": tensor(data=b"12345"),
    "data without tensors": file_bytes("{}", b"1"),
}

# Accepted by both.
WELL_FORMED = {
    "no tensors": file_bytes("{}"),
    "one tensor": tensor(),
    "padding behind the header": file_bytes("{}      "),
    "white space everywhere": file_bytes('{ "a" :\n{"dtype":\t"U8", "shape" : [ 0 ] , "data_offsets":[0 ,0]}\r\n}'),
    "metadata": file_bytes('{"__metadata__":{"format":"pt","":""}}'),
    "metadata null": file_bytes('{"__metadata__":null}'),
    "scalar": tensor(shape="[]"),
    "empty tensor": tensor(**EMPTY),
    "empty tensors between others": tensors(("a", [0], 0, 0), ("b", [1], 0, 1), ("c", [4, 0], 1, 1), data=b"1"),
    "data in another order than names": tensors(("a", [1], 1, 2), ("b", [1], 0, 1), data=b"12"),
    "header of odd length, data unaligned": file_bytes(
        '{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}} ', b"12345678"),
    "unknown field": tensor(more=',"x":[1.5e-3,true,null,{"y":"z"}]'),
    "nesting just allowed": tensor(**EMPTY, more=',"x":' + "[" * 125 + "]" * 125),
    "escapes in names and keys": file_bytes(
        '{"\\u0061\\ud83d\\ude00\\n":{"\\u0064type":"\\u0055\\u0038","shape":[0],"data_offsets":[0,0]}}'),
    "names in other scripts": tensors(("größe", [1], 0, 1), ("重み", [1], 1, 2), data=b"12"),
    "empty name": tensors(("", [1], 0, 1), data=b"1"),
    "zero character in a name": tensors(("a\0b", [1], 0, 1), data=b"1"),
    "large dimension beside a 0": tensor(shape="[0,288230376151711743]", offsets="[0,0]", data=b""),
    "10,000 tensors": tensors(*((f"t{i}", [1], i, i + 1) for i in range(10_000)), data=bytes(10_000)),
    "header of 99 MB": file_bytes("{}" + " " * 99_000_000),
} | {
    f"dtype {name}": tensor(dtype=f'"{name}"', shape="[8]", offsets=f"[0,{bits}]", data=bytes(bits))
    for bits, names in {
        4: "F4", 6: "F6_E2M3 F6_E3M2", 8: "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
        16: "I16 U16 F16 BF16", 32: "I32 U32 F32", 64: "C64 F64 I64 U64",
    }.items()
    for name in names.split()
}

# Accepted by the reference, refused by Cleave on purpose: see SafetensorsHeader.
STRICTER = {
    "tensor given twice": tensors(("a", [1], 0, 1), ("a", [1], 0, 1), data=b"1"),
    "metadata key given twice": file_bytes('{"__metadata__":{"a":"1","a":"2"}}'),
    "ignored key given twice": tensor(**EMPTY, more=',"x":1,"x":2'),
    "names equal up to normalisation": tensors(("\u00e9", [1], 0, 1), ("e\u0301", [1], 1, 2), data=b"12"),
    "white space before the header": file_bytes(" {}"),
    "tensor as array": file_bytes('{"a":["U8",[0],[0,0]]}'),
    "dtype as object": tensor(dtype='{"U8":null}', shape="[0]", offsets="[0,0]", data=b""),
    "dimension 2^63": tensor(shape="[0,9223372036854775808]", offsets="[0,0]", data=b""),
}


def reference_verdict(path, content):
    """The verdict of both entrances of the reference, which must agree."""
    verdicts = set()
    for read in (lambda: safetensors.deserialize(content), lambda: safetensors.safe_open(path, "np").keys()):
        try:
            read()
            verdicts.add(ACCEPTED)
        except (safetensors.SafetensorError, OSError, ValueError):
            verdicts.add(REFUSED)
    return verdicts.pop() if len(verdicts) == 1 else "of two minds"


def cleave_verdict(binary, path):
    run = subprocess.run([binary, "inspect", path], capture_output=True, text=True, timeout=60)
    verdict = {0: ACCEPTED, 65: REFUSED}.get(run.returncode, f"ended with {run.returncode}")
    if verdict == REFUSED and str(path) not in run.stderr:
        verdict = "refused without naming the file"
    return verdict, run.stderr.strip()


# What the reference's writer calls each dtype; it cannot write the six-bit ones, and packs F4 by other rules.
NAMES = {
    "BOOL": "bool", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}, **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def check_written(path):
    """Reads a file with the reference, writes it again, and returns what differs, or None."""
    content = path.read_bytes()
    header_end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:header_end])
    metadata = header.pop("__metadata__", None)
    specs, buffers = {}, []
    for name, view in safetensors.deserialize(content):
        buffers.append(ctypes.create_string_buffer(bytes(view["data"]), max(1, len(view["data"]))))
        specs[name] = safetensors.TensorSpec(
            dtype=NAMES[view["dtype"]], shape=view["shape"],
            data_ptr=ctypes.addressof(buffers[-1]), data_len=len(view["data"]))
    # The reference writes metadata in a random order, so that only files with one entry at most compare whole.
    if metadata and len(metadata) > 1:
        rewritten = safetensors.serialize(specs, None)
        rewritten_end = 8 + struct.unpack("<Q", rewritten[:8])[0]
        same = json.loads(rewritten[8:rewritten_end]) == header and rewritten[rewritten_end:] == content[header_end:]
    else:
        same = safetensors.serialize(specs, metadata) == content
    return None if same else "the reference writes other bytes"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the cleave command")
    parser.add_argument("--written", nargs="*", type=Path, default=[], help="files written by Cleave")
    parser.add_argument("--verbose", action="store_true", help="print every file's verdict and message")
    arguments = parser.parse_args()

    failures = 0
    groups = [(MALFORMED, REFUSED, REFUSED), (WELL_FORMED, ACCEPTED, ACCEPTED), (STRICTER, ACCEPTED, REFUSED)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.safetensors"
        for files, of_reference, of_cleave in groups:
            for description, content in files.items():
                path.write_bytes(content)
                reference = reference_verdict(path, content)
                cleave, message = cleave_verdict(arguments.binary, path)
                good = reference == of_reference and cleave == of_cleave
                failures += not good
                if arguments.verbose or not good:
                    mark = "ok  " if good else "FAIL"
                    print(f"{mark} {description}: reference {reference}, cleave {cleave} {message}")
        path.unlink()
        missing = subprocess.run([arguments.binary, "inspect", path], capture_output=True).returncode
        if missing != 66:
            failures += 1
            print(f"FAIL missing file: cleave ended with {missing} instead of 66")
    for path in arguments.written:
        if difference := check_written(path):
            failures += 1
            print(f"FAIL {path}: {difference}")

    print(
        f"safetensors {safetensors.__version__}: {len(MALFORMED)} malformed, {len(WELL_FORMED)} well-formed, "
        f"{len(STRICTER)} refused by Cleave alone, {len(arguments.written)} rewritten; {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
