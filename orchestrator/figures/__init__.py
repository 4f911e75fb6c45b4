"""What figures share: style, grids of images, animations; a stage's figures stand in its package. Opens no file."""
