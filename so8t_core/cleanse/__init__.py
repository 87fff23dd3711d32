"""From raw pages to a corpus, instruction pairs and safety data that can be defended."""
