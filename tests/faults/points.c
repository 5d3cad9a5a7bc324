/* Preloaded into a command of ours: counts the calls by which it changes files below one folder, and at one of them ends the
 * process or fails the call; and moves its clock. Glibc, x86-64 and AArch64.
 *
 * Armed by `points_arm`, or by the environment in processes whose command line holds POINTS_WHO:
 *   POINTS_FOLDER  absolute; what lies elsewhere is not counted
 *   POINTS_AT      number of the call, from 1; 0: only count
 *   POINTS_HOW     "kill" before the call, "torn" in the middle of a write (before any other call), or an errno: this call and
 *                  every later one that it applies to fails
 *   POINTS_WHILE   nothing happens unless this file is there; who is killed removes it, so that the next one lives
 *   POINTS_LOG     where each counted call is written down
 *   POINTS_CLOCK   "AFTER:SHIFT": from AFTER seconds after its start the clock is wrong by SHIFT seconds, in every process
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { KILL = -1, TORN = -2 };
static char folder[PATH_MAX], note[PATH_MAX], gate[PATH_MAX];
static long at;
static int how, armed;
static atomic_long seen;
static double clock_after;
static long long clock_shift;
static struct timespec begun;

void points_arm(const char *where, long number, int what, const char *log) {
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(note, sizeof note, "%s", log);
    at = number;
    how = what;
    atomic_store(&seen, 0);
    armed = 1;
}

__attribute__((constructor)) static void from_environment(void) {
    const char *who = getenv("POINTS_WHO"), *clock = getenv("POINTS_CLOCK"), *what = getenv("POINTS_HOW");
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &begun);
    if (clock) sscanf(clock, "%lf:%lld", &clock_after, &clock_shift);
    if (!who || !what || !getenv("POINTS_FOLDER")) return;
    char line[4096] = "";
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long size = syscall(SYS_read, file, line, sizeof line - 1);
    syscall(SYS_close, file);
    for (long i = 0; i < size; i++) if (!line[i]) line[i] = ' ';
    if (!strstr(line, who)) return;
    points_arm(getenv("POINTS_FOLDER"), atol(getenv("POINTS_AT")),
               !strcmp(what, "kill") ? KILL : !strcmp(what, "torn") ? TORN : atoi(what),
               getenv("POINTS_LOG") ? getenv("POINTS_LOG") : "");
    if (getenv("POINTS_WHILE")) snprintf(gate, sizeof gate, "%s", getenv("POINTS_WHILE"));
}

/* Which errors a kind of call can meet: c(reate), w(rite), s(ync), n(ames change). */
static int meets(char kind, int error) {
    switch (error) {
    case ENOSPC: return kind == 'c' || kind == 'w';
    case EROFS: return kind == 'c' || kind == 'n';
    case EMFILE: return kind == 'c';
    default: return 1;
    }
}

