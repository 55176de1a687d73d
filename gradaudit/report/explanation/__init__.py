"""Writers of an explanation: one page of blocks for terminal and Markdown, the data as JSON, a plot."""
