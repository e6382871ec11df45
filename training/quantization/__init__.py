"""int8 and float16 graphs."""
