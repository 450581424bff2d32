/* Preloaded into a program: tells each system call by which it changes something below a folder, or sends something,
 * and ends the program by SIGKILL at the beginning of one of them. strace can end it too, but counts the calls of each
 * thread for itself, so no count of a whole run names a moment there.
 *
 * A moment is "CALL PLACE N": the Nth such call of the whole program, over all threads, at that place. Places are paths
 * below the folder, or "socket"; a word of one that is made of hexadecimal digits, as ids are, is told as "*".
 * In the environment, read by moments_arm(): MOMENTS_BELOW the folder, MOMENTS_LOG a file for one line per moment,
 * MOMENTS_KILL the moment to die at; with MOMENTS_TORN the first half of a pwrite is done before that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define KINDS 512
#define GAVE_UP 70 /* the exit status */

static char below[PATH_MAX], wanted[PATH_MAX], kinds[KINDS][256];
static unsigned counts[KINDS];
static int log_fd = -1, torn;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

static void keep(char *into, const char *variable) {
    const char *value = getenv(variable);
    snprintf(into, PATH_MAX, "%s", value ? value : "");
}

void moments_arm(void) {
    char log[PATH_MAX];
    keep(log, "MOMENTS_LOG");
    keep(wanted, "MOMENTS_KILL");
    keep(below, "MOMENTS_BELOW");
    torn = getenv("MOMENTS_TORN") != NULL;
    log_fd = *log && *below ? REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

__attribute__((constructor)) static void at_start(void) { moments_arm(); }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Nothing that comes after this could be told. */
static void give_up(const char *why) {
    (void)!REAL(write)(STDERR_FILENO, why, strlen(why));
    _exit(GAVE_UP);
}

static void tell(const char *line) {
    if (REAL(write)(log_fd, line, strlen(line)) < 0) give_up("moments: the log cannot be written\n");
}

/* #N: a file without a name (O_TMPFILE). After a dot only a long word is one: "db" is none. */
static int is_id(const char *word, size_t length, int after_dot) {
    return *word == '#' || (length > (after_dot ? 5 : 0) && strspn(word, "0123456789abcdef") >= length);
}

/* `into`: the path below the folder, ids replaced, or as much of it as there is room for. 0 when it is elsewhere. */
static int place(char *into, size_t room, const char *path) {
    size_t length = strlen(below);
    if (strncmp(path, below, length) || (path[length] && path[length] != '/')) return 0;
    char *at = into, *stop = into + room - 2;
    for (const char *word = path + length + (path[length] == '/'); *word && at < stop;) {
        size_t size = strcspn(word, "/.");
        if (is_id(word, size, word > path && word[-1] == '.')) *at++ = '*';
        else at += snprintf(at, stop - at, "%.*s", (int)size, word);
        word += size;
        if (*word && at < stop) *at++ = *word++;
    }
    if (at == into) *at++ = '.';
    *(at < stop ? at : stop) = 0; /* snprintf tells how long a word would have been */
    return 1;
}

/* 1: this is the one. The gate stays shut then: no other thread gets on with anything that is told. No signal comes
 * into a thread that holds it: Python's handler writes to the socket that wakes its event loop, which is told too. */
static int due_at(const char *call, const char *where) {
    char line[PATH_MAX + 64], kind[256];
    int found = 0;
    sigset_t every, before;
    snprintf(kind, sizeof kind, "%s %s", call, where);
    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, &before);
    pthread_mutex_lock(&gate);
    while (found < KINDS && *kinds[found] && strcmp(kinds[found], kind)) found++;
    if (found == KINDS) give_up("moments: more kinds of them than KINDS\n");
    strcpy(kinds[found], kind);
    snprintf(line, sizeof line, "%s %u", kind, ++counts[found]);
    if (!strcmp(line, wanted)) {
        strcat(line, " killed\n");
        tell(line);
        return 1;
    }
    strcat(line, "\n");
    tell(line);
    pthread_mutex_unlock(&gate);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return 0;
}

static int due_path(const char *call, int folder, const char *path) {
    char link[64], full[2 * PATH_MAX], where[200];
    ssize_t length = 0;
    if (log_fd < 0 || !path) return 0;
    if (*path != '/') {
        if (folder == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if ((length = readlink(link, full, PATH_MAX)) < 0) return 0;
        if (*path) full[length++] = '/';
    }
    snprintf(full + length, sizeof full - length, "%s", path);
    return place(where, sizeof where, full) && due_at(call, where);
}

static int due_fd(const char *call, int fd) { return due_path(call, fd, ""); }

static int sends(void) { return log_fd >= 0 && due_at("send", "socket"); }

/* A write, which is a send where it goes to a socket. */
static int due_write(int fd) {
    int type;
    socklen_t size = sizeof type;
    if (log_fd < 0) return 0;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) ? due_fd("write", fd) : sends();
}

#define AT(due) if (due) die()
#define FORWARD(result, name, declared, passed, due) \
    result name declared { AT(due); return REAL(name) passed; }
#define TEARING(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t size, offset_type at) { \
        if (due_fd("pwrite", fd)) { \
            if (torn) (void)!REAL(name)(fd, data, size / 2, at); \
            die(); \
        } \
        return REAL(name)(fd, data, size, at); \
    }

