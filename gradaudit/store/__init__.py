"""Results on disk: one SQLite file a project, to which every run adds."""
