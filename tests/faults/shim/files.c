/*
 * Which descriptors belong to the watched directory. A file has a number from when it
 * is first seen until its name is removed, so that a name that is used again is another
 * file. Guarded by the lock that also keeps records in the order of the calls.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTORS 65536
#define NAMES 64
#define LONGEST 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Kept as number + 1, so that zeros mean "not ours". */
static struct watched descriptors[DESCRIPTORS];
static struct { char name[LONGEST]; int number; } names[NAMES];
static int last_number;
static const char *directory;

__attribute__((constructor)) static void start(void)
{
    directory = getenv("FAULT_DIR");
}

void files_lock(void) { pthread_mutex_lock(&lock); }
void files_unlock(void) { pthread_mutex_unlock(&lock); }

const char *files_name(const char *path)
{
    if (directory == NULL || path == NULL)
        return NULL;
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) != 0)
        return NULL;
    path += length;
    if (*path == '\0')
        return path;
    if (*path != '/' || strchr(path + 1, '/') != NULL || strlen(path + 1) >= LONGEST)
        return NULL;
    return path + 1;
}

static int ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

int files_kind(const char *name)
{
    if (*name == '\0')
        return DIRECTORY;
    if (ends_with(name, "-wal"))
        return WAL;
    if (ends_with(name, "-shm"))
        return SHM;
    return ends_with(name, ".db") ? DATABASE : OTHER;
}

struct watched files_of(int fd)
{
    struct watched none = {0, -1};
    if (fd < 0 || fd >= DESCRIPTORS || descriptors[fd].number == 0)
        return none;
    struct watched found = descriptors[fd];
    found.number -= 1;
    return found;
}

static int number_of(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].number != 0 && strcmp(names[i].name, name) == 0)
            return i;
    return -1;
}

static int add(const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        if (names[i].number == 0) {
            strcpy(names[i].name, name);
            return names[i].number = ++last_number;
        }
    }
    abort();
}

void files_opened(int fd, const char *name, int is_new)
{
    if (fd < 0 || fd >= DESCRIPTORS)
        return;
    int number = 0;
    if (*name != '\0') {
        int known = number_of(name);
        number = known >= 0 ? names[known].number : add(name);
        if (known < 0)
            record(is_new ? CREATED : FOUND, number, 0, 0, name, NULL, 0);
    }
    descriptors[fd].kind = files_kind(name);
    descriptors[fd].number = number + 1;
}

void files_closed(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        descriptors[fd].number = 0;
}

int files_unlinked(const char *name)
{
    int known = number_of(name);
    if (known < 0)
        return -1;
    int number = names[known].number;
    names[known].number = 0;
    return number;
}

int files_renamed(const char *from, const char *to)
{
    files_unlinked(to);
    int known = number_of(from);
    if (known < 0)
        return -1;
    strcpy(names[known].name, to);
    return names[known].number;
}
