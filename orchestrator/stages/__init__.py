"""One file per experiment of the paper; each says which tables it reads and which it writes."""
