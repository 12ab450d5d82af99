/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A fixture of gpulab's tests, not NVIDIA's library: it reports its version and computes nothing. */
#include "cudnn.h"

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
size_t cudnnGetCudartVersion(void) { return CUDA * 1000; }
const char *cudnnGetErrorString(cudnnStatus_t status) { return "a fixture cannot compute"; }
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) { return CUDNN_STATUS_NOT_INITIALIZED; }
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensor) { return CUDNN_STATUS_NOT_INITIALIZED; }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
    return CUDNN_STATUS_NOT_INITIALIZED;
}
cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t x_tensor, const void *x,
                             const void *beta, const cudnnTensorDescriptor_t y_tensor, void *y) {
    return CUDNN_STATUS_NOT_INITIALIZED;
}
