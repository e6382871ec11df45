"""From songs and plays to a served model: the stages of this program, run in order by one command.

Columns are guessed, ridge regressions on several frozen encoders are judged on held-out artists,
the best one is fitted again on all songs, and what is no better than the mean vector is refused.
"""
