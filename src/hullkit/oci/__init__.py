"""OCI images: references, the layout store, image views, layers as entries."""
