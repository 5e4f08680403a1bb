"""Workers: deliver to phones beside the hub. On the embedded engine nothing runs here: see `hub worker`."""
