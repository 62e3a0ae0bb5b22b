"""What a component recipe (``component.yml``) may say: the one definition, as frozen structs.

See docs/components.md for the meaning in prose. Decoding, positions and JSON Schema come from ``hullkit.config``.
"""

from typing import Annotated, Literal

import msgspec

from hullkit.config.container import ImageConfig
from hullkit.config.definition import Definition, Doc, Short

Strings = tuple[str, ...]
_NAME = "^[a-z0-9][a-z0-9+.-]*$"
_ABSENT = "a name that ends in ? may be missing"
_PATH = "^[^/]"
_SAY_PATH = "a path without the leading /"
Mode = Annotated[str, Doc("Octal permissions, quoted.", pattern="^[0-7]{3,4}$", say='octal digits such as "0755"')]
RelativePath = Annotated[str, Doc("Path in the image, without the leading /.", pattern=_PATH, say=_SAY_PATH)]


class DebianSource(Definition, frozen=True, kw_only=True):
    """Packages of Debian, and what of them goes into the image. No maintainer script is run."""

    packages: Annotated[Strings, Doc("Packages to resolve, with all that they depend on.")]
    prune: Annotated[Strings, Doc("Packages not followed: those that only maintainer scripts need.")] = ()
    only: Annotated[
        Strings, Doc(f"Patterns of names: of the resolved packages only these are fetched; {_ABSENT}.")
    ] = ()
    keep: Annotated[
        Strings | None,
        Doc(f"Patterns of paths to keep; libraries that programs need are added. All when left out; {_ABSENT}."),
    ] = None
    drop: Annotated[Strings, Doc("Patterns of paths to leave out of what keep selects.")] = ()
    declared: Annotated[
        tuple[Literal["sysusers.d", "tmpfiles.d"], ...],
        Doc("What the packages declare in usr/lib/sysusers.d (accounts), tmpfiles.d (directories, files and links)."),
    ] = ()


class User(Definition, frozen=True, kw_only=True):
    """A line of /etc/passwd."""

    name: Annotated[str, Doc("Login name.", pattern="^[a-z_][a-z0-9_-]*$", say="lower case letters, digits, _ and -")]
    uid: Annotated[int, Doc("User id.", at_least=0, at_most=65535)]
    gid: Annotated[int | None, Doc("Group id; the same as uid when left out.", at_least=0, at_most=65535)] = None
    home: Annotated[str, Doc("Home directory.")] = "/"
    shell: Annotated[str, Doc("Login shell.")] = "/usr/sbin/nologin"
    gecos: Annotated[str, Doc("Full name or purpose.")] = ""


class Group(Definition, frozen=True, kw_only=True):
    """A line of /etc/group; users get a group of their own without being told."""

    name: Annotated[str, Doc("Name.", pattern="^[a-z_][a-z0-9_-]*$", say="lower case letters, digits, _ and -")]
    gid: Annotated[int, Doc("Group id.", at_least=0, at_most=65535)]
    members: Annotated[Strings, Doc("Login names of further members.")] = ()


class Directory(Definition, frozen=True, kw_only=True):
    """An empty directory: a mount point, or a place for data."""

    path: RelativePath
    mode: Mode = "0755"
    uid: Annotated[int, Doc("Owner.", at_least=0)] = 0
    gid: Annotated[int, Doc("Group.", at_least=0)] = 0


class RecipeFile(Definition, frozen=True, kw_only=True):
    """A file with the content written here, or of a file in the recipe's folder."""

    path: RelativePath
    contents: Annotated[str | None, Doc("Its content.")] = None
    source: Annotated[str | None, Doc("A file of the recipe's folder.", example="files/app.conf")] = None
    mode: Mode = "0644"
    uid: Annotated[int, Doc("Owner.", at_least=0)] = 0
    gid: Annotated[int, Doc("Group.", at_least=0)] = 0


class KernelSource(Definition, frozen=True, kw_only=True):
    """A kernel package: image and modules become two layers."""

    packages: Annotated[dict[str, str], Doc("Architecture to the package of its kernel.")]
    image: Annotated[str, Doc("Pattern of the path of the kernel's file.")] = "boot/vmlinu[xz]-*"
    profiles: Annotated[
        dict[str, Strings],
        Doc(f'Hardware profile to its modules, by name; "*" is all of them; {_ABSENT}. What they depend on is added.'),
    ]
    default: Annotated[str, Doc("The profile that is used when none is asked for.")]


