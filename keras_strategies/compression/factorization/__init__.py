"""Low-rank factorization of kernels."""
