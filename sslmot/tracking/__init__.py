"""The tracker: a step is prepare, associate, identify, commit."""
