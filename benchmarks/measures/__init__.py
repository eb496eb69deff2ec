"""What is measured, one kind a file. Each returns plain lists of records, which go into the JSON as
they are."""
