"""Leaderboard: every encoder on every task, with the same probes, folds and seeds.

An *entry* is a named input of probes, stated in a JSON file (`entries`): one output of a bundle,
of the same network with random weights, mel statistics, or several of them concatenated. A *task*
is a folder of `dataset`, or who listens to unseen artists (`tasks`). Each entry states which tasks
its weights have heard: there it is judged by its encoders of folds, or not at all. A *cell* is one
entry on one fold of one task with one seed: one results file, so that a stopped run goes on
(`grid`, `cells`). The probe is one recipe for all, its regularization chosen within the training
part. The cost of an entry is counted and timed from its graphs (`cost`). `figures` gathers cells
and costs into one JSON file, from which the table (`page`) and the picture (`picture`) are drawn.
"""
