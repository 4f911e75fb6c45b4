"""Tables to figures, a module for each stage; opens no file."""
