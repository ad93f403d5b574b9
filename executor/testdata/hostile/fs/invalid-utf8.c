// Names that are no UTF-8 are refused, so that none is left for the host.
#include "hostile.h"

void _start(void) {
  int fd;
  filestat st;
  MUST(path_open(ROOT, 0, "\xff\xfe", 2, CREAT, R_ALL, 0, 0, &fd), EILSEQ);
  MUST(path_create_directory(ROOT, "\xc0\xae\xc0\xae", 4), EILSEQ); // an overlong ".."
  MUST(path_filestat_get(ROOT, 0, "\xed\xa0\x80", 3, &st), EILSEQ); // a surrogate
  MUST(path_symlink("\x80", 1, ROOT, "l", 1), EILSEQ);
  MUST(path_rename(ROOT, "hello.txt", 9, ROOT, "x\xff", 2), EILSEQ);
}
