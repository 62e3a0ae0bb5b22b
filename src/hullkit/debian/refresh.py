"""Asking the mirror for the signed indexes: InRelease, then Packages by its hash, into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hullkit.context import DEBIAN_ARCH, Context
from hullkit.debian.index import build_index
from hullkit.debian.keys import verify_signed_text
from hullkit.debian.mirror import find_mirror, is_security
from hullkit.debian.package import SOURCE
from hullkit.debian.release import Release, check_release, parse_release
from hullkit.debian.state import State, SuiteState, index_path, refuse_older
from hullkit.errors import HullError, NotFound, TrustError
from hullkit.net import Http
from hullkit.tree.decompress import decompress
from hullkit.tree.entry import FileSlice

COMPONENT = "main"
_RELEASE_MAX = 4 << 20
_COMPRESSED_MAX = 256 << 20
_PACKAGES_MAX = 1 << 30
#: an index that no run has opened for so long (seconds) is removed
_UNUSED = 14 * 24 * 3600


def refresh(context: Context, arch: str, suites: tuple[str, ...], unverified: bool) -> State:
    """The present state of an archive; its indexes are in the cache afterwards.

    ``unverified``: an index that does not match its Release is used all the same, with a warning. Raises NetworkError,
    NotFound (suite or architecture), TrustError (signature, date, suite, digest).
    """
    http = Http(context)
    found = []
    step = f"Debian index for {arch}"
    with context.bus.step(step):
        mirror = find_mirror(context, http)
        for suite in suites:
            base, release = _release(context, http, mirror.bases(suite), suite)
            found.append(_suite(_Fetcher(context, http, base, suite, step), release, arch, unverified))
    _forget_unused(context, {suite.index for suite in found})
    return State(arch, int(time.time()), tuple(found))


def _release(context: Context, http: Http, bases: tuple[str, ...], suite: str) -> tuple[str, Release]:
    """The verified Release of a suite, from the first base that has it."""
    missing: HullError | None = None
    for base in bases:
        url = f"{base}/dists/{suite}/InRelease"
        try:
            data = http.get(url, max_size=_RELEASE_MAX)
        except NotFound as error:
            missing = missing or error
            continue
        release = parse_release(verify_signed_text(data, url), url)
        check_release(release, suite, time.time(), url)
        refuse_older(context, suite, release.date, url)
        return base, release
    hint = "choose a mirror that has it (--debian-mirror)"
    if is_security(suite):
        hint = "set HULLKIT_DEBIAN_SECURITY_MIRROR to the base URL of Debian's security archive"
    raise NotFound(f"the suite {suite} is not at {' nor '.join(bases)}", hint=hint) from missing


@dataclass(frozen=True, slots=True)
class _Fetcher:
    """What the fetching of one suite's index needs to know."""

    context: Context
    http: Http
    base: str
    suite: str
    step: str


def _suite(fetcher: _Fetcher, release: Release, arch: str, unverified: bool) -> SuiteState:
    suite, base = fetcher.suite, fetcher.base
    below = f"{COMPONENT}/source/Sources" if arch == SOURCE else f"{COMPONENT}/binary-{arch}/Packages"
    suffix = next((end for end in (".xz", ".gz", "") if below + end in release.files), None)
    if suffix is None:
        raise NotFound(f"{suite} at {base} has no packages for {arch}")
    plain = release.files.get(below, ("", 0))[0]
    verified = True
    if not plain or not index_path(fetcher.context, plain).is_dir():
        try:
            plain = _fetch(fetcher, below + suffix, release)
        except (TrustError, NotFound) as error:
            if not unverified:
                hint = "a mirror in mid-sync? Try later or another one"
                if name := next((name for name, debian in DEBIAN_ARCH.items() if debian == arch), None):
                    hint += f", or --allow-unverified-index {name}"
                raise type(error)(f"the index of {suite} for {arch}: {error.message}", hint=hint) from error
            verified = False
            plain = _fetch(fetcher, below + suffix, None)
    return SuiteState(suite, base, release.date, release.valid_until, plain, verified)


def _fetch(fetcher: _Fetcher, path: str, release: Release | None) -> str:
    """Fetch a Packages file and make its index; without ``release`` unverified. Returns the uncompressed digest."""
    digest, size = release.files[path] if release else (None, None)
    root = f"{fetcher.base}/dists/{fetcher.suite}"
    urls = [f"{root}/{path}"]
    if release and release.by_hash:
        urls.insert(0, f"{root}/{os.path.dirname(path)}/by-hash/SHA256/{digest}")
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        fetcher.context.bus.progress(fetcher.step, done, size or 0)

    with fetcher.context.cache.temp_dir() as work:
        packed = work / "packed"
        for url in urls:
            try:
                fetcher.http.download(
                    url,
                    packed,
                    expect_sha256=digest,
                    expect_size=size,
                    max_size=_COMPRESSED_MAX,
                    on_bytes=on_bytes,
                )
                break
            except NotFound:
                if url == urls[-1]:
                    raise
        expected = release.files.get(os.path.splitext(path)[0]) if release else None
        return _make_index(fetcher.context, work, packed, path, expected)


def _make_index(context: Context, work: Path, packed: Path, path: str, expected: tuple[str, int] | None) -> str:
    seen = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        kind = os.path.splitext(path)[1].lstrip(".")
        blocks = FileSlice(packed, 0, packed.stat().st_size).chunks()
        for piece in decompress(blocks, kind, max_size=_PACKAGES_MAX, what=path):
            seen.update(piece)
            yield piece

    made = work / "index"
    made.mkdir()
    try:
        build_index(hashed(), made)
    except ValueError as error:
        raise TrustError(f"{path}: not a package index: {error}") from error
    digest = seen.hexdigest()
    if expected is not None and digest != expected[0]:
        raise TrustError(f"{path}: its uncompressed SHA-256 is {digest}, it must be {expected[0]}")
    context.cache.publish(made, index_path(context, digest))
    return digest


def _forget_unused(context: Context, used: set[str]) -> None:
    """Remove indexes that were replaced long ago (``Archive`` touches those it opens)."""
    for directory in index_path(context, "x").parent.iterdir():
        if directory.name not in used and time.time() - directory.stat().st_mtime > _UNUSED:
            shutil.rmtree(directory, ignore_errors=True)
