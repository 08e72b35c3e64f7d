"""Golden identities: the recorded output of the tracker in many scenes, which must not change.

    python -m tests.golden                    compare all scenes, print the first difference of each
    python -m tests.golden default classes    compare some sources of scenes
    python -m tests.golden --record           record again; CHANGELOG.md says why
    python tests/golden/compare.py COMMIT     compare with another commit, also with the encoder

A source (in ``generated`` or ``clips``) is a generator of (scene, tracks). It steps trackers and
yields their results. It does not use random generators, sines, or sums that depend on their order,
so the inputs have the same bits on each processor. Costs have not: their last bits depend on the
instruction set. So the scenes avoid ties that the last bits would decide.

The recording was made with opencv 4.14 and numpy 2.4 (``identities.json`` has the exact versions).
Other versions may decode a JPEG differently. Identities usually stay the same. Otherwise the report
says that the pixels differ. The recording contains identities and row numbers, no data of the data
sets. Names of scenes and seeds are part of the recording, so some have older words.
"""
