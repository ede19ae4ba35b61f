"""A call: two legs, the pure controller between them, and the driver that carries out its effects."""
