// Adds and removes entries while it lists, and removes the directory itself.
#include "hostile.h"

void _start(void) {
  static char b[300];
  u32 n;
  int d, fd, rounds = 0;
  u64 cookie = 0;
  char p[] = "d/f00";
  MUST(mkdir_("d"), OK);
  MUST(open_(ROOT, "d", 0, DIRECTORY, R_ALL & ~R_WRITE, &d), OK);
  for (int i = 0; i < 60; i++) {
    p[3] = 'a' + i / 26, p[4] = 'a' + i % 26;
    MUST(creating(p, &fd), OK);
    fd_close(fd);
  }
  for (;;) {
    MUST(fd_readdir(d, b, 300, cookie, &n), OK);
    if (n < 24) break;
    u64 before = cookie;
    for (u32 at = 0; at + 24 <= n;) {
      dirent *e = (dirent *)(b + at);
      if (at + 24 + e->namlen > n) break;
      cookie = e->next;
      if (e->namlen == 3) MUST(path_unlink_file(d, b + at + 24, 3), OK);
      at += 24 + e->namlen;
    }
    if (cookie == before || ++rounds > 100) break;
  }
  MUST(rmdir_("d"), OK); // all were seen, and removed
  MUST(fd_readdir(d, b, 300, 0, &n), OK);
  MUST(path_open(d, 0, "x", 1, CREAT, R_READ, 0, 0, &fd), ENOENT);
  MUST(path_create_directory(d, "x", 1), ENOENT);
}
