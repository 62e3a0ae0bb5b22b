"""Fail when a Go file of this checkout is not formatted as gofmt (of the pinned toolchain) formats it."""

import subprocess
import sys
from pathlib import Path

import go

files = subprocess.run(["git", "ls-files", "*.go"], capture_output=True, text=True, check=True).stdout.split()
gofmt = Path(go.__file__).parent / "bin" / "gofmt"
done = subprocess.run([gofmt, "-l", *files], capture_output=True, text=True)
if done.stdout or done.returncode:
    sys.exit("not formatted as gofmt does it:\n" + done.stdout + done.stderr)
