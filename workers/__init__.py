"""Workers: deliver to phones beside the hubs, or inside the one hub that the embedded engine allows."""
