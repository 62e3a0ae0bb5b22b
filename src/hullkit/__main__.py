"""``python -m hullkit``: the same as the ``hullkit`` command."""

from hullkit.cli import main

if __name__ == "__main__":
    main()
