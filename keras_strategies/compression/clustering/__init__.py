"""Weight clustering: centroids, the constraint that trains them, and its report."""
