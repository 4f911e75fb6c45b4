"""Pure PyTorch: the paper's data, models and training loops; knows nothing of Ray and of run folders."""
