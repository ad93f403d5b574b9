// What the hostile guests share: the calls of WASI preview 1, declared by hand
// so that any argument can be passed, and a way to insist on an errno. A guest
// exits 0 if everything it tried was answered as it insists; otherwise it says on
// stderr what was not, and exits 1.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define WASI(name) \
  __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) extern

typedef struct { const void *buf; u32 len; } iovec;
typedef struct { u8 type; u8 pad; u16 flags; u32 pad2; u64 base, inheriting; } fdstat;
typedef struct { u64 dev, ino; u8 type; u8 pad[7]; u64 nlink, size, atim, mtim, ctim; } filestat;
typedef struct { u64 next, ino; u32 namlen; u8 type; u8 pad[3]; } dirent;
typedef struct {
  u64 userdata;
  u8 tag;
  u8 pad[7];
  union {
    struct { u32 id; u32 pad; u64 timeout, precision; u16 flags; } clock;
    u32 fd;
  } u;
} subscription;
typedef struct { u64 userdata; u16 error; u8 type; u8 pad[5]; u64 nbytes; u16 flags; u8 pad2[6]; } event;

WASI(args_get) int args_get(u32 argv, u32 buf);
WASI(args_sizes_get) int args_sizes_get(u32 count, u32 size);
WASI(environ_get) int environ_get(u32 env, u32 buf);
WASI(environ_sizes_get) int environ_sizes_get(u32 count, u32 size);
WASI(clock_res_get) int clock_res_get(u32 id, u64 *out);
WASI(clock_time_get) int clock_time_get(u32 id, u64 precision, u64 *out);
WASI(fd_advise) int fd_advise(int fd, u64 off, u64 len, int advice);
WASI(fd_allocate) int fd_allocate(int fd, u64 off, u64 len);
WASI(fd_close) int fd_close(int fd);
WASI(fd_datasync) int fd_datasync(int fd);
WASI(fd_fdstat_get) int fd_fdstat_get(int fd, fdstat *out);
WASI(fd_fdstat_set_flags) int fd_fdstat_set_flags(int fd, int flags);
WASI(fd_fdstat_set_rights) int fd_fdstat_set_rights(int fd, u64 base, u64 inheriting);
WASI(fd_filestat_get) int fd_filestat_get(int fd, filestat *out);
WASI(fd_filestat_set_size) int fd_filestat_set_size(int fd, u64 size);
WASI(fd_filestat_set_times) int fd_filestat_set_times(int fd, u64 atim, u64 mtim, int flags);
WASI(fd_pread) int fd_pread(int fd, const iovec *v, u32 n, u64 off, u32 *out);
WASI(fd_prestat_get) int fd_prestat_get(int fd, u32 *out);
WASI(fd_prestat_dir_name) int fd_prestat_dir_name(int fd, char *buf, u32 len);
WASI(fd_pwrite) int fd_pwrite(int fd, const iovec *v, u32 n, u64 off, u32 *out);
WASI(fd_read) int fd_read(int fd, const iovec *v, u32 n, u32 *out);
WASI(fd_readdir) int fd_readdir(int fd, void *buf, u32 len, u64 cookie, u32 *out);
WASI(fd_renumber) int fd_renumber(int from, int to);
WASI(fd_seek) int fd_seek(int fd, i64 off, int whence, u64 *out);
WASI(fd_sync) int fd_sync(int fd);
WASI(fd_tell) int fd_tell(int fd, u64 *out);
WASI(fd_write) int fd_write(int fd, const iovec *v, u32 n, u32 *out);
WASI(path_create_directory) int path_create_directory(int fd, const char *p, u32 n);
WASI(path_filestat_get) int path_filestat_get(int fd, int lookup, const char *p, u32 n, filestat *out);
WASI(path_filestat_set_times) int path_filestat_set_times(int fd, int lookup, const char *p, u32 n, u64 atim, u64 mtim, int flags);
WASI(path_link) int path_link(int fd, int lookup, const char *p, u32 n, int fd2, const char *p2, u32 n2);
WASI(path_open) int path_open(int fd, int lookup, const char *p, u32 n, int oflags, u64 base, u64 inheriting, int fdflags, int *out);
WASI(path_readlink) int path_readlink(int fd, const char *p, u32 n, void *buf, u32 len, u32 *out);
WASI(path_remove_directory) int path_remove_directory(int fd, const char *p, u32 n);
WASI(path_rename) int path_rename(int fd, const char *p, u32 n, int fd2, const char *p2, u32 n2);
WASI(path_symlink) int path_symlink(const char *target, u32 n, int fd, const char *p2, u32 n2);
WASI(path_unlink_file) int path_unlink_file(int fd, const char *p, u32 n);
WASI(poll_oneoff) int poll_oneoff(const void *in, void *out, u32 n, u32 *count);
WASI(proc_exit) void proc_exit(u32 code);
WASI(proc_raise) int proc_raise(int sig);
WASI(sched_yield) int sched_yield(void);
WASI(random_get) int random_get(u32 buf, u32 len);
WASI(sock_accept) int sock_accept(int fd, int flags, int *out);
WASI(sock_recv) int sock_recv(int fd, const iovec *v, u32 n, int flags, u32 *out, u32 *oflags);
WASI(sock_send) int sock_send(int fd, const iovec *v, u32 n, int flags, u32 *out);
WASI(sock_shutdown) int sock_shutdown(int fd, int how);

