"""One archive per file: each reader returns a cohort table and the flow of what was left out."""
