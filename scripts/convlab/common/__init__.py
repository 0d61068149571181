"""What every package shares: atomic writes, checksums, locks, command lines, provenance, translations."""
