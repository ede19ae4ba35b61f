"""SQL of the panel, one module per resource: explicit columns in, dataclasses out."""
