"""What fills the terminal: the list of runs, one run, and the dialogs over them."""
