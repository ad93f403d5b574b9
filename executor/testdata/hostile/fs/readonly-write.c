// Changes a read-only mount in every way there is.
#include "hostile.h"

void _start(void) {
  int fd;
  u32 n;
  iovec v = {"x", 1};
  MUST(writing("hello.txt", &fd), EROFS);
  MUST(open_(ROOT, "hello.txt", FOLLOW, 0, R_WRITE, &fd), EROFS);
  MUST(open_(ROOT, "hello.txt", FOLLOW, TRUNC, R_RO, &fd), EROFS);
  MUST(open_(ROOT, "hello.txt", FOLLOW, TRUNC, 0, &fd), EROFS);
  MUST(creating("new", &fd), EROFS);
  MUST(open_(ROOT, "new", FOLLOW, CREAT | EXCL, R_RO, &fd), EROFS);
  MUST(open_(ROOT, "hello.txt", FOLLOW, CREAT | EXCL, R_RO, &fd), EEXIST);
  MUST(open_(ROOT, "hello.txt", FOLLOW, CREAT, R_ALL, &fd), EROFS);
  MUST(writing("none", &fd), ENOENT);
  MUST(mkdir_("x"), EROFS);
  MUST(mkdir_("dir"), EEXIST);
  MUST(rmdir_("empty"), EROFS);
  MUST(unlink_("hello.txt"), EROFS);
  MUST(unlink_("none"), ENOENT);
  MUST(rename_("hello.txt", "x"), EROFS);
  MUST(rename_("hello.txt", "dir/x"), EROFS);
  MUST(link_("hello.txt", "x"), EROFS);
  MUST(symlink_("hello.txt", "x"), EROFS);
  MUST(utimes_("hello.txt", 0), EROFS);
  MUST(utimes_("hello.txt", FOLLOW), EROFS);
  MUST(utimes_(".", 0), EROFS);
  MUST(fd_filestat_set_times(ROOT, 1, 1, 5), EROFS);
  MUST(reading("hello.txt", &fd), OK);
  MUST(fd_write(fd, &v, 1, &n), ENOTCAPABLE);
  MUST(fd_pwrite(fd, &v, 1, 0, &n), ENOTCAPABLE);
  MUST(fd_filestat_set_size(fd, 0), EROFS);
  MUST(fd_allocate(fd, 0, 100), ENOTCAPABLE);
  MUST(fd_filestat_set_times(fd, 1, 1, 5), EROFS);
  MUST(fd_fdstat_set_flags(fd, APPEND), OK); // of the descriptor, not of the file
  MUST(fd_write(fd, &v, 1, &n), ENOTCAPABLE);
  MUST(open_(ROOT, "hello.txt", FOLLOW, CREAT, R_RO, &fd), OK); // creates nothing
  char b[8];
  v.buf = b, v.len = 8;
  MUST(fd_read(fd, &v, 1, &n), OK);
  MUST(n, 5);
}
