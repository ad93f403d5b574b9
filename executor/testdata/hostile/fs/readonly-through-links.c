// Writes a read-only mount through links from the writable one above it.
#include "hostile.h"

void _start(void) {
  int fd;
  MUST(symlink_("data/hello.txt", "l"), OK);
  MUST(symlink_("data", "d"), OK);
  MUST(writing("l", &fd), EROFS);
  MUST(open_(ROOT, "l", FOLLOW, TRUNC, 0, &fd), EROFS);
  MUST(writing("d/hello.txt", &fd), EROFS);
  MUST(creating("d/new", &fd), EROFS);
  MUST(mkdir_("d/x"), EROFS);
  MUST(unlink_("d/hello.txt"), EROFS);
  MUST(link_("data/hello.txt", "mine"), EXDEV);
  MUST(link_("hello.txt", "data/x"), EROFS);
  MUST(rename_("data/hello.txt", "mine"), EXDEV);
  MUST(rename_("hello.txt", "data/x"), EXDEV);
  MUST(reading("l", &fd), OK);
  MUST(utimes_("l", FOLLOW), EROFS);
  MUST(utimes_("l", 0), OK); // the link itself is in the writable mount
}
