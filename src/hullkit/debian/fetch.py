"""Fetching packages: in parallel, verified, each once into ``debian/pool/SHA256.deb`` (sources: ``.src``)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from hullkit.context import Context
from hullkit.debian.mirror import Mirror, find_mirror, snapshot_bases
from hullkit.debian.package import SOURCE, Package, checked
from hullkit.errors import NetworkError, NotFound
from hullkit.net import Http, OnBytes

_THREADS = 8


def pool_path(context: Context, package: Package) -> Path:
    suffix = ".src" if package.arch == SOURCE else ".deb"
    return context.cache.path("debian", "pool", package.sha256 + suffix)


class _Stopped(Exception):
    """Ends the other transfers once one has failed."""


def fetch(context: Context, packages: Iterable[Package], *, what: str = "") -> dict[str, Path]:
    """SHA-256 → the package's file in the cache. Opens no socket for those that are there. ``what`` they are for names
    the step: several may be under way.

    A package that the mirror no longer has is looked for in Debian's snapshot archive. Raises NotFound when that lacks
    it too, NetworkError, TrustError (size or digest), HostError (disk full).
    """
    wanted = {package.sha256: checked(package) for package in packages}
    files = {digest: pool_path(context, package) for digest, package in wanted.items()}
    missing = [package for digest, package in wanted.items() if not _present(files[digest], package)]
    if missing:
        _fetch_all(context, sorted(missing, key=lambda package: -package.size), what)
    return files


def _present(path: Path, package: Package) -> bool:
    try:
        return path.stat().st_size == package.size
    except FileNotFoundError:
        return False


def _fetch_all(context: Context, missing: list[Package], what: str) -> None:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    if context.offline:
        raise NetworkError(
            f"{missing[0]} is not in the cache ({len(missing)} packages are missing), and --offline forbids fetching",
            hint="run it once online",
        )
    http = Http(context)
    mirror = find_mirror(context, http)
    step = f"fetch {len(missing)} Debian package{'s' if len(missing) > 1 else ''}" + (f" of {what}" if what else "")
    total = sum(package.size for package in missing)
    done = 0
    mutex = threading.Lock()

    stopped = threading.Event()

    def on_bytes(count: int) -> None:
        nonlocal done
        if stopped.is_set():
            raise _Stopped
        with mutex:
            done += count
            context.bus.progress(step, done, total)

    with context.bus.step(step), ThreadPoolExecutor(min(_THREADS, max(1, context.jobs), len(missing))) as pool:
        jobs = [pool.submit(_fetch_one, context, http, mirror, package, on_bytes) for package in missing]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _urls(mirror: Mirror, package: Package) -> Iterator[str]:
    path = quote(package.path, safe="/+~:%")
    for base in (*mirror.bases(package.suite), *snapshot_bases(package.suite, package.time)):
        yield f"{base}/{path}"


def _fetch_one(context: Context, http: Http, mirror: Mirror, package: Package, on_bytes: OnBytes) -> None:
    final = pool_path(context, package)
    with context.cache.lock(f"deb {package.sha256[:2]}"):
        if _present(final, package):
            return
        tried = []
        for url in _urls(mirror, package):
            try:
                http.download(
                    url,
                    final,
                    expect_sha256=package.sha256,
                    expect_size=package.size,
                    on_bytes=on_bytes,
                )
                return
            except NotFound:
                tried.append(url)
            except NetworkError:
                # The snapshot archive is the last resort: where it cannot be reached the package is simply gone.
                if not tried:
                    raise
        raise NotFound(
            f"{package} is gone from {tried[0]} and from the snapshot archive", hint="make a new lock (hullkit lock)"
        )
