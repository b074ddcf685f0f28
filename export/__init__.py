"""Checkpoint → bundle: writers, parity, gates. Nothing is published that did not keep the answers."""
