"""The virtual tree: entries (metadata, owner, and where the bytes are) and the writers that serialise them."""
