"""What is true only now and must be seen by every worker: sessions taken and calls per second, in Valkey."""
