"""Posters as vectors: decoding, pretrained image networks, and the resumable pass over a catalogue."""
