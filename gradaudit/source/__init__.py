"""Python source as text: where a function stands, the places of its parts, edits, and compiling what was edited."""
