/* The control file: eight-byte words that the test writes and this process sees at once. */
#define _GNU_SOURCE
#include "shim.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The order is known to shim.rs. */
struct control {
    _Atomic int64_t clock_offset; /* nanoseconds added to CLOCK_REALTIME */
    _Atomic int64_t armed;        /* the rule below holds */
    _Atomic int64_t calls;        /* which calls */
    _Atomic int64_t kinds;        /* on which files */
    _Atomic int64_t error;        /* errno */
    _Atomic int64_t pass;         /* calls that still succeed */
    _Atomic int64_t times;        /* calls that fail, then no more; -1: all */
    _Atomic int64_t hits;         /* calls that have failed */
    _Atomic int64_t loaded;       /* the process id, once the shim is there */
};

static struct control nothing;
static struct control *control = &nothing;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("FAULT_CONTROL");
    if (path == NULL)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (mapped == MAP_FAILED)
        return;
    control = mapped;
    control->loaded = getpid();
}

int control_fault(int call, int kind)
{
    if (!control->armed || !(control->calls & call) || !(control->kinds & kind))
        return 0;
    if (atomic_fetch_sub(&control->pass, 1) > 0)
        return 0;
    if (control->times >= 0 && atomic_fetch_sub(&control->times, 1) <= 0) {
        control->times = 0;
        return 0;
    }
    atomic_fetch_add(&control->hits, 1);
    return (int)control->error;
}

int64_t control_clock_offset(void)
{
    return control->clock_offset;
}
