/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A mock of the CUDA driver's library for tests of scripts/gpu_acceptance without a GPU. It computes nothing: "GPU memory" is
 * the process's own, and a GPU is a file nvidia0, nvidia1, ... below GPULAB_MOCK_DEV that the user may open. Its names contain
 * (MOCK), and no test of computing accepts it.
 *
 * GPULAB_MOCK_CHECKPOINT: the code that cuCheckpointProcess* return (0). GPULAB_MOCK_CUDA: the code of cuInit (0).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100 };
typedef int result;

static int setting(const char *name)
{
	const char *value = getenv(name);

	return value ? atoi(value) : SUCCESS;
}

static int usable(void)
{
	const char *directory = getenv("GPULAB_MOCK_DEV");
	char path[4096];
	int number, count = 0, file;

	for (number = 0; directory && number < 16; number++) {
		snprintf(path, sizeof(path), "%s/nvidia%d", directory, number);
		file = open(path, O_RDWR);
		if (file >= 0) {
			close(file);
			count++;
		}
	}
	return count;
}

result cuInit(unsigned flags)
{
	(void)flags;
	if (setting("GPULAB_MOCK_CUDA"))
		return setting("GPULAB_MOCK_CUDA");
	return usable() ? SUCCESS : NO_DEVICE;
}
result cuGetErrorName(result code, const char **name)
{
	*name = code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_MOCK";
	return SUCCESS;
}
result cuDeviceGetCount(int *number) { *number = usable(); return SUCCESS; }
result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < usable() ? SUCCESS : INVALID_VALUE; }
result cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "GPU %d (MOCK)", device); return SUCCESS; }
result cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = context; return SUCCESS; }
result cuCtxSetCurrent(void *context) { (void)context; return SUCCESS; }
result cuCtxSynchronize(void) { return SUCCESS; }
result cuMemAlloc_v2(unsigned long long *address, size_t size)
{
	*address = (unsigned long long)(size_t)malloc(size);
	return *address ? SUCCESS : OUT_OF_MEMORY;
}
result cuMemFree_v2(unsigned long long address) { free((void *)(size_t)address); return SUCCESS; }
result cuMemsetD32_v2(unsigned long long address, unsigned value, size_t count)
{
	size_t number;

	for (number = 0; number < count; number++)
		((unsigned *)(size_t)address)[number] = value;
	return SUCCESS;
}
result cuMemcpyDtoH_v2(void *target, unsigned long long source, size_t size)
{
	memcpy(target, (void *)(size_t)source, size);
	return SUCCESS;
}

struct lock_arguments {
	unsigned milliseconds, zero;
	unsigned long long zeros[7];
};
result cuCheckpointProcessLock(int pid, struct lock_arguments *arguments)
{
	if (!arguments || arguments->milliseconds == 0 || arguments->zero || arguments->zeros[6])
		return INVALID_VALUE;
	return pid > 0 ? setting("GPULAB_MOCK_CHECKPOINT") : INVALID_VALUE;
}
result cuCheckpointProcessCheckpoint(int pid, void *arguments) { return !arguments && pid > 0 ? SUCCESS : INVALID_VALUE; }
result cuCheckpointProcessRestore(int pid, void *arguments) { return !arguments && pid > 0 ? SUCCESS : INVALID_VALUE; }
result cuCheckpointProcessUnlock(int pid, void *arguments) { return !arguments && pid > 0 ? SUCCESS : INVALID_VALUE; }