class GoSource(Definition, frozen=True, kw_only=True):
    """Go programs, compiled without cgo from modules that go.mod and go.sum pin."""

    source: Annotated[
        str,
        Doc(
            "Directory of the recipe's folder with go.mod and go.sum; @guest/NAME is one of hullkit's own.",
            example="src",
        ),
    ]
    programs: Annotated[
        dict[str, str],
        Doc('Path in the image to the main package: "." is that of the directory, others are named by import path.'),
    ]
    tags: Annotated[Strings, Doc("Build tags.")] = ()


class BuildSource(Definition, frozen=True, kw_only=True):
    """Programs compiled by Debian's toolchain, offline, in a sandbox: from a source package or Go modules."""

    source: Annotated[
        str | None, Doc("The source package.", pattern=_NAME, say="lower case letters, digits, + . and -")
    ] = None
    modules: Annotated[
        str | None,
        Doc("Instead of source: a directory of the recipe's folder with go.mod and go.sum; Go is in the sandbox too."),
    ] = None
    tags: Annotated[Strings, Doc("Build tags, with modules.")] = ()
    patches: Annotated[
        bool, Doc("Apply Debian's patches; false: upstream's release as it is, and Debian's part is not fetched.")
    ] = True
    packages: Annotated[Strings, Doc("What it takes beside a C compiler, make and the tools of a shell script.")] = ()
    prune: Annotated[Strings, Doc("Packages of the toolchain not followed.")] = ()
    script: Annotated[
        str,
        Doc("Commands for sh -e, in the directory of the source.", example="./configure\nmake"),
    ]
    programs: Annotated[dict[str, str], Doc("Path in the image to the program's path in the directory of the source.")]
    instead: Annotated[str, Doc("The component to use where it cannot be built.")] = ""


class Version(Definition, frozen=True, kw_only=True):
    """Where the component's version comes from."""

    package: Annotated[str, Doc("The package, also a source package, whose version it is; a pattern.")] = ""
    component: Annotated[str, Doc("The component, one of the bases, whose version it is.")] = ""
    module: Annotated[str, Doc("The Go module, one of go.mod's, whose version it is.")] = ""
    hullkit: Annotated[bool, Doc("The version of hullkit.")] = False
    text: Annotated[str, Doc("The version itself.")] = ""


def version_from_text(text: str) -> Version:
    if not text:
        raise ValueError("a version must not be empty")
    return Version(text=text)


Role = Literal["layer", "kernel", "init", "runtime", "supervisor", "root", "dhcp-client", "onboot", "service"]


class RecipeSpec(Definition, frozen=True, kw_only=True):
    """A component."""

    name: Annotated[str, Doc("Name; that of its folder.", pattern=_NAME, say="lower case letters, digits, + . and -")]
    summary: Annotated[str, Doc("What it is for, in one line.")]
    licence: Annotated[str, Doc("SPDX expression of the licence.", example="GPL-2.0-only")]
    role: Annotated[Role, Doc("What it does in a system; layer: it is only a base of others.")]
    version: Annotated[
        Version, Short(str, version_from_text, description="the version"), Doc("Version of the component.")
    ]
    upstream: Annotated[
        str | None, Doc("Home page of the project.", pattern="^https?://", say="a http or https address")
    ] = None
    base: Annotated[Strings, Doc("Components whose layers lie below this one's, lowest first.")] = ()
    debian: Annotated[DebianSource | None, Doc("Packages of Debian.")] = None
    kernel: Annotated[KernelSource | None, Doc("A kernel of Debian.")] = None
    go: Annotated[GoSource | None, Doc("Programs in Go.")] = None
    build: Annotated[BuildSource | None, Doc("Programs built from a source package.")] = None
    guest: Annotated[Literal["init"] | None, Doc("hullkit's own init, as /init.")] = None
    copy: Annotated[dict[str, str], Doc("Files of the packages to put at another path: from, to.")] = msgspec.field(
        default_factory=dict
    )
    ca_bundle: Annotated[str | None, Doc("Path for all certificates of the package ca-certificates in one file.")] = (
        None
    )
    users: Annotated[tuple[User, ...], Doc("Users beside those of the bases.")] = ()
    groups: Annotated[tuple[Group, ...], Doc("Groups beside those of the bases.")] = ()
    dirs: Annotated[tuple[Directory, ...], Doc("Directories.")] = ()
    links: Annotated[dict[str, Strings], Doc("Symbolic links: the target, and the paths that point to it.")] = (
        msgspec.field(default_factory=dict)
    )
    files: Annotated[tuple[RecipeFile, ...], Doc("Files.")] = ()
    config: Annotated[ImageConfig | None, Doc("How to run it, unless the system says otherwise.")] = None
