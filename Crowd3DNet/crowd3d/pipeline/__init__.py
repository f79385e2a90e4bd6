"""From a photograph, a sequence or a data set to scenes: the stages, their files and how they resume."""
