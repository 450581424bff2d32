"""Decisions: (view of the index, what is asked, what is staged) → Intent, or Problem. No I/O but reading
the view.
"""
