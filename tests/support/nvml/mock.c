/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A mock of NVML for programs that manage GPUs, on hosts without a GPU. All names that it returns contain (MOCK). It computes
 * nothing, and no test of computing accepts it.
 *
 * Functions that this file does not define are in stubs.h and return "not supported". `build.py` writes stubs.h from the
 * names that the program loads.
 *
 * GPULAB_MOCK_GPUS: number of GPUs (2); GPULAB_MOCK_MODEL: their name (NVIDIA A100).
 * Faults: GPULAB_MOCK_SILENT: index of a GPU whose memory cannot be read; GPULAB_MOCK_INIT: the code that the library's start returns; GPULAB_MOCK_LOST: index of a GPU that is lost;
 * GPULAB_MOCK_WIDTH: PCIe lanes in use (16); GPULAB_MOCK_THROTTLE: bits of the reasons that hold clocks down;
 * GPULAB_MOCK_ECC: uncorrected errors of memory; GPULAB_MOCK_NVLINKS: active NVLinks of 12;
 * GPULAB_MOCK_HOLDER: process id of a process that holds 3 GiB of the first GPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
typedef int result;

struct gpu {
	unsigned index;
	unsigned persistence;
	unsigned mig;
};

/* Layouts as in NVML's API reference. */
struct memory {
	unsigned long long total, free, used;
};
struct memory_v2 {
	unsigned version;
	unsigned long long total, reserved, free, used;
};
struct process {
	unsigned pid;
	unsigned long long memory;
	unsigned gpu_instance, compute_instance;
};
struct utilization {
	unsigned gpu, memory;
};
struct pci {
	char legacy[16];
	unsigned domain, bus, device, device_id, subsystem_id;
	char id[32];
};

static struct gpu gpus[16];
static const unsigned long long GIB = 1024ULL * 1024 * 1024;

static unsigned count(void)
{
	const char *setting = getenv("GPULAB_MOCK_GPUS");
	int number = setting ? atoi(setting) : 2;

	return number < 0 ? 0 : number > 16 ? 16 : (unsigned)number;
}

static unsigned setting(const char *name, unsigned otherwise)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 0) : otherwise;
}

static result text(char *target, unsigned length, const char *value)
{
	if (strlen(value) >= length)
		return INSUFFICIENT_SIZE;
	strcpy(target, value);
	return SUCCESS;
}

result nvmlInitWithFlags(unsigned flags)
{
	unsigned number;

	(void)flags;
	for (number = 0; number < 16; number++)
		gpus[number].index = number;
	return (result)setting("GPULAB_MOCK_INIT", SUCCESS);
}
result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
result nvmlInit(void) { return nvmlInitWithFlags(0); }
result nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(result code)
{
	return code == SUCCESS ? "Success" : code == NOT_SUPPORTED ? "Not Supported (MOCK)" : "Error (MOCK)";
}

result nvmlSystemGetDriverVersion(char *version, unsigned length)
{
	const char *setting = getenv("GPULAB_MOCK_DRIVER");

	return text(version, length, setting ? setting : "535.309.01");
}
result nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
	char own[64];
	const char *setting = getenv("GPULAB_MOCK_DRIVER");

	snprintf(own, sizeof(own), "12.%s", setting ? setting : "535.309.01");
	return text(version, length, own);
}
result nvmlSystemGetCudaDriverVersion(int *version) { *version = 12020; return SUCCESS; }
result nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12020; return SUCCESS; }

result nvmlDeviceGetCount_v2(unsigned *number) { *number = count(); return SUCCESS; }
result nvmlDeviceGetCount(unsigned *number) { *number = count(); return SUCCESS; }

result nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu)
{
	if (index >= count())
		return INVALID_ARGUMENT;
	if (index == setting("GPULAB_MOCK_LOST", 99))
		return GPU_IS_LOST;
	*gpu = &gpus[index];
	return SUCCESS;
}
result nvmlDeviceGetHandleByIndex(unsigned index, struct gpu **gpu) { return nvmlDeviceGetHandleByIndex_v2(index, gpu); }