TEARING(pwrite, off_t)
TEARING(pwrite64, off64_t)
FORWARD(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), due_fd("pwrite", fd))
FORWARD(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at), due_fd("pwrite", fd))
FORWARD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), due_write(fd))
FORWARD(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), due_write(fd))
FORWARD(int, fdatasync, (int fd), (fd), due_fd("fdatasync", fd))
FORWARD(int, fsync, (int fd), (fd), due_fd("fsync", fd))
FORWARD(int, syncfs, (int fd), (fd), due_fd("syncfs", fd))
FORWARD(int, ftruncate, (int fd, off_t size), (fd, size), due_fd("ftruncate", fd))
FORWARD(int, ftruncate64, (int fd, off64_t size), (fd, size), due_fd("ftruncate", fd))
FORWARD(int, fallocate, (int fd, int how, off_t at, off_t n), (fd, how, at, n), due_fd("fallocate", fd))
FORWARD(int, fallocate64, (int fd, int how, off64_t at, off64_t n), (fd, how, at, n), due_fd("fallocate", fd))
FORWARD(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n), due_fd("fallocate", fd))
FORWARD(int, posix_fallocate64, (int fd, off64_t at, off64_t n), (fd, at, n), due_fd("fallocate", fd))
FORWARD(int, rename, (const char *a, const char *b), (a, b), due_path("rename", AT_FDCWD, a))
FORWARD(int, renameat, (int x, const char *a, int y, const char *b), (x, a, y, b), due_path("rename", x, a))
FORWARD(int, renameat2, (int x, const char *a, int y, const char *b, unsigned f), (x, a, y, b, f),
        due_path("rename", x, a))
FORWARD(int, link, (const char *a, const char *b), (a, b), due_path("link", AT_FDCWD, b))
FORWARD(int, linkat, (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f), due_path("link", y, b))
FORWARD(int, symlink, (const char *a, const char *b), (a, b), due_path("symlink", AT_FDCWD, b))
FORWARD(int, symlinkat, (const char *a, int y, const char *b), (a, y, b), due_path("symlink", y, b))
FORWARD(int, unlink, (const char *a), (a), due_path("unlink", AT_FDCWD, a))
FORWARD(int, unlinkat, (int x, const char *a, int f), (x, a, f), due_path("unlink", x, a))
FORWARD(int, rmdir, (const char *a), (a), due_path("unlink", AT_FDCWD, a))
FORWARD(int, mkdir, (const char *a, mode_t m), (a, m), due_path("mkdir", AT_FDCWD, a))
FORWARD(int, mkdirat, (int x, const char *a, mode_t m), (x, a, m), due_path("mkdir", x, a))
FORWARD(int, chmod, (const char *a, mode_t m), (a, m), due_path("chmod", AT_FDCWD, a))
FORWARD(int, fchmod, (int fd, mode_t m), (fd, m), due_fd("chmod", fd))
FORWARD(int, fchmodat, (int x, const char *a, mode_t m, int f), (x, a, m, f), due_path("chmod", x, a))
FORWARD(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), due_fd("chown", fd))
FORWARD(int, futimens, (int fd, const struct timespec t[2]), (fd, t), due_fd("utime", fd))
FORWARD(int, utimensat, (int x, const char *a, const struct timespec t[2], int f), (x, a, t, f),
        due_path("utime", x, a))
FORWARD(int, fsetxattr, (int fd, const char *n, const void *v, size_t s, int f), (fd, n, v, s, f),
        due_fd("setxattr", fd))
FORWARD(int, setxattr, (const char *a, const char *n, const void *v, size_t s, int f), (a, n, v, s, f),
        due_path("setxattr", AT_FDCWD, a))
FORWARD(ssize_t, copy_file_range, (int a, off64_t *x, int b, off64_t *y, size_t n, unsigned f), (a, x, b, y, n, f),
        due_fd("copy", b))
FORWARD(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n), (to, from, at, n), due_fd("copy", to))

FORWARD(ssize_t, send, (int fd, const void *data, size_t size, int f), (fd, data, size, f), sends())
FORWARD(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), sends())
FORWARD(ssize_t, sendto, (int fd, const void *d, size_t n, int f, const struct sockaddr *a, socklen_t s),
        (fd, d, n, f, a, s), sends())

/* Calls with a variable tail: one more word is always taken, and means nothing where there was none. */
static long more(va_list words) { return va_arg(words, long); }
#define TAIL(last) ({ va_list words; va_start(words, last); long word = more(words); va_end(words); word; })
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        long mode = TAIL(flags); \
        AT((flags & O_CREAT) && due_path("create", AT_FDCWD, path)); \
        return REAL(name)(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        long mode = TAIL(flags); \
        AT((flags & O_CREAT) && due_path("create", folder, path)); \
        return REAL(name)(folder, path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

int ioctl(int fd, unsigned long request, ...) {
    long word = TAIL(request);
    AT(request == 0x40049409 && due_fd("copy", fd)); /* FICLONE: a copy that shares its blocks */
    return REAL(ioctl)(fd, request, word);
}
