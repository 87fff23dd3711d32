"""Base against tuned on the same held-out items, each figure with its uncertainty."""
