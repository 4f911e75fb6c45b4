"""Where images come from: published data sets by their names, images of the user's own by their path."""