result nvmlDeviceGetIndex(struct gpu *gpu, unsigned *index) { *index = gpu->index; return SUCCESS; }
result nvmlDeviceGetMinorNumber(struct gpu *gpu, unsigned *number) { *number = gpu->index; return SUCCESS; }

result nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned length)
{
	char own[96];
	const char *setting = getenv("GPULAB_MOCK_MODEL");

	(void)gpu;
	snprintf(own, sizeof(own), "%s (MOCK)", setting ? setting : "NVIDIA A100");
	return text(name, length, own);
}

result nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned length)
{
	char own[64];

	snprintf(own, sizeof(own), "GPU-00000000-0000-4000-8000-%012u", gpu->index);
	return text(uuid, length, own);
}

result nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **gpu)
{
	char own[64];
	unsigned index;

	for (index = 0; index < count(); index++)
		if (nvmlDeviceGetUUID(&gpus[index], own, sizeof(own)) == SUCCESS && strcmp(own, uuid) == 0)
			return nvmlDeviceGetHandleByIndex_v2(index, gpu);
	return NOT_FOUND;
}

result nvmlDeviceGetPciInfo_v3(struct gpu *gpu, struct pci *pci)
{
	memset(pci, 0, sizeof(*pci));
	pci->bus = gpu->index + 1;
	pci->device_id = 0x20b010de;
	snprintf(pci->legacy, sizeof(pci->legacy), "0000:%02X:00.0", pci->bus);
	snprintf(pci->id, sizeof(pci->id), "00000000:%02X:00.0", pci->bus);
	return SUCCESS;
}
result nvmlDeviceGetPciInfo_v2(struct gpu *gpu, struct pci *pci) { return nvmlDeviceGetPciInfo_v3(gpu, pci); }

result nvmlDeviceGetHandleByPciBusId_v2(const char *id, struct gpu **gpu)
{
	struct pci pci;
	unsigned index;

	for (index = 0; index < count(); index++) {
		nvmlDeviceGetPciInfo_v3(&gpus[index], &pci);
		if (strcasecmp(pci.id, id) == 0 || strcasecmp(pci.legacy, id) == 0)
			return nvmlDeviceGetHandleByIndex_v2(index, gpu);
	}
	return NOT_FOUND;
}

result nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory)
{
	if (gpu->index == setting("GPULAB_MOCK_SILENT", 99))
		return GPU_IS_LOST;
	memory->total = 40 * GIB;
	memory->used = 1 * GIB;
	memory->free = memory->total - memory->used;
	return SUCCESS;
}
result nvmlDeviceGetMemoryInfo_v2(struct gpu *gpu, struct memory_v2 *memory)
{
	(void)gpu;
	memory->total = 40 * GIB;
	memory->reserved = 0;
	memory->used = 1 * GIB;
	memory->free = memory->total - memory->used;
	return SUCCESS;
}

result nvmlDeviceGetUtilizationRates(struct gpu *gpu, struct utilization *rates)
{
	rates->gpu = 10 * (gpu->index + 1);
	rates->memory = 5;
	return SUCCESS;
}
result nvmlDeviceGetTemperature(struct gpu *gpu, int sensor, unsigned *celsius)
{
	(void)sensor;
	*celsius = 40 + gpu->index;
	return SUCCESS;
}
result nvmlDeviceGetPowerUsage(struct gpu *gpu, unsigned *milliwatt) { (void)gpu; *milliwatt = 50000; return SUCCESS; }
result nvmlDeviceGetCudaComputeCapability(struct gpu *gpu, int *major, int *minor)
{
	(void)gpu;
	*major = 8;
	*minor = 0;
	return SUCCESS;
}

