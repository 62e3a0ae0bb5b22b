"""A configuration and its images become one system: segments of entries, ready for any output format."""
