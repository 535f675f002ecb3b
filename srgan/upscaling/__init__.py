"""From picture files to picture files."""