result nvmlDeviceGetPersistenceMode(struct gpu *gpu, unsigned *mode) { *mode = gpu->persistence; return SUCCESS; }
result nvmlDeviceSetPersistenceMode(struct gpu *gpu, unsigned mode) { gpu->persistence = mode; return SUCCESS; }
result nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *now, unsigned *pending)
{
	*now = *pending = gpu->mig;
	return SUCCESS;
}
result nvmlDeviceSetMigMode(struct gpu *gpu, unsigned mode, result *status)
{
	gpu->mig = mode;
	*status = SUCCESS;
	return SUCCESS;
}
result nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *number) { (void)gpu; *number = 7; return SUCCESS; }

result nvmlDeviceGetMaxPcieLinkWidth(struct gpu *gpu, unsigned *lanes) { (void)gpu; *lanes = 16; return SUCCESS; }
result nvmlDeviceGetCurrPcieLinkWidth(struct gpu *gpu, unsigned *lanes)
{
	(void)gpu;
	*lanes = setting("GPULAB_MOCK_WIDTH", 16);
	return SUCCESS;
}
result nvmlDeviceGetMaxPcieLinkGeneration(struct gpu *gpu, unsigned *number) { (void)gpu; *number = 4; return SUCCESS; }
result nvmlDeviceGetCurrPcieLinkGeneration(struct gpu *gpu, unsigned *number) { (void)gpu; *number = 1; return SUCCESS; }
result nvmlDeviceGetEccMode(struct gpu *gpu, unsigned *now, unsigned *pending)
{
	(void)gpu;
	*now = *pending = 1;
	return SUCCESS;
}
result nvmlDeviceGetTotalEccErrors(struct gpu *gpu, int kind, int counter, unsigned long long *errors)
{
	(void)gpu, (void)counter;
	*errors = kind == 1 ? setting("GPULAB_MOCK_ECC", 0) : 0;
	return SUCCESS;
}
result nvmlDeviceGetRemappedRows(struct gpu *gpu, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed)
{
	(void)gpu;
	*corrected = *uncorrected = *pending = *failed = 0;
	return SUCCESS;
}
result nvmlDeviceGetCurrentClocksThrottleReasons(struct gpu *gpu, unsigned long long *reasons)
{
	(void)gpu;
	*reasons = setting("GPULAB_MOCK_THROTTLE", 1);
	return SUCCESS;
}
result nvmlDeviceGetNvLinkState(struct gpu *gpu, unsigned link, unsigned *active)
{
	(void)gpu;
	if (link >= 12)
		return INVALID_ARGUMENT;
	*active = link < setting("GPULAB_MOCK_NVLINKS", 12);
	return SUCCESS;
}
result nvmlDeviceGetTopologyCommonAncestor(struct gpu *one, struct gpu *other, int *level)
{
	(void)one, (void)other;
	*level = 30;
	return SUCCESS;
}
result nvmlDeviceGetP2PStatus(struct gpu *one, struct gpu *other, int kind, int *status)
{
	(void)one, (void)other, (void)kind;
	*status = SUCCESS;
	return SUCCESS;
}
result nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *number, struct process *processes)
{
	unsigned holder = setting("GPULAB_MOCK_HOLDER", 0);

	if (gpu->index || !holder || !*number) {
		*number = 0;
		return SUCCESS;
	}
	memset(processes, 0, sizeof(*processes));
	processes[0].pid = holder;
	processes[0].memory = 3 * GIB;
	*number = 1;
	return SUCCESS;
}

/* nvidia-smi requests tables of further functions by an id. It takes a missing table for another version of NVML. */
static result nothing(void) { return NOT_SUPPORTED; }
static void *table[512];

result nvmlInternalGetExportTable(const void **tables, const void *id)
{
	unsigned number;

	(void)id;
	table[0] = (void *)sizeof(table);
	for (number = 1; number < 512; number++)
		table[number] = (void *)nothing;
	*tables = table;
	return SUCCESS;
}

result nvmlEventSetCreate(void **set) { *set = table; return SUCCESS; }
result nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
result nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long kinds, void *set)
{
	(void)gpu, (void)kinds, (void)set;
	return SUCCESS;
}

#define STUB(name) result name(void) { return NOT_SUPPORTED; }
#include "stubs.h"
