"""The tracker: a step is prepare, associate, commit."""