static int is_below(int directory, const char *path) {
    char whole[PATH_MAX * 2], link[64];
    long size = 0;
    if (!path || path[0] != '/') {
        if (directory == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        size = syscall(SYS_readlinkat, AT_FDCWD, link, whole, PATH_MAX);
        if (size < 0) return 0;
        whole[size++] = '/';
    }
    snprintf(whole + size, PATH_MAX, "%s", path ? path : "");
    return !strncmp(whole, folder, strlen(folder));
}

/* Count a call; returns an errno that it shall fail with, 0 if it shall be made. */
static int point(char kind, const char *call, int directory, const char *path, const void *data, size_t size) {
    if (!armed || !is_below(directory, path)) return 0;
    if (how > 0 && !meets(kind, how)) return 0;
    long number = ++seen;
    if (note[0]) {
        char text[PATH_MAX + 128];
        int file = syscall(SYS_openat, AT_FDCWD, note, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        int length = snprintf(text, sizeof text, "%ld %s %s\n", number, call, path ? path : "");
        if (file >= 0) syscall(SYS_write, file, text, length), syscall(SYS_close, file);
    }
    if (!at || number < at || (gate[0] && syscall(SYS_faccessat, AT_FDCWD, gate, F_OK))) return 0;
    if (how > 0) return how;
    if (number > at || (gate[0] && syscall(SYS_unlinkat, AT_FDCWD, gate, 0))) return 0;
    if (how == TORN && data && size > 1) syscall(SYS_write, directory, data, size / 2);
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

#define NEXT(name) __typeof__(&name) next = dlsym(RTLD_NEXT, #name)
#define REFUSE(...) do { int e = point(__VA_ARGS__); if (e) { errno = e; return -1; } } while (0)

#define OPEN(name, head, pass, dir)                                                        \
    int name head {                                                                        \
        int mode = 0;                                                                      \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, int); va_end(more); } \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) REFUSE('c', "open", dir, path, 0, 0); \
        NEXT(name);                                                                        \
        return next pass;                                                                  \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPEN(openat, (int directory, const char *path, int flags, ...), (directory, path, flags, mode), directory)
OPEN(openat64, (int directory, const char *path, int flags, ...), (directory, path, flags, mode), directory)

#define CALL(result, name, head, pass, ...) \
    result name head { REFUSE(__VA_ARGS__); NEXT(name); return next pass; }
CALL(ssize_t, write, (int f, const void *b, size_t n), (f, b, n), 'w', "write", f, 0, b, n)
CALL(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o), 'w', "pwrite", f, 0, 0, 0)
CALL(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), (f, b, n, o), 'w', "pwrite", f, 0, 0, 0)
CALL(ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n), 'w', "writev", f, 0, 0, 0)
CALL(int, fsync, (int f), (f), 's', "fsync", f, 0, 0, 0)
CALL(int, fdatasync, (int f), (f), 's', "fdatasync", f, 0, 0, 0)
CALL(int, ftruncate, (int f, off_t n), (f, n), 'w', "ftruncate", f, 0, 0, 0)
CALL(int, ftruncate64, (int f, off64_t n), (f, n), 'w', "ftruncate", f, 0, 0, 0)
CALL(int, mkdir, (const char *p, mode_t m), (p, m), 'c', "mkdir", AT_FDCWD, p, 0, 0)
CALL(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m), 'c', "mkdir", d, p, 0, 0)
CALL(int, unlink, (const char *p), (p), 'n', "unlink", AT_FDCWD, p, 0, 0)
CALL(int, unlinkat, (int d, const char *p, int g), (d, p, g), 'n', "unlink", d, p, 0, 0)
CALL(int, rmdir, (const char *p), (p), 'n', "rmdir", AT_FDCWD, p, 0, 0)
CALL(int, rename, (const char *a, const char *b), (a, b), 'n', "rename", AT_FDCWD, b, 0, 0)
CALL(int, renameat, (int c, const char *a, int d, const char *b), (c, a, d, b), 'n', "rename", d, b, 0, 0)
CALL(int, link, (const char *a, const char *b), (a, b), 'n', "link", AT_FDCWD, b, 0, 0)
CALL(int, linkat, (int c, const char *a, int d, const char *b, int g), (c, a, d, b, g), 'n', "link", d, b, 0, 0)
CALL(int, symlink, (const char *a, const char *b), (a, b), 'n', "symlink", AT_FDCWD, b, 0, 0)

static long long shift(void) {
    struct timespec now;
    if (!clock_shift) return 0;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    double passed = (now.tv_sec - begun.tv_sec) + (now.tv_nsec - begun.tv_nsec) / 1e9;
    return passed >= clock_after ? clock_shift : 0;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, id, now);
    if (!result && id == CLOCK_REALTIME) now->tv_sec += shift();
    return result;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict where, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    where->tv_sec = now.tv_sec, where->tv_usec = now.tv_nsec / 1000;
    return 0;
}
