"""Components: what several resources are together. Their children are declared as values, so that a plan outlines them."""
