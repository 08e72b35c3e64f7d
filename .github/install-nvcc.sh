#!/bin/sh
# The CUDA compiler, for a manylinux_2_28 image.
set -eu
repository=https://developer.download.nvidia.com/compute/cuda/repos/rhel8/x86_64/cuda-rhel8.repo
dnf install -y dnf-plugins-core
dnf config-manager --add-repo "$repository"
dnf install -y cuda-nvcc-13-0 cuda-cudart-devel-13-0 cuda-cccl-13-0
ln -sfn /usr/local/cuda-13.0 /usr/local/cuda
