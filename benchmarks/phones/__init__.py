"""Virtual phones on real hubs and workers: who is told too late, who is told twice, how long it takes."""
