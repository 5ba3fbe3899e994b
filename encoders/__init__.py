"""Encoders: whatever embeds sounds and sentences into one space, behind one interface."""
