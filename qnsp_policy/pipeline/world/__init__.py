"""Stage 5, world: types of recorded state and of observation, and the bulk readers of each platform (`*_edge.py`)."""
