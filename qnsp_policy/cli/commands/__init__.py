"""One file per command; each imports its workflow when it runs, so that `--help` loads none of them."""
