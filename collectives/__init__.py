"""Communicators, custom schedules, explanations and group membership, over the native collectives."""
