/* Loaded before the C library (LD_PRELOAD): system calls that change files below one folder are counted, written down, and the
 * n-th fails, or is the process's last (error 0); or the n-th large allocation does. Controlled by faults_arm and faults_disarm; see disk.py for the trace. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t root_length;
static long calls, fail_at, allocations, refuse_at;
static size_t large;
static int failure, trace = -1;

void faults_arm(const char *folder, long at, int error, int trace_handle, long refuse, size_t size)
{
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    calls = allocations = 0;
    fail_at = at, failure = error, trace = trace_handle, refuse_at = refuse, large = size;
}

void faults_disarm(void) { root_length = 0, large = 0; }
long faults_calls(void) { return calls; }
long faults_allocations(void) { return allocations; }

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}
#define REAL(name) ((__typeof__(&name))real(#name))

static ssize_t plain_write(int handle, const void *data, size_t size)
{
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) next = REAL(write);
    return next(handle, data, size);
}

/* The path that a name means, its last part unresolved; 0 if it does not lie below the folder. */
static int place(int folder, const char *name, char *path)
{
    char base[PATH_MAX];
    if (!root_length || !name) return 0;
    if (name[0] == '/') snprintf(path, PATH_MAX, "%s", name);
    else {
        if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
        else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) return 0;
            base[length] = 0;
        }
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int place_of(int handle, char *path)
{
    char link[64];
    if (!root_length || handle == trace) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Count a call, fail it if it is the one, else write it down: kind, two names, an offset, data. */
static int fails(char kind, const char *path, const char *other, int64_t offset, const void *data, size_t size)
{
    if (kind != 'u' && ++calls == fail_at) {
        if (!failure) kill(getpid(), SIGKILL);
        errno = failure;
        return 1;
    }
    if (trace >= 0) {
        uint64_t head[4] = {strlen(path), other ? strlen(other) : 0, (uint64_t)offset, size};
        plain_write(trace, &kind, 1);
        plain_write(trace, head, sizeof head);
        plain_write(trace, path, head[0]);
        if (other) plain_write(trace, other, head[1]);
        if (size && data) plain_write(trace, data, size);
    }
    return 0;
}

static int opened(int folder, const char *name, int flags)
{
    char path[PATH_MAX];
    struct stat found;
    if (!(flags & (O_CREAT | O_TRUNC)) || !place(folder, name, path)) return 0;
    int there = stat(path, &found) == 0;
    if ((flags & O_EXCL && there) || (there && !(flags & O_TRUNC))) return 0;
    return fails(flags & O_TRUNC && there ? 't' : 'c', path, NULL, 0, NULL, 0);
}

#define OPEN(name, parameters, ...)                                                                                              \
    int name parameters                                                                                                           \
    {                                                                                                                             \
        mode_t mode = 0;                                                                                                          \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }    \
        if (opened(folder_of, path, flags)) return -1;                                                                            \
        return REAL(name)(__VA_ARGS__, flags, mode);                                                                              \
    }
#define folder_of AT_FDCWD
OPEN(open, (const char *path, int flags, ...), path)
OPEN(open64, (const char *path, int flags, ...), path)
#undef folder_of
#define folder_of folder
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)

ssize_t write(int handle, const void *data, size_t size)
{
    char path[PATH_MAX];
    if (place_of(handle, path)) {
        off_t offset = lseek(handle, 0, fcntl(handle, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
        if (fails('w', path, NULL, offset, data, size)) return -1;
    }
    return plain_write(handle, data, size);
}

#define PWRITE(name)                                                                                                              \
    ssize_t name(int handle, const void *data, size_t size, off_t offset)                                                         \
    {                                                                                                                             \
        char path[PATH_MAX];                                                                                                      \
        if (place_of(handle, path) && fails('w', path, NULL, offset, data, size)) return -1;                                      \
        return REAL(name)(handle, data, size, offset);                                                                            \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define OF_HANDLE(name, kind)                                                                                                     \
    int name(int handle)                                                                                                          \
    {                                                                                                                             \
        char path[PATH_MAX];                                                                                                      \
        if (place_of(handle, path) && fails(kind, path, NULL, 0, NULL, 0)) return -1;                                             \
        return REAL(name)(handle);                                                                                                \
    }
OF_HANDLE(fsync, 's')
OF_HANDLE(fdatasync, 's')

#define FTRUNCATE(name)                                                                                                           \
    int name(int handle, off_t size)                                                                                              \
    {                                                                                                                             \
        char path[PATH_MAX];                                                                                                      \
        if (place_of(handle, path) && fails('z', path, NULL, size, NULL, 0)) return -1;                                           \
        return REAL(name)(handle, size);                                                                                          \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define TRUNCATE(name)                                                                                                            \
    int name(const char *file, off_t size)                                                                                        \
    {                                                                                                                             \
        char path[PATH_MAX];                                                                                                      \
        if (place(AT_FDCWD, file, path) && fails('z', path, NULL, size, NULL, 0)) return -1;                                      \
        return REAL(name)(file, size);                                                                                            \
    }
TRUNCATE(truncate)
TRUNCATE(truncate64)

int rename(const char *from, const char *to)
{
    char path[PATH_MAX], other[PATH_MAX];
    if (place(AT_FDCWD, from, path) && place(AT_FDCWD, to, other) && fails('r', path, other, 0, NULL, 0)) return -1;
    return REAL(rename)(from, to);
}

int symlink(const char *to, const char *name)
{
    char path[PATH_MAX];
    if (place(AT_FDCWD, name, path) && fails('l', path, to, 0, NULL, 0)) return -1;
    return REAL(symlink)(to, name);
}

int mkdir(const char *name, mode_t mode)
{
    char path[PATH_MAX];
    struct stat found;
    if (place(AT_FDCWD, name, path) && lstat(path, &found) && fails('m', path, NULL, 0, NULL, 0)) return -1;
    return REAL(mkdir)(name, mode);
}

/* What is taken away is written down and never fails: a full disk takes everything away, too. */
static void gone(int folder, const char *name)
{
    char path[PATH_MAX];
    struct stat found;
    if (place(folder, name, path) && !lstat(path, &found)) fails('u', path, NULL, 0, NULL, 0);
}

int unlink(const char *name) { gone(AT_FDCWD, name); return REAL(unlink)(name); }
int unlinkat(int folder, const char *name, int flags) { gone(folder, name); return REAL(unlinkat)(folder, name, flags); }
int rmdir(const char *name)
{
    int done = REAL(rmdir)(name);
    char path[PATH_MAX];
    if (!done && place(AT_FDCWD, name, path)) fails('u', path, NULL, 0, NULL, 0);
    return done;
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static int refused(size_t size) { return large && size >= large && ++allocations == refuse_at; }

void *malloc(size_t size) { if (refused(size)) { errno = ENOMEM; return NULL; } return __libc_malloc(size); }
void *calloc(size_t count, size_t size)
{
    if (refused(count * size)) { errno = ENOMEM; return NULL; }
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { if (refused(size)) { errno = ENOMEM; return NULL; } return __libc_realloc(old, size); }
int posix_memalign(void **found, size_t alignment, size_t size)
{
    if (refused(size)) return ENOMEM;
    *found = __libc_memalign(alignment, size);
    return *found ? 0 : ENOMEM;
}