// errno
enum {
  OK = 0, EACCES = 2, EAGAIN = 6, EBADF = 8, EBUSY = 10, EDQUOT = 19, EEXIST = 20, EFAULT = 21, EFBIG = 22,
  EILSEQ = 25, EINVAL = 28, EISDIR = 31, ELOOP = 32, EMFILE = 33, ENAMETOOLONG = 37, ENOENT = 44, ENOSPC = 51,
  ENOSYS = 52, ENOTDIR = 54, ENOTEMPTY = 55, ENOTSOCK = 57, ENOTSUP = 58, EOVERFLOW = 61, EPERM = 63,
  EROFS = 69, ESPIPE = 70, EXDEV = 75, ENOTCAPABLE = 76
};
// oflags, fdflags, lookup, rights, file types
enum { CREAT = 1, DIRECTORY = 2, EXCL = 4, TRUNC = 8 };
enum { APPEND = 1, NONBLOCK = 4 };
enum { FOLLOW = 1 };
#define R_READ (1ull << 1)
#define R_WRITE (1ull << 6)
#define R_ALL ((1ull << 30) - 1)
#define R_RO (R_ALL & ~R_WRITE & ~(1ull << 8))
enum { T_UNKNOWN, T_BLOCK, T_CHAR, T_DIR, T_FILE, T_DGRAM, T_STREAM, T_LINK };

enum { ROOT = 3 }; // the first preopened directory

static u32 len(const char *s) {
  u32 n = 0;
  while (s[n]) n++;
  return n;
}

static void put(int fd, const char *s, u32 n) {
  iovec v = {s, n};
  u32 out;
  fd_write(fd, &v, 1, &out);
}

static void say(const char *s) { put(1, s, len(s)); }

static void number(int fd, u64 n) {
  char b[20];
  u32 i = 20;
  do b[--i] = '0' + n % 10; while (n /= 10);
  put(fd, b + i, 20 - i);
}

static void fail(const char *what, int line, u64 got, u64 want) {
  put(2, "line ", 5), number(2, line);
  put(2, ": ", 2), put(2, what, len(what));
  put(2, " gave ", 6), number(2, got);
  put(2, ", want ", 7), number(2, want), put(2, "\n", 1);
  proc_exit(1);
}

// MUST insists that a call answers with an errno, or a value is what it should be.
#define MUST(call, want)                                   \
  do {                                                     \
    u64 got_ = (u64)(call), want_ = (u64)(want);           \
    if (got_ != want_) fail(#call, __LINE__, got_, want_); \
  } while (0)

// Calls with C strings.
static int open_(int dir, const char *p, int lookup, int oflags, u64 rights, int *fd) {
  return path_open(dir, lookup, p, len(p), oflags, rights, rights, 0, fd);
}
static int reading(const char *p, int *fd) { return open_(ROOT, p, FOLLOW, 0, R_RO, fd); }
static int writing(const char *p, int *fd) { return open_(ROOT, p, FOLLOW, 0, R_ALL, fd); }
static int creating(const char *p, int *fd) { return open_(ROOT, p, FOLLOW, CREAT, R_ALL, fd); }
static int mkdir_(const char *p) { return path_create_directory(ROOT, p, len(p)); }
static int rmdir_(const char *p) { return path_remove_directory(ROOT, p, len(p)); }
static int unlink_(const char *p) { return path_unlink_file(ROOT, p, len(p)); }
static int symlink_(const char *t, const char *p) { return path_symlink(t, len(t), ROOT, p, len(p)); }
static int link_(const char *a, const char *b) { return path_link(ROOT, 0, a, len(a), ROOT, b, len(b)); }
static int rename_(const char *a, const char *b) { return path_rename(ROOT, a, len(a), ROOT, b, len(b)); }
static int stat_(const char *p, int lookup, filestat *st) { return path_filestat_get(ROOT, lookup, p, len(p), st); }
static int utimes_(const char *p, int lookup) { return path_filestat_set_times(ROOT, lookup, p, len(p), 1, 1, 5); }
static int write_(int fd, const char *s) {
  iovec v = {s, len(s)};
  u32 n;
  return fd_write(fd, &v, 1, &n);
}

// everything tries all that can be done with a path, and insists on one errno.
#define EVERYTHING(p, want)                          \
  do {                                               \
    int fd_;                                         \
    filestat st_;                                    \
    MUST(reading(p, &fd_), want);                    \
    MUST(writing(p, &fd_), want);                    \
    MUST(creating(p, &fd_), want);                   \
    MUST(open_(ROOT, p, FOLLOW, TRUNC, R_ALL, &fd_), want); \
    MUST(open_(ROOT, p, FOLLOW, DIRECTORY, R_RO, &fd_), want); \
    MUST(stat_(p, FOLLOW, &st_), want);              \
    MUST(utimes_(p, FOLLOW), want);                  \
  } while (0)

// clang may call these for what it makes of loops and structures.
void *memset(void *p, int c, __SIZE_TYPE__ n) {
  volatile u8 *b = p;
  while (n--) *b++ = (u8)c;
  return p;
}
void *memcpy(void *p, const void *q, __SIZE_TYPE__ n) {
  volatile u8 *b = p;
  const u8 *c = q;
  while (n--) *b++ = *c++;
  return p;
}
