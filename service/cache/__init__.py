"""Cache of answers, in the process or in Redis."""
