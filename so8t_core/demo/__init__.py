"""A small Japanese web site of our own, served on loopback; and what is true of it."""
