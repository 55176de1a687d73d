"""Reports: handlers of the engine's events, and the texts and files that they write."""
