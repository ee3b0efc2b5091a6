"""Amazon EC2 as nodes see it: operating systems, zones, instance types."""
