"""A board as its operator sees it: a virtual machine with a camera and pins, reached over ssh and the stream."""
