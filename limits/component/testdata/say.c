// A small command for WASI 0.1 without a C library: it prints its arguments and
// variables, one a line, then the file in.txt of its first directory if there is
// one, and exits with the number of its arguments. With RUN it is started as a
// program for WASI 0.2 is, and must be initialized before.
#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

typedef unsigned int u32;
typedef struct {
  const char *at;
  u32 size;
} bytes;

IMPORT("args_sizes_get") int args_sizes_get(u32 *count, u32 *size);
IMPORT("args_get") int args_get(char **list, char *text);
IMPORT("environ_sizes_get") int environ_sizes_get(u32 *count, u32 *size);
IMPORT("environ_get") int environ_get(char **list, char *text);
IMPORT("fd_write") int fd_write(int fd, const bytes *list, u32 count, u32 *written);
IMPORT("fd_read") int fd_read(int fd, const bytes *list, u32 count, u32 *read);
IMPORT("path_open")
int path_open(int dir, int lookup, const char *path, u32 size, int oflags, long long rights, long long inherit, int flags, int *fd);
IMPORT("proc_exit") _Noreturn void proc_exit(int code);

static char text[4096], *list[64];

static void say(const char *s, u32 n) {
  u32 done;
  bytes piece = {s, n};
  while (n > 0) {
    if (fd_write(1, &piece, 1, &done) != 0) proc_exit(100);
    piece.at += done, n -= done, piece.size = n;
  }
}

static void lines(u32 count) {
  for (u32 i = 0; i < count; i++) {
    u32 n = 0;
    while (list[i][n]) n++;
    list[i][n] = '\n';
    say(list[i], n + 1);
  }
}

#ifdef RUN
static int ready;
__attribute__((export_name("_initialize"))) void _initialize(void) { ready = 1; }
static void start(void);
__attribute__((export_name("wasi:cli/run@0.2.3#run"))) int run(void) {
  if (!ready) return 1;
  start();
  return 0;
}
static void start(void) {
#else
__attribute__((export_name("_start"))) void _start(void) {
#endif
  u32 args, vars, size, got;
  int fd;
  if (args_sizes_get(&args, &size) || args > 64 || size > sizeof text || args_get(list, text)) proc_exit(101);
  lines(args);
  if (environ_sizes_get(&vars, &size) || vars > 64 || size > sizeof text || environ_get(list, text)) proc_exit(102);
  lines(vars);
  if (path_open(3, 0, "in.txt", 6, 0, 2, 2, 0, &fd) == 0) {
    bytes room = {text, sizeof text};
    while (fd_read(fd, &room, 1, &got) == 0 && got > 0) say(text, got);
  }
  proc_exit(args);
}
