"""Golden identities: what the tracker said in many scenes, and says still.

    python -m tests.golden                    compare all scenes; the first difference of each
    python -m tests.golden default classes    compare some sources of scenes
    python -m tests.golden --record           record anew; CHANGELOG.md says why
    python tests/golden/compare.py COMMIT     compare with another commit, the encoder too

A source (``generated``, ``clips``) is a generator of (scene, tracks): it steps trackers and hands
on what they return. Nothing in it comes from a random generator, a sine or a sum whose order
matters: inputs are the same bits on every processor. Costs are not: their last bits differ between
instruction sets, and so scenes keep clear of ties that such bits would decide.

The recording is of opencv 4.14 and numpy 2.4 (``identities.json`` says of which exactly). Other
versions may decode a JPEG otherwise: identities mostly survive that; where not, the report says
that the pixels differ. It holds identities and row numbers, nothing of the data sets.
"""
