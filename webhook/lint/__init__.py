"""What is sound in policies but probably not meant."""
