"""One package per experiment of the paper; in each its settings, presets, trials, training, results and figures."""
