"""What answers each address, one module per resource."""
