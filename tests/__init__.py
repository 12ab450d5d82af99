"""Tests of gpulab: unit/ (no host), integration/ (hosts and services of their own), acceptance/ (a converged host)."""
