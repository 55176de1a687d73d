"""Static rules for code on a tape: where a gradient gets lost, seen in the syntax tree alone."""
