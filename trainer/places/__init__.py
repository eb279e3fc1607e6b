"""A second look: where labelling detectors still find an object, above a network that stays as it is."""
