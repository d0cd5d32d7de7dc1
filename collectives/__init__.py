"""Communicators, custom schedules, explanations and membership, over the native collectives."""
