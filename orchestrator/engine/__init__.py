"""What runs experiments: settings, trials, records, Ray, the run folder. Knows no experiment, no paper, no images."""
