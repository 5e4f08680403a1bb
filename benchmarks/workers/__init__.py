"""What pushing costs: the whole pipeline of a worker, beside the libraries under it alone."""
