/*
 * What the parts of the shim share. It is loaded into the broker with LD_PRELOAD and
 * stands between SQLite, the standard library and libc:
 *
 *   calls.c   the calls that are replaced
 *   files.c   which descriptors belong to the database's directory
 *   record.c  a recording of all that was done to them
 *   control.c when a call fails, and by how much the clock is wrong
 *
 * Its environment: FAULT_DIR the directory that is watched, FAULT_RECORD the file that
 * the recording is appended to (none: no recording), FAULT_CONTROL the control file.
 */
#ifndef SHIM_H
#define SHIM_H

#include <stdint.h>
#include <sys/types.h>

/* Kinds of files, as bits, so that a rule can name several. */
enum { DATABASE = 1, WAL = 2, DIRECTORY = 4, OTHER = 8, SHM = 16 };

/* Kinds of calls, likewise. */
enum { CALL_WRITE = 1, CALL_SYNC = 2, CALL_READ = 4, CALL_CREATE = 8, CALL_UNLINK = 16 };

/* What a record says. The numbers are read by recording.rs. */
enum event { CREATED = 1, WRITTEN, TRUNCATED, SYNCED, UNLINKED, RENAMED, FAILED, FOUND };

/* A file of the directory; number 0 is the directory itself, -1 anything else. */
struct watched {
    int kind;
    int number;
};

void files_lock(void);
void files_unlock(void);
/* The name within the directory, "" for the directory itself, or NULL. */
const char *files_name(const char *path);
int files_kind(const char *name);
struct watched files_of(int fd);
void files_opened(int fd, const char *name, int is_new);
void files_closed(int fd);
int files_unlinked(const char *name);
int files_renamed(const char *from, const char *to);

void record(enum event event, int file, uint64_t offset, uint64_t length, const char *name,
            const void *data, uint64_t size);

/* The errno with which this call is to fail, or 0. */
int control_fault(int call, int kind);
int64_t control_clock_offset(void);

#endif
