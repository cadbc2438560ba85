"""Ways in which a root key is not the one that is wanted, or not there."""

import base64
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from webapp.vault import RootKey, create_root_key, read_root_key


@dataclass
class Place:
    """Where the root key is: the file, another installation's key, and what the setting names."""

    file: Path
    another: Path
    named: Path
    chance: random.Random

    def write(self, content: bytes, mode: int = 0o400) -> None:
        """Put this in the file's place."""
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(content)
        self.file.chmod(mode)

    @property
    def whole(self) -> bytes:
        """The file as it should be."""
        return self.file.read_bytes()


Wrong = Callable[[Place], RootKey | None]
"""Does it; returns the key that is found there, where one is."""


def missing(place: Place) -> None:
    place.file.unlink()


def folder_missing(place: Place) -> None:
    place.file.unlink()
    place.file.parent.rmdir()


def empty(place: Place) -> None:
    place.write(b"")


def truncated(place: Place) -> None:
    place.write(place.whole[: place.chance.randrange(1, len(place.whole) - 2)])


def beginning_cut(place: Place) -> None:
    place.write(place.whole[place.chance.randrange(1, 20) :])


def another_key(place: Place) -> RootKey:
    place.file.unlink()
    return create_root_key(place.file)


def another_installations(place: Place) -> RootKey:
    place.write(place.another.read_bytes())
    return read_root_key(place.file)


def another_one_named(place: Place) -> RootKey:
    place.named = place.another
    return read_root_key(place.another)


def link_to_another(place: Place) -> RootKey:
    place.file.unlink()
    place.file.symlink_to(place.another)
    return read_root_key(place.file)


def dangling_link(place: Place) -> None:
    place.file.unlink()
    place.file.symlink_to(place.file.parent / "nowhere")


def link_to_itself(place: Place) -> None:
    place.file.unlink()
    place.file.symlink_to(place.file)


def directory(place: Place) -> None:
    place.file.unlink()
    place.file.mkdir()


def folder_named(place: Place) -> None:
    place.named = place.file.parent


def pipe(place: Place) -> None:
    place.file.unlink()
    os.mkfifo(place.file, 0o400)


def below_a_file(place: Place) -> None:
    place.named = place.file / "root.key"


def name_too_long(place: Place) -> None:
    place.named = place.file.parent / ("k" * 300)


def device(place: Place) -> None:
    place.named = Path("/dev/null")


def for_all_to_read(place: Place) -> None:
    place.file.chmod(0o444)


def for_the_group_to_read(place: Place) -> None:
    place.file.chmod(0o440)


def for_all_to_write(place: Place) -> None:
    place.file.chmod(0o602)


def flipped(place: Place, first: int, last: int | None) -> None:
    changed = bytearray(place.whole.rstrip())
    at = place.chance.choice(range(len(changed))[first:last])
    changed[at] ^= 1 << place.chance.randrange(7)
    place.write(bytes(changed) + b"\n")


def flipped_in_the_key(place: Place) -> None:
    flipped(place, 6, -9)


def flipped_in_the_checksum(place: Place) -> None:
    flipped(place, -8, None)


def flipped_in_the_prefix(place: Place) -> None:
    flipped(place, 0, 6)


def last_bits_of_the_key(place: Place) -> None:
    """43 characters of base64 hold two bits more than 256: those that nobody reads."""
    line = place.whole.strip().decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = alphabet[alphabet.index(line[-10]) ^ place.chance.randint(1, 3)]
    place.write(f"{line[:-10]}{changed}{line[-9:]}\n".encode())


def two_swapped(place: Place) -> None:
    changed = bytearray(place.whole)
    at = next(at for at in range(place.chance.randrange(6, 30), len(changed)) if changed[at] != changed[at + 1])
    changed[at], changed[at + 1] = changed[at + 1], changed[at]
    place.write(bytes(changed))


def anothers_checksum(place: Place) -> None:
    place.write(place.whole.strip()[:-8] + place.another.read_bytes().strip()[-8:])


def anothers_half(place: Place) -> None:
    place.write(place.whole[:28] + place.another.read_bytes()[28:])


def twice(place: Place) -> None:
    place.write(place.whole * 2)


def more_behind_it(place: Place) -> None:
    place.write(place.whole + b"and more\n")


def in_upper_case(place: Place) -> None:
    place.write(place.whole.upper())


def in_utf_16(place: Place) -> None:
    place.write(place.whole.decode().encode("utf-16"))


def bare_bytes(place: Place) -> None:
    place.write(base64.urlsafe_b64decode(place.whole[6:49] + b"="))


def in_hex(place: Place) -> None:
    place.write(base64.urlsafe_b64decode(place.whole[6:49] + b"=").hex().encode())


def zeros(place: Place) -> None:
    place.write(bytes(1024 * 1024))


def not_ascii(place: Place) -> None:
    place.write(place.whole.replace(b"_", "–".encode(), 1))


_WRONG: tuple[Wrong, ...] = (
    missing, another_key, truncated, flipped_in_the_key, directory, another_installations, for_all_to_read, dangling_link, empty,
    folder_missing, beginning_cut, another_one_named, link_to_another, link_to_itself, folder_named, pipe, below_a_file, name_too_long,
    device, for_the_group_to_read, for_all_to_write, flipped_in_the_checksum, flipped_in_the_prefix, last_bits_of_the_key, two_swapped,
    anothers_checksum, anothers_half, twice, more_behind_it, in_upper_case, in_utf_16, bare_bytes, in_hex, zeros, not_ascii,
)  # fmt: skip

WRONG: Mapping[str, Wrong] = {wrong.__name__.replace("_", " "): wrong for wrong in _WRONG}
"""Those that matter most come first: short forms take the first few."""
