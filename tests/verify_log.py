#!/usr/bin/env python3
"""Verifies a log of Interdict with nothing of Interdict: the standards, SHA-256 and Ed25519.

    verify_log.py FOLDER [VERIFIER_LINE]

FOLDER holds `checkpoint` and `tile/` (c2sp.org/tlog-tiles). Without a verifier line, the one in FOLDER/key is taken, which
shows only that the folder agrees with itself. Prints what was verified, or fails.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256


def sha256(octets):
    return hashlib.sha256(octets).digest()


def root(hashes):
    """RFC 6962, section 2.1."""
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + root(hashes[:half]) + root(hashes[half:]))


def open_note(note, line):
    """c2sp.org/signed-note."""
    name, key_id, key = line.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 1, "no Ed25519 key"
    assert sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "the line contradicts itself"
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for of in signatures.splitlines():
        dash, signer, signature = of.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if (dash, signer, signature[:4].hex()) == ("\u2014", name, key_id):
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            return text
    sys.exit("nobody known has signed the checkpoint")


def read(folder, level, index, width):
    """Returns a tile or bundle: the partial file, or the full one that has taken its place."""
    path = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        path = f"x{index % 1000:03}/{path}"
    full = folder / "tile" / level / path
    partial = full.with_name(full.name + ".p") / str(width)
    return partial.read_bytes() if width < WIDTH and partial.exists() else full.read_bytes()


def entries(bundle):
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        assert len(bundle) >= 2 + length, "a bundle is cut"
        yield bundle[2 : 2 + length]
        bundle = bundle[2 + length :]


def main():
    folder = pathlib.Path(sys.argv[1])
    line = sys.argv[2] if len(sys.argv) > 2 else (folder / "key").read_text().strip()
    text = open_note((folder / "checkpoint").read_text(), line)
    origin, size, signed = text.splitlines()[:3]
    size = int(size)
    assert origin == line.split("+")[0], "the key is of another log"
    hashes, kinds, pruned = [], {}, 0
    for index in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - index * WIDTH)
        tile = read(folder, "0", index, width)
        tile = [tile[at : at + 32] for at in range(0, 32 * width, 32)]
        try:
            bundle = list(entries(read(folder, "entries", index, width)))[:width]
        except FileNotFoundError:
            assert len(hashes) == pruned, "entries are missing in between"
            pruned += width
        else:
            assert [sha256(b"\x00" + entry) for entry in bundle] == tile, f"entries of bundle {index} are not those of its tile"
            for entry in bundle:
                kind = json.loads(entry)["kind"]
                kinds[kind] = kinds.get(kind, 0) + 1
        hashes += tile
    assert base64.b64encode(root(hashes)).decode() == signed, "the leaves are not those that were signed"
    print(json.dumps({"origin": origin, "leaves": size, "pruned": pruned, "kinds": kinds}, sort_keys=True))


main()
