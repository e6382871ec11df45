"""Tables of users, CSV or Parquet: columns are found by name, and ids stay what they are."""
