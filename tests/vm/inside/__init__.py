"""Tests on a kernel's own GPIO lines: run by .ci/machine in a virtual machine, and collected nowhere else."""
