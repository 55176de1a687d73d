"""The engine: plans cases, audits them in worker processes, and tells whoever listens by typed events."""
