"""Make the environment of this checkout: a virtual environment with the pinned packages, and hullkit itself.

Runs on a bare Python (standard library only). Two runs at once wait for each other; one that was killed is redone
from the start, because the copy of the lock file that says "ready" is written last.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=CHECKOUT
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        line = " ".join(str(part) for part in command)
        sys.exit(f"hullkit: setting up the environment failed; the command was: {line}")


def ready(environment: Path, lock: Path) -> bool:
    stamp = environment / lock.name
    return stamp.is_file() and stamp.read_bytes() == lock.read_bytes()


def install(environment: Path, lock: Path) -> None:
    uv = shutil.which("uv")
    python = environment / "bin" / "python"
    fresh = not (environment / "requirements.lock").is_file()
    for stamp in environment.glob("requirements*.lock"):
        stamp.unlink()
    if fresh:
        shutil.rmtree(environment, ignore_errors=True)
        if uv:
            run(uv, "venv", "--quiet", "--python", sys.executable, environment)
        else:
            run(sys.executable, "-m", "venv", environment)
    pip: list[str | Path]
    if uv:
        pip = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    run(*pip, "--require-hashes", "-r", lock)
    run(*pip, "--no-deps", "--no-build-isolation", "-e", CHECKOUT)


def main(environment: Path, dev: bool) -> None:
    locks = [CHECKOUT / "requirements.lock"] + ([CHECKOUT / "requirements-dev.lock"] if dev else [])
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.parent / (environment.name + ".lock"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if all(ready(environment, lock) for lock in locks):
            return
        print("hullkit: setting up its Python environment (once) ...", file=sys.stderr, flush=True)
        install(environment, locks[-1])
        for lock in reversed(locks):
            shutil.copyfile(lock, environment / lock.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), "dev" in sys.argv[2:])
