"""Training: data, loss, optimiser, checkpoints that resume to the bit, and the Trainer."""
