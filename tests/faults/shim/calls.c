/*
 * The calls that are replaced. Each asks whether it is to fail, does what was asked of
 * it, and records what it has done; the last two under one lock, so that the recording
 * has the order in which things happened. A sync is recorded when it has returned.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Declares `real`, libc's own function of that name. */
#define REAL(result, name, ...)                                    \
    static result (*real)(__VA_ARGS__);                            \
    if (real == NULL)                                              \
        real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* Leaves with -1 if this call is to fail. */
#define MAY_FAIL(call, watched)                                                   \
    do {                                                                          \
        int error = (watched).number < 0 ? 0 : control_fault(call, (watched).kind); \
        if (error != 0) {                                                         \
            files_lock();                                                         \
            record(FAILED, (watched).number, call, (uint64_t)error, "", NULL, 0); \
            files_unlock();                                                       \
            errno = error;                                                        \
            return -1;                                                            \
        }                                                                         \
    } while (0)

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

/* For the variants of open: `call` opens. */
#define OPEN(path, flags, call)                                                    \
    const char *name = files_name(path);                                           \
    if (name == NULL)                                                              \
        return call;                                                               \
    struct watched watched = {files_kind(name), 0};                                \
    if (flags & O_CREAT)                                                           \
        MAY_FAIL(CALL_CREATE, watched);                                            \
    files_lock();                                                                  \
    int is_new = access(path, F_OK) != 0;                                          \
    int fd = call;                                                                 \
    int error = errno;                                                             \
    if (fd >= 0) {                                                                 \
        files_opened(fd, name, is_new);                                            \
        if ((flags & O_TRUNC) && !is_new)                                          \
            record(TRUNCATED, files_of(fd).number, 0, 0, "", NULL, 0);             \
    }                                                                              \
    files_unlock();                                                                \
    errno = error;                                                                 \
    return fd

#define DEFINE_OPEN(variant)                                    \
    int variant(const char *path, int flags, ...)               \
    {                                                           \
        REAL(int, variant, const char *, int, ...);             \
        va_list arguments;                                      \
        va_start(arguments, flags);                             \
        mode_t mode = mode_of(flags, arguments);                \
        va_end(arguments);                                      \
        OPEN(path, flags, real(path, flags, mode));             \
    }

#define DEFINE_OPENAT(variant)                                          \
    int variant(int directory, const char *path, int flags, ...)        \
    {                                                                   \
        REAL(int, variant, int, const char *, int, ...);                \
        va_list arguments;                                              \
        va_start(arguments, flags);                                     \
        mode_t mode = mode_of(flags, arguments);                        \
        va_end(arguments);                                              \
        OPEN(path, flags, real(directory, path, flags, mode));          \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int close(int fd)
{
    REAL(int, close, int);
    if (files_of(fd).number < 0)
        return real(fd);
    files_lock();
    files_closed(fd);
    int result = real(fd);
    files_unlock();
    return result;
}

#define DEFINE_PWRITE(variant, offset_type)                                              \
    ssize_t variant(int fd, const void *data, size_t size, offset_type offset)           \
    {                                                                                    \
        REAL(ssize_t, variant, int, const void *, size_t, offset_type);                  \
        struct watched watched = files_of(fd);                                           \
        if (watched.number < 0)                                                          \
            return real(fd, data, size, offset);                                         \
        MAY_FAIL(CALL_WRITE, watched);                                                   \
        files_lock();                                                                    \
        ssize_t done = real(fd, data, size, offset);                                     \
        int error = errno;                                                               \
        if (done > 0)                                                                    \
            record(WRITTEN, watched.number, (uint64_t)offset, 0, "", data, (uint64_t)done); \
        files_unlock();                                                                  \
        errno = error;                                                                   \
        return done;                                                                     \
    }

DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    struct watched watched = files_of(fd);
    if (watched.number < 0)
        return real(fd, data, size);
    MAY_FAIL(CALL_WRITE, watched);
    files_lock();
    ssize_t done = real(fd, data, size);
    int error = errno;
    if (done > 0) {
        uint64_t offset = (uint64_t)(lseek(fd, 0, SEEK_CUR) - done);
        record(WRITTEN, watched.number, offset, 0, "", data, (uint64_t)done);
    }
    files_unlock();
    errno = error;
    return done;
}

#define DEFINE_TRUNCATE(variant, offset_type)                                       \
    int variant(int fd, offset_type length)                                         \
    {                                                                               \
        REAL(int, variant, int, offset_type);                                       \
        struct watched watched = files_of(fd);                                      \
        if (watched.number < 0)                                                     \
            return real(fd, length);                                                \
        MAY_FAIL(CALL_WRITE, watched);                                              \
        files_lock();                                                               \
        int result = real(fd, length);                                              \
        if (result == 0)                                                            \
            record(TRUNCATED, watched.number, 0, (uint64_t)length, "", NULL, 0);    \
        files_unlock();                                                             \
        return result;                                                              \
    }

DEFINE_TRUNCATE(ftruncate, off_t)
DEFINE_TRUNCATE(ftruncate64, off64_t)

#define DEFINE_SYNC(variant)                                              \
    int variant(int fd)                                                   \
    {                                                                     \
        REAL(int, variant, int);                                          \
        struct watched watched = files_of(fd);                            \
        if (watched.number < 0)                                           \
            return real(fd);                                              \
        MAY_FAIL(CALL_SYNC, watched);                                     \
        files_lock();                                                     \
        int result = real(fd);                                            \
        if (result == 0)                                                  \
            record(SYNCED, watched.number, 0, 0, "", NULL, 0);            \
        files_unlock();                                                   \
        return result;                                                    \
    }

DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)

#define DEFINE_PREAD(variant, offset_type)                                 \
    ssize_t variant(int fd, void *data, size_t size, offset_type offset)   \
    {                                                                      \
        REAL(ssize_t, variant, int, void *, size_t, offset_type);          \
        struct watched watched = files_of(fd);                             \
        MAY_FAIL(CALL_READ, watched);                                      \
        return real(fd, data, size, offset);                               \
    }

DEFINE_PREAD(pread, off_t)
DEFINE_PREAD(pread64, off64_t)

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    const char *name = files_name(path);
    if (name == NULL)
        return real(path);
    struct watched watched = {files_kind(name), 0};
    MAY_FAIL(CALL_UNLINK, watched);
    files_lock();
    int result = real(path);
    if (result == 0) {
        int number = files_unlinked(name);
        if (number > 0)
            record(UNLINKED, number, 0, 0, name, NULL, 0);
    }
    files_unlock();
    return result;
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    const char *old = files_name(from), *new = files_name(to);
    if (old == NULL || new == NULL)
        return real(from, to);
    files_lock();
    int result = real(from, to);
    if (result == 0) {
        int number = files_renamed(old, new);
        if (number > 0)
            record(RENAMED, number, 0, 0, new, NULL, 0);
    }
    files_unlock();
    return result;
}

/* Only the wall clock is wrong; CLOCK_MONOTONIC is what it is. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t at = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + control_clock_offset();
        now->tv_sec = at / 1000000000;
        now->tv_nsec = at % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    if (result == 0) {
        now->tv_sec = exact.tv_sec;
        now->tv_usec = exact.tv_nsec / 1000;
    }
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
