// Paths of 100,000 bytes, of 4 GiB, and names of 256.
#include "hostile.h"

void _start(void) {
  static char p[100000];
  int fd;
  filestat st;
  for (int i = 0; i < 100000; i++) p[i] = i % 2 ? '/' : '.';
  MUST(path_open(ROOT, 0, p, 100000, 0, R_RO, 0, 0, &fd), ENAMETOOLONG);
  MUST(path_open(ROOT, 0, p, 4096, 0, R_RO, 0, 0, &fd), ENAMETOOLONG);
  MUST(path_filestat_get(ROOT, 0, p, 4095, &st), OK); // ./././... is the root
  MUST(path_open(ROOT, 0, p, 0xffffffff, 0, R_RO, 0, 0, &fd), EFAULT);
  MUST(path_create_directory(ROOT, (char *)0xfffffff0, 8), EFAULT);
  for (int i = 0; i < 256; i++) p[i] = 'n';
  MUST(path_create_directory(ROOT, p, 256), ENAMETOOLONG);
  MUST(path_create_directory(ROOT, p, 255), OK);
  MUST(path_symlink(p, 100000, ROOT, "l", 1), ENAMETOOLONG);
}
