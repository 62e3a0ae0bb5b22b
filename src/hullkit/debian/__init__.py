"""Debian packages: signed index → resolver → verified .deb → entries.

``archive.Archive.open(context, arch).resolve(roots)``, ``fetch.fetch(context, packages)``, ``deb.deb_entries(...)``.
"""
