"""Speed as ratios beside peers, in one run: `make bench`."""
