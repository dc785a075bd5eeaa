/* The recording: appended with one call for each record, so that it outlives kill -9. */
#define _GNU_SOURCE
#include "shim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As recording.rs reads it; the name and the data follow. */
struct header {
    uint64_t stamp; /* CLOCK_MONOTONIC, nanoseconds, when the call had returned */
    uint32_t event;
    uint32_t file;
    uint64_t offset;
    uint64_t length;
    uint32_t name;
    uint32_t size;
};

static int output = -1;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAULT_RECORD");
    if (path != NULL)
        output = (int)syscall(SYS_openat, AT_FDCWD, path,
                              O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

void record(enum event event, int file, uint64_t offset, uint64_t length, const char *name,
            const void *data, uint64_t size)
{
    if (output < 0)
        return;
    struct timespec now;
    /* The system call itself: libc's is replaced. */
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    struct header header = {
        .stamp = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .event = event,
        .file = (uint32_t)file,
        .offset = offset,
        .length = length,
        .name = (uint32_t)strlen(name),
        .size = (uint32_t)size,
    };
    struct iovec parts[] = {
        {&header, sizeof header},
        {(void *)name, header.name},
        {(void *)data, size},
    };
    long wanted = (long)(sizeof header + header.name + size);
    /* A recording with a hole would prove nothing. */
    if (syscall(SYS_writev, output, parts, 3) != wanted)
        abort();
}
