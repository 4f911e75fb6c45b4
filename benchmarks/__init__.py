"""Side-by-side measurements against what people would use instead; `python -m benchmarks` writes RESULTS.md."""
