"""Which backward passes of the sources have a spec, and what is known of them; nothing is imported to find out."""
