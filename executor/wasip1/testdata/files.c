// Functions for benchmarks: each does one thing with files n times, through the
// first preopened directory. The host lays out "a/b/c/file" (4 KiB) and "many"
// with 100 files f00 to f99.
#include "../../testdata/hostile/fs/hostile.h"

#define EXPORT(name) __attribute__((export_name(#name)))

static char buf[65536];

static void read_file(const char *p) {
  int fd;
  iovec v = {buf, sizeof buf};
  u32 n;
  MUST(reading(p, &fd), OK);
  MUST(fd_read(fd, &v, 1, &n), OK);
  MUST(n, 4096);
  MUST(fd_read(fd, &v, 1, &n), OK);
  MUST(fd_close(fd), OK);
}

EXPORT(open_read_close) void open_read_close(u32 n) {
  while (n--) read_file("a/b/c/file");
}

EXPORT(stat_deep) void stat_deep(u32 n) {
  filestat st;
  while (n--) MUST(stat_("a/b/c/file", 0, &st), OK);
}

EXPORT(stat_shallow) void stat_shallow(u32 n) {
  filestat st;
  while (n--) MUST(stat_("top", 0, &st), OK);
}

// find lists a directory and looks at every entry, as find and grep -r do.
EXPORT(find) void find(u32 n) {
  char name[] = "many/f00";
  filestat st;
  while (n--) {
    int d;
    u32 used;
    u64 cookie = 0;
    MUST(open_(ROOT, "many", FOLLOW, DIRECTORY, R_RO, &d), OK);
    do {
      MUST(fd_readdir(d, buf, 2048, cookie, &used), OK);
      for (u32 at = 0; at + 24 <= used;) {
        dirent *e = (dirent *)(buf + at);
        if (at + 24 + e->namlen > used) break;
        cookie = e->next;
        if (e->namlen == 3) {
          memcpy(name + 5, buf + at + 24, 3);
          MUST(stat_(name, 0, &st), OK);
        }
        at += 24 + e->namlen;
      }
    } while (used == 2048);
    MUST(fd_close(d), OK);
  }
}

// grep lists a directory and reads every file in it.
EXPORT(grep) void grep(u32 n) {
  char name[] = "many/f00";
  while (n--)
    for (int i = 0; i < 100; i++) {
      name[6] = '0' + i / 10, name[7] = '0' + i % 10;
      read_file(name);
    }
}

EXPORT(read_4k) void read_4k(u32 n) {
  int fd;
  u32 got;
  iovec v = {buf, 4096};
  MUST(reading("a/b/c/file", &fd), OK);
  while (n--) MUST(fd_pread(fd, &v, 1, 0, &got), OK);
  MUST(fd_close(fd), OK);
}

EXPORT(write_4k) void write_4k(u32 n) {
  int fd;
  u32 got;
  iovec v = {buf, 4096};
  MUST(creating("out", &fd), OK);
  while (n--) MUST(fd_pwrite(fd, &v, 1, 0, &got), OK);
  MUST(fd_close(fd), OK);
}

EXPORT(create_unlink) void create_unlink(u32 n) {
  int fd;
  while (n--) {
    MUST(creating("new", &fd), OK);
    MUST(fd_close(fd), OK);
    MUST(unlink_("new"), OK);
  }
}

EXPORT(clock_now) void clock_now(u32 n) {
  u64 t;
  while (n--) MUST(clock_time_get(1, 0, &t), OK);
}

void _start(void) {}
