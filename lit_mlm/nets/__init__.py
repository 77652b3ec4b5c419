"""`transformers` nets: loading, heads, packing and sharding, without Lightning."""
